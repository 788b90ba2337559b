//! [`Settings`]: the checked configuration, in the types the server works with.
//!
//! There is no other way to get one than through the checks, so what takes `Settings` checks
//! nothing again. Meaning, default and cost of every value stand at the key in
//! [`Config`](super::Config) that has its name.

use std::{
    fmt,
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use jiff::tz::TimeZone;
use tidewire::ws::ControlRate;
use tidewire_auth::Authenticator;
use tidewire_config::LogFormat;

use super::value::{Confirm, Runtime};

/// What the server runs by.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Directory of the message store.
    pub data_dir: PathBuf,
    /// The WebSocket side.
    pub server: ServerSettings,
    /// The REST API; `None` when it is not served. Its keys are not checked then.
    pub rest: Option<RestSettings>,
    /// What happens to messages.
    pub chat: ChatSettings,
    /// What is kept for absent users.
    pub mailbox: MailboxSettings,
    /// Which events are logged: a filter in the syntax of `tracing`.
    pub log_level: String,
    /// The shape of a log line.
    pub log_format: LogFormat,
    /// What is allowed but deserves a line in the log at every start.
    pub warnings: Vec<Warning>,
}

/// The WebSocket side.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerSettings {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// TLS, if the listener speaks it.
    pub tls: Option<TlsSettings>,
    /// Path of the messaging endpoint, without a trailing slash.
    pub endpoint: String,
    /// Whether `/echo` is served.
    pub echo: bool,
    /// Whether the web chat page is served.
    pub web_chat: bool,
    /// How threads share connections.
    pub runtime: Runtime,
    /// Threads; `None` means one per core.
    pub workers: Option<NonZeroUsize>,
    /// Origins besides the server's own.
    pub allowed_origins: AllowedOrigins,
    /// Who may connect.
    pub auth: Authenticator,
    /// How long connections get to finish.
    pub drain: Duration,
    /// What strangers can cost.
    pub limits: LimitsSettings,
    /// What `/echo` takes.
    pub echo_limits: EchoLimitsSettings,
}

/// Which origins may connect besides the server's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// Any; never together with ambient credentials.
    Any,
    /// These, in the spelling of browsers (lower case, no default port). May be empty.
    Only(Vec<String>),
}

impl AllowedOrigins {
    /// Whether a page of this origin, as in the `Origin` field, may connect.
    pub fn allows(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(origins) => origins.iter().any(|allowed| allowed == origin),
        }
    }
}

/// TLS on one listener. The files could be opened when the configuration was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsSettings {
    /// PEM file with the certificate chain.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
    /// PEM file with the CAs of client certificates. When there is one, a client without a
    /// certificate must be refused.
    pub client_ca: Option<PathBuf>,
}

/// What strangers can cost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitsSettings {
    /// Open connections; `None` means as many as file descriptors allow.
    pub connections_max: Option<NonZeroU32>,
    /// Open connections per client address; `None` means unlimited.
    pub connections_per_ip_max: Option<NonZeroU32>,
    /// Time for TLS handshake and request head together.
    pub handshake_timeout: Duration,
    /// Bytes of a request head.
    pub head_bytes_max: usize,
    /// Header fields of a request head.
    pub headers_max: usize,
    /// Bytes a connection may have waiting to be written.
    pub send_queue_bytes_max: usize,
    /// Bytes of a messaging connection that the system may hold unsent.
    pub unsent_bytes_max: u32,
    /// How often a client may ping; `None` means as often as it likes.
    pub control_rate: Option<ControlRate>,
    /// How long a client may keep an HTTP answer waiting.
    pub answer_within: Duration,
    /// Bytes of HTTP answers waiting to be read.
    pub answers_bytes_max: usize,
}

/// What `/echo` takes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EchoLimitsSettings {
    /// Bytes of one message after reassembly.
    pub message_bytes_max: usize,
    /// Frames of one message.
    pub fragments_max: u32,
}

/// The REST API.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RestSettings {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// TLS, if the listener speaks it.
    pub tls: Option<TlsSettings>,
    /// Bytes of a request body.
    pub body_bytes_max: usize,
    /// Time a sent message may take to be stored.
    pub answer: Duration,
    /// Time an `Idempotency-Key` is remembered.
    pub idempotency: Duration,
    /// Keys remembered at a time.
    pub idempotency_keys_max: usize,
    /// Who may call.
    pub auth: Authenticator,
}

/// What happens to messages.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches, one key each"
)]
pub struct ChatSettings {
    /// Bytes of one message after reassembly.
    pub message_bytes_max: usize,
    /// Whether senders get their own messages back.
    pub send_back: bool,
    /// Message types never sent back, in lower case.
    pub send_back_ignored_types: Vec<String>,
    /// Message types that are passed on and never stored, in lower case.
    pub live_only_types: Vec<String>,
    /// Whether a recipient who is named several times gets a message as often.
    pub repeat_recipients: bool,
    /// Bytes of one connection's messages that are not stored yet.
    pub submissions_bytes_max: usize,
    /// Whether senders are told that a message was delivered.
    pub delivery_status: bool,
    /// Whether a message's sender must be the user of its connection.
    pub check_sender: bool,
    /// Time zone of server-made timestamps.
    pub time_zone: TimeZone,
    /// When a message to a client that cannot acknowledge counts as delivered.
    pub confirm: Confirm,
    /// What happens to messages for clients that never answer a ping.
    pub unproven: UnprovenSettings,
    /// Recipients of one message.
    pub recipients_max: usize,
    /// Connections of one user at a time.
    pub sessions_per_user_max: usize,
    /// Messages waiting in memory for one connection.
    pub outbox_messages_max: usize,
    /// Their bytes; one message is taken whatever its size.
    pub outbox_bytes_max: usize,
    /// Finding dead connections.
    pub keep_alive: KeepAliveSettings,
}

/// Messages for clients that never answer a ping.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnprovenSettings {
    /// Connections on which a message is delivered without a proof; 0 means no limit.
    pub deliveries_max: usize,
    /// Messages kept for a redelivery.
    pub messages_kept: usize,
    /// How long such a connection has to last before anything is let go.
    pub kept: Duration,
}

/// Finding dead connections.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeepAliveSettings {
    /// Silence after which the server pings; `None` means never.
    pub ping_interval: Option<Duration>,
    /// Time to answer a ping.
    pub pong_timeout: Duration,
    /// Time without a message after which a connection is closed; `None` means never.
    pub inactive_timeout: Option<Duration>,
}

/// What is kept for absent users.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MailboxSettings {
    /// Whether messages are stored. When not, limits below may be 0.
    pub stores: bool,
    /// How long a message is kept unless its sender says otherwise.
    pub ttl: Duration,
    /// How long a sender may ask for.
    pub ttl_max: Duration,
    /// Messages waiting for one user.
    pub user_messages_max: u64,
    /// Their bytes.
    pub user_bytes_max: u64,
    /// Messages waiting for all users.
    pub messages_max: u64,
    /// Their bytes.
    pub bytes_max: u64,
    /// Messages of one sender waiting in all mailboxes; as good as unlimited when not limited.
    pub sender_messages_max: u64,
    /// Their bytes.
    pub sender_bytes_max: u64,
    /// How much of one mailbox a sender may fill, in percent.
    pub sender_share_percent: u64,
    /// Bytes of messages on their way to the disk.
    pub queue_bytes_max: usize,
    /// Time between two runs that counts at once.
    pub clock_jump_max: Duration,
    /// How long the server has to run until a longer one counts.
    pub clock_confirm: Duration,
}

/// A setting that is allowed but dangerous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// `chat.check_sender` is off.
    SenderUnchecked,
    /// Nothing is stored: `mailbox.enabled` is off, or something is limited to 0.
    NothingStored,
    /// `server.public_without_auth` lets everybody on the network in.
    PublicWithoutAuth,
    /// `server.allowed_origins` is `["*"]`.
    AnyOrigin,
    /// A secret stands in the configuration itself.
    InlineSecret {
        /// The key of the authentication.
        key: &'static str,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SenderUnchecked => {
                f.write_str("chat.check_sender is false: every client can write as any other user")
            }
            Self::NothingStored => f.write_str(
                "mailbox.enabled is false or one of its limits is 0: messages to users who are \
                 not connected are lost",
            ),
            Self::PublicWithoutAuth => f.write_str(
                "server.public_without_auth is true: everybody who reaches the server may use it",
            ),
            Self::AnyOrigin => {
                f.write_str("server.allowed_origins is [\"*\"]: every web page may connect")
            }
            Self::InlineSecret { key } => write!(
                f,
                "{key} contains a secret: refer to it with ${{env:NAME}} or ${{file:/path}}"
            ),
        }
    }
}
