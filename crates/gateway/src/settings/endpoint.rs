//! [`Endpoint`]: a named target, the upstreams behind it, and what is allowed there.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tidewire::{tls::ClientTls, ws::Url};
use tidewire_auth::Authenticator;

/// A named target.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// The name, as written.
    pub name: String,
    /// Further names: the section's title (M-21).
    pub aliases: Vec<String>,
    /// At least one.
    pub upstreams: Vec<Upstream>,
    /// Which upstream a new connection gets.
    pub balance: Balance,
    /// Prefer upstreams of this zone while one of them is usable.
    pub zone: Option<String>,
    /// Active checks; `None`: none.
    pub health: Option<Health>,
    /// Passive ejection and circuit breaker; `None`: none.
    pub ejection: Option<Ejection>,
    /// How an upstream is opened.
    pub opening: Opening,
    /// Trust, identity and perhaps the upstreams' name for `wss` upstreams; `None`: the system's roots, and the name
    /// of each address.
    pub tls: Option<ClientTls>,
    /// Who may connect; `None`: everybody.
    pub auth: Option<Authenticator>,
    /// Which pages may connect.
    pub origins: Origins,
    /// What one client may do here.
    pub rates: Rates,
    /// Most connections at a time; `usize::MAX`: no limit.
    pub connections_max: usize,
    /// Most connections of one client address at a time; `usize::MAX`: no limit.
    pub per_client_max: usize,
    /// The client's socket outlives its backend; `None` (default): both end together.
    pub resume: Option<Resume>,
    /// Who negotiates compression of pinned connections.
    pub extensions: Extensions,
    /// Who answers the upstreams' pings, where the gateway reads the messages.
    pub pings: PingAnswers,
    /// The upstream gets the `Host` that the client asked for (as its check of the origin may
    /// need); otherwise the upstream's own. Default true.
    pub preserve_host: bool,
    /// Request headers set towards the upstream; an empty value takes one away.
    pub request_headers: Vec<(String, String)>,
    /// Send a PROXY protocol header to the upstream.
    pub proxy_protocol: Option<OutgoingProxyProtocol>,
    /// A process to run and supervise (M-31).
    pub process: Option<Process>,
}

/// One address behind an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// `ws://` or `wss://` with path.
    pub url: Url,
    /// Share of new connections against its siblings, 1 to 1 000; default 1.
    pub weight: u32,
    /// Where it stands.
    pub zone: Option<String>,
    /// Most connections at a time; `usize::MAX`: no limit.
    pub connections_max: usize,
}

/// Which upstream a new connection gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// By turns, smooth, by weight.
    #[default]
    RoundRobin,
    /// The one with the fewest connections per weight.
    LeastConnections,
    /// The same key, the same upstream, as long as it is usable; few keys move when one comes or
    /// goes.
    Hash(HashKey),
}

/// What is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// The client's address.
    Ip,
    /// A request header.
    Header(String),
    /// A query parameter.
    Query(String),
    /// A cookie.
    Cookie(String),
}

/// Active checks: a WebSocket handshake, a ping, its pong, a close.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// From the beginning of a check to that of the next; default 5 s, less up to 10 % jitter. After
    /// a check that failed, a fifth of it.
    pub every: Duration,
    /// The whole check within; default 2 s.
    pub within: Duration,
    /// Path and query instead of the upstream's; `None`: its own.
    pub path: Option<String>,
    /// Checks that fail in a row until it counts as unhealthy; default 2.
    pub unhealthy_after: u32,
    /// Checks that succeed in a row until it counts as healthy again; default 1. The very first
    /// check makes healthy at once.
    pub healthy_after: u32,
    /// What becomes of the open connections of an upstream that turns unhealthy.
    pub on_unhealthy: OnUnhealthy,
}

/// What becomes of the open connections of an upstream when its active checks find it unhealthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnhealthy {
    /// Those that can go on with another upstream ([`Resume`]; every route of `SMHandshake`) leave it at once.
    /// The others stay: a failed check cuts no working socket.
    #[default]
    Move,
    /// All stay, until the connection itself is found broken.
    Keep,
    /// Those that can go on elsewhere leave it, the others are closed with 1012.
    Close,
}

impl OnUnhealthy {
    /// Whether a connection leaves; `movable`: its client's socket outlives it.
    pub(crate) fn leaves(self, movable: bool) -> bool {
        match self {
            Self::Move => movable,
            Self::Keep => false,
            Self::Close => true,
        }
    }
}

/// What failing connections teach about an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// Openings that fail in a row until it is ejected (the breaker opens); default 5.
    pub failures: u32,
    /// How long at first; doubled with each further ejection up to `ejected_max`; default 1 s. Then
    /// one opening is let through as a trial (half-open).
    pub ejected_for: Duration,
    /// Default 30 s.
    pub ejected_max: Duration,
    /// Most of the upstreams that may be ejected at a time, in percent; default 50, at least one upstream when
    /// there are several; a sole upstream is ejected too: openings then fail at once.
    pub percent_max: u32,
}

/// How an upstream is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// One attempt within; default 5 s.
    pub within: Duration,
    /// Further upstreams tried before the client hears of it; default 2.
    pub retries: u32,
}

/// Which pages may connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// Requests without `Origin`, and pages whose origin has the same host as the request.
    #[default]
    Same,
    /// Any.
    Any,
    /// Requests without `Origin`, and these: scheme, host, port, compared in lower case.
    List(Arc<[String]>),
}

/// What one client may do per second. Zero: no limit. Where one is set, the gateway reads the messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Messages of a client per second, with a burst of twice that.
    pub messages_per_second: u32,
    /// Payload bytes of a client per second, with a burst of twice that.
    pub bytes_per_second: u64,
    /// Largest message in either direction, bytes.
    pub message_bytes_max: usize,
}

impl Rates {
    /// Whether messages have to be looked at.
    pub fn any(&self) -> bool {
        self.messages_per_second > 0 || self.bytes_per_second > 0 || self.message_bytes_max > 0
    }
}

/// The client's socket outlives its backend.
#[derive(Clone, Debug, PartialEq)]
pub struct Resume {
    /// The backend must be back within; default 30 s. Then the client is closed with 1014.
    pub within: Duration,
    /// Wait before the first attempt; doubled with each, jittered; default 100 ms.
    pub backoff_min: Duration,
    /// Longest wait; default 30 s.
    pub backoff_max: Duration,
    /// Messages kept meanwhile; default 1 000.
    pub messages_max: usize,
    /// Bytes kept meanwhile; default 1 MiB. Also the largest message.
    pub bytes_max: usize,
    /// What if there is no more room.
    pub overflow: Overflow,
    /// What is sent again.
    pub replay: Replay,
    /// Close codes of a backend that count as its loss; default 1001, 1006, 1012, 1013. Any other is
    /// passed on to the client.
    pub codes: Vec<u16>,
}

/// What if more messages come than can be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The client is closed with 1013.
    #[default]
    Close,
    /// The client is not read until there is room.
    Wait,
}

/// What is sent again to a new backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replay {
    /// What was not wholly given to the system: never twice, but what was on its way to a backend that dies may
    /// be lost.
    #[default]
    Unsent,
    /// What no pong has confirmed: never lost, but what a dying backend has read may come twice.
    Unconfirmed,
}

/// Who negotiates compression of pinned connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extensions {
    /// Client and upstream, through the gateway (needs a relay that does not look inside).
    #[default]
    EndToEnd,
    /// Each side with the gateway.
    PerHop,
}

/// Who answers an upstream's pings, where the gateway reads the messages. A relay of bytes passes pings in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PingAnswers {
    /// The client, when the upstream's answer to the handshake says `Tidewire-Confirm: pong`, as a Tidewire messaging
    /// server's does; otherwise the gateway.
    #[default]
    Auto,
    /// The client: a pong tells the upstream that the client has read all before. A client that is slow, or gone,
    /// looks to the upstream as it is.
    EndToEnd,
    /// The gateway, at once: a pong tells the upstream that the gateway lives, and nothing about the client.
    Gateway,
}

/// Which form of PROXY protocol an upstream is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutgoingProxyProtocol {
    /// Text.
    V1,
    /// Binary.
    V2,
}

/// A process to run and supervise.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// Program and arguments; no shell.
    pub command: Vec<String>,
    /// Working directory.
    pub directory: Option<PathBuf>,
    /// Further environment variables.
    pub environment: Vec<(String, String)>,
    /// Ready when it accepts a WebSocket handshake, within; default 30 s.
    pub ready_within: Duration,
    /// Wait before the first restart; doubled with each up to `backoff_max`, jittered; default 100 ms.
    pub backoff_min: Duration,
    /// Default 30 s.
    pub backoff_max: Duration,
    /// So many ends within `crash_window` are a crash loop: reported, and from now on each restart waits
    /// `backoff_max`; default 5; 0: never.
    pub crash_loop: u32,
    /// Default 60 s. Ready for so long, and the crash loop is over.
    pub crash_window: Duration,
    /// After SIGTERM, until SIGKILL; default 10 s.
    pub stop_within: Duration,
}

impl Process {
    /// A program and its arguments, everything else at its default.
    pub fn new<A: Into<String>>(command: impl IntoIterator<Item = A>) -> Self {
        Self {
            command: command.into_iter().map(Into::into).collect(),
            directory: None,
            environment: Vec::new(),
            ready_within: Duration::from_secs(30),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
            crash_loop: 5,
            crash_window: Duration::from_mins(1),
            stop_within: Duration::from_secs(10),
        }
    }
}

impl Endpoint {
    /// Everything at its default.
    pub fn new(name: impl Into<String>, upstreams: Vec<Upstream>) -> Self {
        Self {
            name: name.into(),
            aliases: Vec::new(),
            upstreams,
            balance: Balance::default(),
            zone: None,
            health: None,
            ejection: Some(Ejection::default()),
            opening: Opening::default(),
            tls: None,
            auth: None,
            origins: Origins::default(),
            rates: Rates::default(),
            connections_max: usize::MAX,
            per_client_max: usize::MAX,
            resume: None,
            extensions: Extensions::default(),
            pings: PingAnswers::default(),
            preserve_host: true,
            request_headers: Vec::new(),
            proxy_protocol: None,
            process: None,
        }
    }
}

impl Upstream {
    /// A sole upstream.
    pub fn new(url: Url) -> Self {
        Self {
            url,
            weight: 1,
            zone: None,
            connections_max: usize::MAX,
        }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(5),
            within: Duration::from_secs(2),
            path: None,
            unhealthy_after: 2,
            healthy_after: 1,
            on_unhealthy: OnUnhealthy::default(),
        }
    }
}

impl Default for Ejection {
    fn default() -> Self {
        Self {
            failures: 5,
            ejected_for: Duration::from_secs(1),
            ejected_max: Duration::from_secs(30),
            percent_max: 50,
        }
    }
}

impl Default for Opening {
    fn default() -> Self {
        Self {
            within: Duration::from_secs(5),
            retries: 2,
        }
    }
}

impl Default for Resume {
    fn default() -> Self {
        Self {
            within: Duration::from_secs(30),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
            messages_max: 1000,
            bytes_max: 1 << 20,
            overflow: Overflow::default(),
            replay: Replay::default(),
            codes: vec![1001, 1006, 1012, 1013],
        }
    }
}
