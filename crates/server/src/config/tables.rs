//! [`Config`]: the keys of the server's file, each declared once with default, range and documentation.
//!
//! The file is a sum of tables: those of the server stand here, `[chat]` is the hub's, `[mailbox]`
//! the store's, `[events]` and `[[targets]]` those of the events out.

use std::{path::PathBuf, time::Duration};

use tidewire::ws::ControlRate;
use tidewire_auth::AuthConfig;
use tidewire_config::{Auth, ForwardedFields, IdentityFiles, LogFormat};
use tidewire_table::{
    DAY, EmptyIsNone, HOUR, MINUTE, Nested, SECOND, Size, Switched, Tables, ZeroIsNone, choice,
    table,
};

use super::{ConnectHookConfig, RatesConfig};

choice! {
    /// How the server's threads share the connections.
    #[non_exhaustive]
    pub enum Runtime {
        /// An event loop per core; a connection stays where it was accepted.
        PerCore = "per-core",
        /// One pool whose threads steal work from each other.
        Pool = "pool",
    }
}

choice! {
    /// When a message to a classic client, which cannot acknowledge, counts as delivered.
    #[non_exhaustive]
    pub enum Confirm {
        /// The client answered a ping that was sent behind the message.
        Pong = "pong",
        /// The message was handed to the operating system.
        Written = "written",
    }
}

table! {
    /// The configuration of the server. [`Config::check`] turns it into [`Settings`](super::Settings).
    pub struct Config {
        /// Directory of the message store; created when missing. Its size on disk is bounded by `mailbox.bytes_max`
        /// plus the store's overhead.
        data_dir: String = "./tidewire-data".to_owned();
        /// Where a JSON object per WebSocket that has ended and per request goes: `"stdout"`, `"stderr"` or a file, which
        /// is opened again at SIGHUP and when it was moved away; empty = nowhere.
        access_log: String;
        server: ServerConfig as Nested;
        rest: RestConfig as Switched;
        admin: AdminConfig as Switched;
        chat: tidewire_hub::Config as Nested;
        mailbox: tidewire_engine::embedded::Config as Nested;
        events: tidewire_notify::EventsConfig as Nested;
        targets: Vec<tidewire_notify::TargetConfig> as Tables, example "[[targets]]";
        trace: tidewire_hub::TraceConfig as Nested;
        log: LogConfig as Nested;
    }
}

table! {
    /// The WebSocket side.
    pub struct ServerConfig {
        /// Address of the WebSocket endpoints: ip:port, localhost:port, *:port for all IPv4 addresses, or the path of a
        /// Unix socket, such as `"unix:/run/tidewire/chat.sock"`. Port 0 picks a free one. Beyond loopback, set
        /// `server.auth`; a Unix socket counts as loopback.
        listen: String = "127.0.0.1:8085".to_owned();
        /// Permissions of a Unix socket's file: who may write to it may connect. "0660" = user and group.
        socket_mode: String = "0660".to_owned();
        /// Group of a Unix socket's file, by name or number, such as that of a proxy in front; empty = the process's own.
        socket_group: String;
        /// Path of the messaging endpoint; also answers with a trailing slash. Not `/echo`.
        endpoint: String = "/chat".to_owned();
        /// Whether /echo sends every message back: for tests and benchmarks.
        echo: bool = false;
        /// Whether plain GETs get the web chat page.
        web_chat: bool = true;
        /// `"per-core"`: one event loop per core, least latency under even load. `"pool"`: one work-stealing pool,
        /// copes better with uneven load.
        runtime: Runtime = Runtime::PerCore;
        /// Threads; 0 = one per core. Each costs its stack.
        workers: usize = 0, in 0..=1024;
        /// Origins of web pages that may connect besides the server's own, such as
        /// `["https://example.org","https://*.example.net","capacitor://localhost"]`; at most 256. `*` stands for
        /// sub-domains, a part of the first label, or any port; "null" and "file://" are those of local files. `["*"]`
        /// allows any; refused with basic or cookie
        /// authentication. For the REST API too.
        allowed_origins: Vec<String>;
        /// Takes `allowed_origins = ["*"]` together with credentials that browsers attach on their own (basic, cookie):
        /// every page that a user visits can then talk in the user's name. For installations that come from wsserver,
        /// which asked no origin, until their origins are listed.
        danger_any_origin_with_credentials: bool = false;
        /// Addresses or networks of balancers that send a PROXY protocol header; `"unix"` = all on a Unix socket. If
        /// there is one, nobody else is let in. For example `["10.0.0.0/8"]`.
        proxy_protocol: Vec<String>;
        /// Addresses or networks of HTTP proxies that are believed who asks for what (`"unix"` = all on a Unix
        /// socket): their X-Forwarded-For, -Proto, -Host and -Port, Forwarded or X-Real-IP tell the client's address for
        /// limits and the log, and the page's origin.
        trusted_proxies: Vec<String>;
        /// The fields that these proxies write: `"either"` (X-Forwarded-For where it is there, else Forwarded, else X-Real-IP),
        /// `"x-forwarded"` or `"forwarded"`. Proxies that write Forwarded and pass X-Forwarded-For of clients through
        /// need `"forwarded"`.
        forwarded_fields: ForwardedFields = ForwardedFields::Either;
        /// Takes WebSockets over HTTP/2 too (RFC 8441): with TLS to clients that agree on it, without TLS to those
        /// that begin with it. A session may send 64 KiB ahead, a connection carries up to 100. Pages and the rest of HTTP
        /// stay with HTTP/1.1.
        http2: bool = false;
        /// Must be true to listen beyond loopback while `server.auth` or `rest.auth` lets everybody pass.
        public_without_auth: bool = false;
        /// How long connections get to finish when the server stops; `"0s"` = cut at once. The service manager's own
        /// patience has to be longer.
        drain_timeout: Duration = SECOND * 10, in Duration::ZERO..=HOUR, was "drain_seconds";
        /// Unix socket over which a new process takes over the listeners of this one; empty = none.
        handover: Option<PathBuf> as EmptyIsNone = None;
        /// Connections closed per second when a new process takes over, so that the clients do not come back all at once; more
        /// where they would not be done within `drain_timeout`.
        handover_per_second: u32 = 1000, in 1..=1_000_000;
        /// When a message to a classic client counts as delivered: `"pong"` = the client answered a ping sent behind
        /// it; `"written"` = it was given to the system.
        confirm: Confirm = Confirm::Pong, was "chat.confirm";
        /// How long a connection whose client never answers a ping has to last, and to talk, before messages beyond
        /// `chat.unproven_messages_kept` are let go; never of a user whose clients have answered a ping since the
        /// server was started.
        unproven_kept_for: Duration = MINUTE * 10, in Duration::ZERO..=DAY, was "chat.unproven_kept_seconds";
        tls: TlsConfig as Nested;
        /// Who may connect.
        auth: AuthConfig as Auth;
        limits: LimitsConfig as Nested;
        rates: RatesConfig as Nested;
        connect_hook: ConnectHookConfig as Nested;
        keep_alive: KeepAliveConfig as Nested, was "chat.keep_alive";
        deflate: DeflateConfig as Nested;
        echo_limits: EchoLimitsConfig as Nested;
        /// Further addresses, at which the same is served; up to 64.
        listeners: Vec<ListenerConfig> as Tables, example "[[server.listeners]]";
    }
}

table! {
    /// A further address of the WebSocket side. Limits of connections, `server.auth` and `server.allowed_origins` hold for
    /// all of them together.
    pub struct ListenerConfig {
        /// Its address, written like `server.listen`.
        address: String = "127.0.0.1:8086".to_owned();
        /// Permissions of a Unix socket's file: who may write to it may connect. "0660" = user and group.
        socket_mode: String = "0660".to_owned();
        /// Group of a Unix socket's file, by name or number, empty = the process's own.
        socket_group: String;
        /// Takes WebSockets over HTTP/2 too, as `server.http2`.
        http2: bool = false;
        /// Addresses or networks of balancers that send a PROXY protocol header, as `server.proxy_protocol`.
        proxy_protocol: Vec<String>;
        /// Addresses or networks of HTTP proxies that are believed who asks for what, as `server.trusted_proxies`.
        trusted_proxies: Vec<String>;
        /// The fields that these proxies write, as `server.forwarded_fields`.
        forwarded_fields: ForwardedFields = ForwardedFields::Either;
        tls: TlsConfig as Nested;
    }
}

table! {
    /// Compression of messages (permessage-deflate, RFC 7692), with clients that ask for it. Each message is compressed
    /// by itself, so a connection keeps no memory for it: 400 KiB are held while a message is compressed, 60 KiB for each
    /// message that has begun to come and not ended. Compressing costs processor time, and the size of a message tells
    /// something about it (CRIME, BREACH) to who sees the wire and chooses a part of its text.
    pub struct DeflateConfig {
        /// Agrees on compression with clients that ask for it.
        enabled: bool = false;
        /// Effort from 1 (fastest) to 9 (smallest).
        level: u32 = 1, in 1..=9;
        /// Messages below this size are sent as they are: below a packet there is little to win.
        threshold: usize as Size = 512, in 0..=1 << 20;
    }
}

table! {
    /// TLS on this listener. Changed files are taken over within a minute, or at once by SIGHUP.
    pub struct TlsConfig {
        /// Whether the listener speaks TLS (wss://, https://).
        enabled: bool = false;
        /// PEM file with the certificate chain, the server's own first.
        certificate: String;
        /// PEM file with the private key; its mode is 0640 or less.
        key: String;
        /// File with the passphrase of an encrypted key (PKCS#8); empty = the key is not encrypted.
        key_passphrase_file: String;
        /// Takes a key file that others than its owner and group can read, as orchestrators mount secrets (0444, 0644):
        /// every user of the machine who can read it can pose as this server.
        danger_allow_exposed_key: bool = false;
        /// PEM file with the CAs of client certificates. When set, every client must present one; empty = none asked
        /// for.
        client_ca: String;
    }
}

table! {
    /// What strangers can cost.
    pub struct LimitsConfig {
        /// Open connections; 0 = as many as the limit of file descriptors allows. Their memory together is bounded by
        /// `memory_bytes_max`.
        connections_max: u32 = 0;
        /// Open connections per client address (IPv6: /64 network); 0 = unlimited, because all clients behind a proxy share one that is not
        /// among `trusted_proxies`.
        connections_per_ip_max: u32 = 0;
        /// Time for TLS handshake and request head together.
        handshake_timeout: Duration = SECOND * 10, in SECOND..=MINUTE * 5, was "handshake_seconds";
        /// Size of a request head; held while a head is read.
        head_bytes_max: usize as Size = 16 << 10, in 1 << 10..=1 << 20;
        /// Header fields in a request head.
        headers_max: usize = 64, in 8..=1024;
        /// Size of one message after reassembly; a longer one closes with 1009. Held per connection while a message is
        /// incomplete.
        message_bytes_max: usize as Size = 10 << 20, in 1..=1 << 30, was "chat.message_bytes_max";
        /// Bytes a connection may have waiting to be written; a reader that lets more pile up is closed.
        send_queue_bytes_max: usize as Size = 1 << 20, in 16 << 10..=1 << 30;
        /// Bytes of a messaging connection that the system may hold unsent (`TCP_NOTSENT_LOWAT`, Linux only): small, so
        /// that the server sees how a slow reader takes a large message. Larger ones save writes.
        unsent_bytes_max: u32 as Size = 32 << 10, in 4 << 10..=16 << 20;
        /// Bytes of memory that all WebSocket clients together may make the server hold: messages that have not ended,
        /// and what is not read. Who holds most for longest is closed with 1013 when it is used up; 0 = half of what the
        /// machine has, or the control group of the process, if that is less.
        memory_bytes_max: usize as Size = 0, in 0..=1 << 44;
        /// The same for one connection; above it is closed with 1013; 0 = a quarter of `memory_bytes_max`.
        memory_per_connection_max: usize as Size = 0, in 0..=1 << 44;
        /// Time in which a message that has begun must bring its end or another 4 KiB (one of less than that: anything);
        /// then its connection is closed with 1008; `"0s"` = never.
        message_timeout: Option<Duration> as ZeroIsNone = Some(MINUTE), in None..=Some(DAY);
        /// Pings and unasked pongs of one client per second in the long run; more close with 1008; 0 = unlimited.
        control_frames_per_second: u32 = 10, in 0..=1000;
        /// As many may come at once, as after a standstill of the network.
        control_frames_burst: u32 = 600, in 1..=1_000_000;
        /// Time a client may keep an HTTP answer waiting without reading 16 KiB of it; then it is cut. For the REST API
        /// too.
        answer_timeout: Duration = SECOND * 30, in SECOND..=HOUR, was "answer_seconds";
        /// Bytes of HTTP answers waiting to be read, over all clients and both listeners; beyond it answers above 4 KiB
        /// are 503.
        answers_bytes_max: usize as Size = 64 << 20, in 1 << 20..=1 << 30;
        /// Tickets of the web chat's page at a time, about 150 bytes each: a page takes one for its credentials before
        /// it connects, and it is good for one connection within 30 s. The oldest are forgotten for new ones.
        tickets_max: usize = 10_000, in 1..=1_000_000;
        /// Users who may be blocked at a time (`POST /blocks`), about 200 bytes each; the list is written as a whole.
        blocked_users_max: usize = 10_000, in 0..=1_000_000;
    }
}

table! {
    /// Finding dead connections.
    pub struct KeepAliveConfig {
        /// Silence after which the server pings; `"0s"` = never. The default is below the 30 to 60 seconds after which
        /// proxies forget a connection.
        ping_interval: Option<Duration> as ZeroIsNone = Some(SECOND * 25), in None..=Some(DAY), was "ping_seconds";
        /// Time to answer a ping; less than `ping_interval`.
        pong_timeout: Duration = SECOND * 10, in SECOND..=DAY, was "pong_seconds";
        /// Time without a message from the client after which it is closed; `"0s"` = never.
        inactive_timeout: Option<Duration> as ZeroIsNone = None, in None..=Some(DAY * 30), was "inactive_seconds";
    }
}

table! {
    /// What /echo takes: tests and benchmarks send other messages than people do. Without effect unless `server.echo`
    /// is true.
    pub struct EchoLimitsConfig {
        /// Size of one message to /echo after reassembly; a longer one closes with 1009.
        message_bytes_max: usize as Size = 16 << 20, in 1..=1 << 30;
        /// Frames of one message to /echo; more close with 1008. Bounds the work of a message of tiny or empty
        /// fragments, which the bytes do not.
        fragments_max: u32 = 4096, in 1..=1_000_000;
    }
}

table! {
    /// The REST API.
    pub struct RestConfig {
        /// Whether the REST API is served. While it is not, its other keys are not checked.
        enabled: bool = true;
        /// Its address, written like `server.listen`.
        listen: String = "127.0.0.1:8092".to_owned();
        /// Permissions of a Unix socket's file: who may write to it may connect. "0660" = user and group.
        socket_mode: String = "0660".to_owned();
        /// Group of a Unix socket's file, by name or number, empty = the process's own.
        socket_group: String;
        /// Size of a request body; held while a request is read.
        body_bytes_max: usize as Size = 10 << 20, in 1 << 10..=1 << 30;
        /// A client that sends a body must send `body_bytes_per_second_min` on average in each period of this length, or
        /// the rest of it; else the answer is 408.
        body_timeout: Duration = SECOND * 30, in SECOND..=HOUR;
        /// The least rate of a body. A slow line passes; a client that sends a byte now and then does not keep its
        /// connection.
        body_bytes_per_second_min: usize as Size = 1 << 10, in 1..=1 << 30;
        /// How long a connection may be without a request; then it is closed. Proxies in front must keep theirs for a
        /// shorter time (nginx: `keepalive_timeout` of the upstream, 60 s), or a request now and then meets the end.
        idle_timeout: Duration = SECOND * 75, in SECOND..=DAY;
        /// How long a sent message may take to be stored; after it the answer is 504 with the message's id, because
        /// what becomes of it is not known. Each waiting request keeps its connection.
        answer_timeout: Duration = SECOND * 30, in SECOND..=MINUTE * 10, was "answer_seconds";
        /// How long an Idempotency-Key makes a repeated request to send a message get the answer of the first. In
        /// memory: a restart forgets the keys.
        idempotency_ttl: Duration = MINUTE * 10, in SECOND..=DAY, was "idempotency_seconds";
        /// Keys remembered at a time, about 500 bytes each; the oldest are forgotten for new ones.
        idempotency_keys_max: usize = 10_000, in 1..=1_000_000;
        /// Addresses or networks of balancers that send a PROXY protocol header; `"unix"` = all on a Unix socket. If
        /// there is one, nobody else is let in. For example `["10.0.0.0/8"]`.
        proxy_protocol: Vec<String>;
        /// Addresses or networks of HTTP proxies that are believed who asks for what (`"unix"` = all on a Unix
        /// socket): their X-Forwarded-For, -Proto, -Host and -Port, Forwarded or X-Real-IP tell the client's address for
        /// limits and the log, and the page's origin.
        trusted_proxies: Vec<String>;
        /// The fields that these proxies write: `"either"` (X-Forwarded-For where it is there, else Forwarded, else X-Real-IP),
        /// `"x-forwarded"` or `"forwarded"`. Proxies that write Forwarded and pass X-Forwarded-For of clients through
        /// need `"forwarded"`.
        forwarded_fields: ForwardedFields = ForwardedFields::Either;
        /// Speaks HTTP/2 too: with TLS to clients that agree on it, without TLS to those that begin with it. A
        /// connection has up to 100 requests at a time.
        http2: bool = false;
        tls: TlsConfig as Nested;
        /// Who may call; a REST client may send as any user.
        auth: AuthConfig as Auth;
    }
}

table! {
    /// The admin page and its API.
    pub struct AdminConfig {
        /// Serves the admin page. While it is false, its other keys are not checked.
        enabled: bool = false;
        /// Its address, written like `server.listen`. Beyond loopback it needs `admin.auth`.
        listen: String = "127.0.0.1:8093".to_owned();
        /// Permissions of a Unix socket's file: who may write to it may connect. "0660" = user and group.
        socket_mode: String = "0660".to_owned();
        /// Group of a Unix socket's file, by name or number, empty = the process's own.
        socket_group: String;
        /// Addresses or networks of HTTP proxies that are believed who asks for what (`"unix"` = all on a Unix
        /// socket): their X-Forwarded-For, -Proto, -Host and -Port, Forwarded or X-Real-IP tell the client's address
        /// and the page's origin.
        trusted_proxies: Vec<String>;
        /// The fields that these proxies write: `"either"`, `"x-forwarded"` or `"forwarded"`, as for the other
        /// listeners.
        forwarded_fields: ForwardedFields = ForwardedFields::Either;
        tls: TlsConfig as Nested;
        /// Who may use it. Whoever is bound to a user needs the grant `admin` too.
        auth: AuthConfig as Auth;
    }
}

table! {
    /// What is logged.
    pub struct LogConfig {
        /// off, error, warn, info, debug or trace; with exceptions: "info,tidewire=debug". `debug` writes per
        /// connection, `trace` per message.
        level: String = "info".to_owned();
        /// `"text"` for people, `"json"` for collectors.
        format: LogFormat = LogFormat::Text;
    }
}

impl TlsConfig {
    pub(super) fn files(&self) -> IdentityFiles<'_> {
        IdentityFiles {
            certificate: &self.certificate,
            key: &self.key,
            passphrase: &self.key_passphrase_file,
            is_exposed_key_allowed: self.danger_allow_exposed_key,
        }
    }
}

impl LimitsConfig {
    /// How often a client may ping; `None` means as often as it likes.
    pub fn control_rate(&self) -> Option<ControlRate> {
        (self.control_frames_per_second > 0).then_some(ControlRate {
            per_second: self.control_frames_per_second,
            burst: self.control_frames_burst,
        })
    }
}
