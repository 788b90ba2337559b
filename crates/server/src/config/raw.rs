//! [`Config`]: the keys as the operator writes them, unchecked.
//!
//! No key is optional: the defaults are a layer of their own below all others, and reading a
//! layered configuration through these types finds keys that the default layer forgot.
//! `Default` gives the same values for programs that build a configuration in code.

use serde::Deserialize;
use tidewire_auth::AuthConfig;
use tidewire_config::{ByteSize, LogFormat};

use super::value::{Confirm, Runtime};

/// The whole configuration. [`Config::check`] turns it into [`Settings`](super::Settings).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Directory of the message store, created when missing. Default `./tidewire-data`. Its
    /// size on disk is bounded by [`MailboxConfig::bytes_max`] plus the store's overhead.
    pub data_dir: String,
    /// The WebSocket side.
    pub server: ServerConfig,
    /// The REST API.
    pub rest: RestConfig,
    /// What happens to messages.
    pub chat: ChatConfig,
    /// What is kept for absent users.
    pub mailbox: MailboxConfig,
    /// What is logged.
    pub log: LogConfig,
}

/// `[server]`: the WebSocket side.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// Address: `ip:port`, `localhost:port` (127.0.0.1) or `*:port` (0.0.0.0). Port 0 picks a
    /// free one. Default `127.0.0.1:8085`; other addresses need [`auth`](Self::auth).
    pub listen: String,
    /// Path of the messaging endpoint, which also answers with a trailing slash. Default
    /// `/chat`. Starts with `/`, ends without one, and is not `/echo`.
    pub endpoint: String,
    /// Whether `/echo` sends every message back. Default `false`: for tests and benchmarks.
    pub echo: bool,
    /// Whether plain GETs get the web chat page. Default `true`.
    pub web_chat: bool,
    /// How threads share connections. Default `per-core`.
    pub runtime: Runtime,
    /// Threads; 0, the default, means one per core. At most 1024. Each costs its stack.
    pub workers: u32,
    /// Origins of web pages that may connect besides the server's own, each exactly
    /// `scheme://host[:port]`; `["*"]` allows any and is refused together with basic or
    /// cookie authentication. Default none. At most 256, compared one by one per handshake.
    pub allowed_origins: Vec<String>,
    /// Must be `true` to listen beyond loopback while `server.auth` or `rest.auth` lets
    /// everybody pass. Default `false`.
    pub public_without_auth: bool,
    /// Seconds connections get to finish when the server stops; 0 cuts them at once. Default
    /// 10, at most 3600. The service manager's own patience has to be longer.
    pub drain_seconds: u32,
    /// TLS on this listener.
    pub tls: TlsConfig,
    /// Who may connect. Default `noauth`, which is for loopback only.
    pub auth: AuthConfig,
    /// What strangers can cost.
    pub limits: LimitsConfig,
    /// What `/echo` takes.
    pub echo_limits: EchoLimitsConfig,
}

/// `[server.tls]`, `[rest.tls]`: TLS on one listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Whether the listener speaks TLS. Default `false`.
    pub enabled: bool,
    /// PEM file with the certificate chain. Default empty; needed when enabled.
    pub certificate: String,
    /// PEM file with the private key. Default empty; needed when enabled.
    pub key: String,
    /// PEM file with the CAs of client certificates: when set, every client must present one.
    /// Default empty: none is asked for.
    pub client_ca: String,
}

/// `[server.limits]`: what strangers can cost.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    /// Open connections; 0, the default, means as many as the process may have file descriptors.
    /// Worst case memory is this times [`send_queue_bytes_max`](Self::send_queue_bytes_max).
    pub connections_max: u32,
    /// Open connections per client address; 0, the default, means unlimited, because all
    /// clients behind a proxy share one address. Costs a counter per connected address.
    pub connections_per_ip_max: u32,
    /// Seconds for TLS handshake and request head together. Default 10, 1 to 300.
    pub handshake_seconds: u32,
    /// Bytes of a request head. Default 16 KiB, 1 KiB to 1 MiB; held while a head is read.
    pub head_bytes_max: ByteSize,
    /// Header fields of a request head. Default 64, 8 to 1024.
    pub headers_max: u32,
    /// Bytes a connection may have waiting to be written; a reader that lets more pile up is
    /// closed. Default 1 MiB, 16 KiB to 1 GiB; only used while a reader is slow.
    pub send_queue_bytes_max: ByteSize,
    /// Bytes of a messaging connection that the system may hold unsent (`TCP_NOTSENT_LOWAT`, Linux only).
    /// Default 32 KiB, 4 KiB to 16 MiB: small, so that the server sees how a slow reader takes a large message;
    /// larger ones save writes.
    pub unsent_bytes_max: ByteSize,
    /// Pings, and pongs that nobody asked for, per second and client in the long run; more close with 1008.
    /// Default 10, at most 1000; 0 means unlimited. Costs nothing while none come.
    pub control_frames_per_second: u32,
    /// As many may come at once. Default 600: a minute's worth, so that what a standstill of the network has
    /// held back is not taken for a flood. 1 to 1000000.
    pub control_frames_burst: u32,
    /// Seconds a client may keep an HTTP answer waiting without reading 16 KiB of it; then it is
    /// cut. Default 30, 1 to 3600. Holds for the REST API too.
    pub answer_seconds: u32,
    /// Bytes of HTTP answers waiting to be read, over all clients and both listeners; further
    /// answers above 4 KiB are 503. Default 64 MiB, 1 MiB to 1 GiB; only used while clients are
    /// slow.
    pub answers_bytes_max: ByteSize,
}

/// `[server.echo_limits]`: what `/echo` takes; apart from [`ChatConfig`], because tests and
/// benchmarks send other messages than people do. Without effect unless
/// [`ServerConfig::echo`] is true.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EchoLimitsConfig {
    /// Bytes of one message after reassembly; a longer one closes with 1009. Default 16 MiB, 1
    /// byte to 1 GiB; held per connection while a message is incomplete.
    pub message_bytes_max: ByteSize,
    /// Frames of one message; more close with 1008. Default 4096, 1 to 1000000. Bounds the work
    /// of a message of tiny or empty fragments, which the bytes do not.
    pub fragments_max: u32,
}

/// `[rest]`: the REST API.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestConfig {
    /// Whether the API is served. Default `true`.
    pub enabled: bool,
    /// Address, written like [`ServerConfig::listen`]. Default `127.0.0.1:8092`.
    pub listen: String,
    /// Bytes of a request body. Default 10 MiB, 1 KiB to 1 GiB; held while a request is read.
    pub body_bytes_max: ByteSize,
    /// Seconds a sent message may take to be stored; after them the answer is 504 with the
    /// message's id. Default 30, 1 to 600. Each waiting request keeps its connection.
    pub answer_seconds: u32,
    /// Seconds an `Idempotency-Key` is remembered. Default 600, 1 to 86400. In memory: a restart
    /// forgets the keys.
    pub idempotency_seconds: u32,
    /// Keys remembered at a time; the oldest are forgotten for new ones. Default 10000, 1 to
    /// 1000000; about 500 bytes each.
    pub idempotency_keys_max: u32,
    /// TLS on this listener.
    pub tls: TlsConfig,
    /// Who may call; whoever may, can send as any user. Default `noauth`.
    pub auth: AuthConfig,
}

/// `[chat]`: what happens to messages.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches, one key each"
)]
pub struct ChatConfig {
    /// Bytes of one message after reassembly; a longer one closes with 1009. Default 10 MiB, 1
    /// byte to 1 GiB; held per connection while a message is incomplete.
    pub message_bytes_max: ByteSize,
    /// Whether senders get their own messages back on all their connections. Default `false`.
    pub send_back: bool,
    /// Message types never sent back, in any case. Default none, at most 256.
    pub send_back_ignored_types: Vec<String>,
    /// Message types that are passed on to connected users and never stored, in any case. Default
    /// none, at most 256.
    pub live_only_types: Vec<String>,
    /// Whether senders are told that a message was delivered. Default `false`; costs a message
    /// per message and recipient.
    pub delivery_status: bool,
    /// Whether a message's sender must be the user of its connection. Default `true`; `false`
    /// lets every client write as anybody, for old clients that rely on it.
    pub check_sender: bool,
    /// IANA name of the time zone of server-made timestamps. Default `UTC`.
    pub time_zone: String,
    /// When a message to a client that cannot acknowledge counts as delivered. Default `pong`.
    pub confirm: Confirm,
    /// Connections on which a message is delivered to clients that never answer a ping; afterwards it waits for
    /// one that does, until its time to live is over. Default 3, at most 16; 0 means no limit: it comes at every
    /// connect.
    pub unproven_deliveries_max: u32,
    /// Messages kept for a redelivery while their user is connected with a client that never answers a ping; older ones
    /// leave once it has sent something since and its system has acknowledged them. Default 256, 1 to 65536; no more than half of
    /// [`MailboxConfig::user_messages_max`] and 512 count.
    pub unproven_messages_kept: u32,
    /// Seconds such a connection has to last before anything is let go; never of a user whose clients have answered a
    /// ping since the server was started. Default 600, at most 86400.
    pub unproven_kept_seconds: u32,
    /// Recipients of one message. Default 256, 1 to 65536; each is a row in the store.
    pub recipients_max: u32,
    /// Whether a recipient who is named several times gets a message as often. Default `false`:
    /// recipients are a set; `true` is for clients of old servers that rely on it.
    pub repeat_recipients: bool,
    /// Bytes of one connection's messages that are not stored yet. Default 1 MiB, 1 KiB to 1 GiB;
    /// above it the connection is not read from, one message is taken whatever its size.
    pub submissions_bytes_max: ByteSize,
    /// Connections of one user at a time. Default 64, 1 to 65536.
    pub sessions_per_user_max: u32,
    /// Messages waiting in memory for one connection; the rest stays in the mailbox. Default
    /// 1024, 1 to 1048576.
    pub outbox_messages_max: u32,
    /// Their bytes. Default 256 KiB, 1 KiB to 1 GiB; one message is taken whatever its size.
    /// Worst case memory is this times the number of slow readers.
    pub outbox_bytes_max: ByteSize,
    /// Finding dead connections.
    pub keep_alive: KeepAliveConfig,
}

/// `[chat.keep_alive]`: finding dead connections.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepAliveConfig {
    /// Seconds of silence after which the server pings; 0 means never. Default 25, below the
    /// 30 to 60 seconds after which proxies forget a connection; at most 86400.
    pub ping_seconds: u32,
    /// Seconds to answer a ping. Default 10; at least 1 and less than
    /// [`ping_seconds`](Self::ping_seconds) unless that is 0.
    pub pong_seconds: u32,
    /// Seconds without a message from the client after which it is closed; 0, the default,
    /// means never. At most 2592000.
    pub inactive_seconds: u32,
}

/// `[mailbox]`: what is kept for absent users. All of it is disk, not memory.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailboxConfig {
    /// Whether messages are stored. Default `true`. `false`, or 0 for
    /// [`ttl_seconds`](Self::ttl_seconds) or one of the four limits of users and store, passes
    /// messages on to connected users only; what is stored already is still delivered.
    pub enabled: bool,
    /// Seconds a message is kept unless its sender says otherwise. Default 86400 (a day); 0 means
    /// that nothing is stored; at most [`ttl_seconds_max`](Self::ttl_seconds_max).
    pub ttl_seconds: u32,
    /// Seconds a sender may ask for. Default 2592000 (30 days), at most 315360000 (10 years).
    pub ttl_seconds_max: u32,
    /// Messages waiting for one user; more are refused. Default 1000; 0 means that nothing is
    /// stored.
    pub user_messages_max: u64,
    /// Their bytes. Default 64 MiB, so that the share of one sender holds several messages of the
    /// largest size; at least [`ChatConfig::message_bytes_max`].
    pub user_bytes_max: ByteSize,
    /// Messages waiting for all users. Default 1000000; at least
    /// [`user_messages_max`](Self::user_messages_max).
    pub messages_max: u64,
    /// Their bytes. Default 4 GiB; at least [`user_bytes_max`](Self::user_bytes_max).
    pub bytes_max: ByteSize,
    /// Messages of one sender waiting in all mailboxes. Default 50000; 0 means no limit of its
    /// own. Messages sent over REST count for the sender they name, but are not refused for it.
    pub sender_messages_max: u64,
    /// Their bytes, each mailbox counted. Default 256 MiB; 0 as above; at least
    /// [`ChatConfig::message_bytes_max`].
    pub sender_bytes_max: ByteSize,
    /// How much of one mailbox's messages and bytes a sender may fill, in percent. Default 50, 1
    /// to 100; his first message is always taken.
    pub sender_share_percent: u32,
    /// Bytes of messages on their way to the disk, from all connections. Default 64 MiB, 1 KiB to
    /// 1 GiB; further ones are refused as `busy` and connections are not read from. Memory is
    /// about twice this.
    pub queue_bytes_max: ByteSize,
    /// Seconds between two runs that count at once towards the times to live. Default 3600, at
    /// most 315360000; 0 trusts no gap at once. A longer one waits for
    /// [`clock_confirm_seconds`](Self::clock_confirm_seconds).
    pub clock_jump_seconds_max: u32,
    /// Seconds the server has to run until a longer gap counts, unless the clock was set right
    /// by then. Default 86400, at most 315360000; 0 believes every clock.
    pub clock_confirm_seconds: u32,
}

/// `[log]`: what is logged.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// `off`, `error`, `warn`, `info`, `debug` or `trace`, with exceptions per module such as
    /// `info,tidewire=debug`. Default `info`; `debug` writes per connection, `trace` per message.
    pub level: String,
    /// The shape of a line. Default `text`.
    pub format: LogFormat,
}

impl MailboxConfig {
    /// Whether messages are stored: switched on, and nothing that is kept has a limit of 0.
    pub fn stores(&self) -> bool {
        self.enabled
            && self.ttl_seconds > 0
            && self.user_messages_max > 0
            && self.user_bytes_max.0 > 0
            && self.messages_max > 0
            && self.bytes_max.0 > 0
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "./tidewire-data".to_owned(),
            server: ServerConfig::default(),
            rest: RestConfig::default(),
            chat: ChatConfig::default(),
            mailbox: MailboxConfig::default(),
            log: LogConfig::default(),
        }
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8085".to_owned(),
            endpoint: "/chat".to_owned(),
            echo: false,
            web_chat: true,
            runtime: Runtime::PerCore,
            workers: 0,
            allowed_origins: Vec::new(),
            public_without_auth: false,
            drain_seconds: 10,
            tls: TlsConfig::default(),
            auth: AuthConfig::NoAuth,
            limits: LimitsConfig::default(),
            echo_limits: EchoLimitsConfig::default(),
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections_max: 0,
            connections_per_ip_max: 0,
            handshake_seconds: 10,
            head_bytes_max: ByteSize::kib(16),
            headers_max: 64,
            send_queue_bytes_max: ByteSize::mib(1),
            unsent_bytes_max: ByteSize::kib(32),
            control_frames_per_second: 10,
            control_frames_burst: 600,
            answer_seconds: 30,
            answers_bytes_max: ByteSize::mib(64),
        }
    }
}

impl Default for EchoLimitsConfig {
    fn default() -> Self {
        Self {
            message_bytes_max: ByteSize::mib(16),
            fragments_max: 4096,
        }
    }
}

impl Default for RestConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: "127.0.0.1:8092".to_owned(),
            body_bytes_max: ByteSize::mib(10),
            answer_seconds: 30,
            idempotency_seconds: 600,
            idempotency_keys_max: 10_000,
            tls: TlsConfig::default(),
            auth: AuthConfig::NoAuth,
        }
    }
}

impl Default for ChatConfig {
    fn default() -> Self {
        Self {
            message_bytes_max: ByteSize::mib(10),
            send_back: false,
            send_back_ignored_types: Vec::new(),
            live_only_types: Vec::new(),
            delivery_status: false,
            check_sender: true,
            time_zone: "UTC".to_owned(),
            confirm: Confirm::Pong,
            unproven_deliveries_max: 3,
            unproven_messages_kept: 256,
            unproven_kept_seconds: 600,
            recipients_max: 256,
            repeat_recipients: false,
            submissions_bytes_max: ByteSize::mib(1),
            sessions_per_user_max: 64,
            outbox_messages_max: 1024,
            outbox_bytes_max: ByteSize::kib(256),
            keep_alive: KeepAliveConfig::default(),
        }
    }
}

impl Default for KeepAliveConfig {
    fn default() -> Self {
        Self {
            ping_seconds: 25,
            pong_seconds: 10,
            inactive_seconds: 0,
        }
    }
}

impl Default for MailboxConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            ttl_seconds: 86_400,
            ttl_seconds_max: 2_592_000,
            user_messages_max: 1000,
            user_bytes_max: ByteSize::mib(64),
            messages_max: 1_000_000,
            bytes_max: ByteSize::gib(4),
            sender_messages_max: 50_000,
            sender_bytes_max: ByteSize::mib(256),
            sender_share_percent: 50,
            queue_bytes_max: ByteSize::mib(64),
            clock_jump_seconds_max: 3600,
            clock_confirm_seconds: 86_400,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}
