//! [`Settings`]: what the operator wants of a gateway, checked.
//!
//! Plain values that are never changed: a reload makes new ones. Invariants: names of endpoints and
//! their aliases are unique in any case of letters; every route's endpoint exists; every endpoint
//! has at least one upstream; every number is within its range.

mod tables; // the tables of an endpoint
mod endpoint; // a named target and its upstreams
mod route; // which requests go where without a special handshake

use std::{path::PathBuf, sync::Arc, time::Duration};

use tidewire::{
    net::{Address, UnixOptions},
    tls::ServerTls,
    ws::{ControlRate, HeadLimits, ProxyProtocol},
};
use tidewire_access::Gate;
use tidewire_config::LogFormat;
use tidewire_table::{
    DAY, EmptyIsNone, HOUR, MILLISECOND, MINUTE, SECOND, Size, ZeroIsNone, table,
};

pub use tidewire_telemetry::LogPlace as AccessLog;

pub use self::{
    endpoint::{Balance, Endpoint, HashKey, Origins, OutgoingProxyProtocol, Upstream},
    route::{Condition, Pattern, PatternError, Route, Source},
    tables::{
        Ejection, Extensions, Health, OnUnhealthy, Opening, Overflow, PingAnswers, Process, Rates,
        Replay, Resume,
    },
};

/// Everything a gateway is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where clients connect; at least one.
    pub listeners: Vec<Listener>,
    /// How many worker threads, each with its own runtime; `None`: one per core.
    pub workers: Option<usize>,
    /// The named targets.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Pinned routes, first match wins.
    pub routes: Vec<Route>,
    /// Whether `ROUTENAME` as a request header or query parameter pins a connection (M-29).
    /// Default true.
    pub pin_by_name: bool,
    /// Where probes of balancers find a listener healthy; `None`: nowhere. Default `/healthz`.
    pub health_path: Option<String>,
    /// The `SMHandshake` dialect.
    pub classic: Classic,
    /// The `tidewire.mux.v1` dialect.
    pub mux: Mux,
    /// Bounds around all connections.
    pub limits: Limits,
    /// How connections are ended.
    pub drain: Drain,
    /// Admin page, API and metrics; `None`: off.
    pub admin: Option<Admin>,
    /// Unix socket over which a new process takes the listeners over; `None`: off.
    pub handover: Option<PathBuf>,
    /// Reload by itself when the configuration's files change. Default false.
    pub watch: bool,
    /// The files that these settings were read from.
    pub files: Vec<PathBuf>,
    /// Where access records go; `None`: nowhere.
    pub access_log: Option<AccessLog>,
    /// What is logged, and where.
    pub log: Log,
    /// Things that are allowed and probably not meant.
    pub warnings: Vec<String>,
}

/// An address clients connect to.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// Address; port 0 picks one.
    pub address: Address,
    /// Who may connect to a Unix socket.
    pub unix: UnixOptions,
    /// Speak TLS.
    pub tls: Option<ServerTls>,
    /// Whether balancers in front tell who connects.
    pub proxy_protocol: ProxyProtocol,
    /// HTTP proxies that are believed who asks for what. Default none.
    pub trusted_proxies: Vec<tidewire::ws::Network>,
    /// The fields in which they tell it. Default: either kind.
    pub forwarded_by: tidewire::ws::ForwardedBy,
    /// Speak HTTP/2 too.
    pub http2: bool,
}

table! {
    /// The SMHandshake dialect: many endpoints over one WebSocket, in readable messages.
    pub struct Classic {
        /// Switches the dialect on.
        enabled: bool = true;
        /// Time for the handshake.
        handshake_timeout: Duration = SECOND * 10, in MILLISECOND * 100..=MINUTE * 5, was "handshake_within";
        /// Answers a bare ACK instead of an object.
        bare_ack: bool = false;
        /// Size of one message, its ROUTENAME line included.
        message_bytes_max: usize as Size = 1 << 20, in 1 << 10..=1 << 30;
        /// Routes of one client in use at a time.
        routes_max: usize = 64, in 1..=1 << 16;
        /// Bytes waiting for the backend of one route; above it a message is refused with an error object.
        queue_bytes_max: usize as Size = 1 << 20, in 1 << 10..=1 << 30;
        /// Paths that speak it, where no route fits; empty = all if there are no routes, else `/` only.
        paths: Vec<String>;
    }
}

table! {
    /// The subprotocol tidewire.mux.v1: many endpoints over one WebSocket, binary.
    pub struct Mux {
        /// Switches the dialect on.
        enabled: bool = true;
        /// Logical sockets of one connection at a time.
        streams_max: usize = 256, in 1..=1 << 16;
        /// Bytes a logical socket may have on its way to the gateway.
        credit: u32 as Size = 64 << 10, in 16_390..=(1 << 31) - 1;
    }
}

table! {
    /// Bounds around all connections.
    pub struct LimitsConfig {
        /// Connections of clients to all listeners together; 0 = as many as the limit of file descriptors allows, if
        /// each needs a second one to its backend.
        connections_max: u32 = 0;
        /// Connections of one client address (IPv6: of one /64 network), to all listeners together; 0 = no limit.
        per_ip_max: u32 = 1024;
        /// Connections to backends, of all endpoints together, where a client may have many: each logical socket takes a
        /// place, more are refused with 503; 0 = as many as `connections_max`.
        backend_connections_max: u32 = 0;
        /// The same for the clients of one address together; more are refused with 429; 0 = half of
        /// `backend_connections_max`.
        backend_connections_per_ip_max: u32 = 0;
        /// Time for TLS, request head and the opening of the upstream together.
        handshake_timeout: Duration = SECOND * 15, in MILLISECOND * 100..=MINUTE * 5, was "handshake_within";
        /// Size of the head of a client's request, its cookies included; a larger one is answered with 431. Each
        /// connection may hold so much until it is answered.
        head_bytes_max: usize as Size = 64 << 10, in 1 << 10..=1 << 20;
        /// Header fields in it.
        head_fields_max: usize = 128, in 8..=1024;
        /// Time after which a peer that takes none of our bytes is given up.
        write_timeout: Duration = SECOND * 10, in MILLISECOND * 100..=HOUR, was "write_within";
        /// Silence after which a peer is asked by a ping, where the gateway reads messages.
        ping_interval: Duration = SECOND * 25, in SECOND..=DAY, was "ping_every";
        /// Time after which a plain relay over which nothing passes is ended; `"0s"` = never.
        idle_timeout: Option<Duration> as ZeroIsNone = None, in None..=Some(DAY), was "idle_within";
        /// Pings and unasked pongs of one client per second, where the gateway reads messages, and as many frames of
        /// tidewire.mux.v1 besides those that data is paid for with; more close with 1008; 0 = no limit.
        control_frames_per_second: u32 = 10, in 0..=1000;
        /// As many may come at once, as after a standstill of the network.
        control_frames_burst: u32 = 600, in 1..=1_000_000;
        /// Bytes of memory that all clients together may make the gateway hold: messages that have not ended, queues,
        /// what waits for backends that are away. Who holds most for longest is closed with 1013 when it is used up;
        /// 0 = half of what the machine has, or the control group of the process, if that is less.
        memory_bytes_max: usize as Size = 0, in 0..=1 << 44;
        /// The same for one connection with all that it carries; above it is closed with 1013; 0 = a quarter of
        /// `memory_bytes_max`.
        memory_per_connection_max: usize as Size = 0, in 0..=1 << 44;
        /// Time in which a message that has begun, and is put together here, must bring its end or another 4 KiB (one of
        /// less than that: anything); then its connection is closed with 1008; `"0s"` = never.
        message_timeout: Option<Duration> as ZeroIsNone = Some(MINUTE), in None..=Some(DAY);
    }
}

/// Bounds around all connections.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Most client connections, of all listeners together; default 90 % of the descriptors, halved since each may need two.
    pub connections_max: usize,
    /// Most client connections of an address, to all listeners together; default 1 024.
    pub per_ip_max: usize,
    /// Most connections to backends, of all endpoints together; default as many as `connections_max`.
    pub backend_connections_max: usize,
    /// The same for one client address; default half of that.
    pub backend_connections_per_ip_max: usize,
    /// TLS, request head and opening of the upstream within; default 15 s.
    pub handshake_timeout: Duration,
    /// Bounds of a client's request head; default 64 KiB and 128 fields.
    pub head: HeadLimits,
    /// A peer that takes none of our bytes for this long is given up; default 10 s.
    pub write_timeout: Duration,
    /// A client or backend that is silent for this long is asked by a ping, where the gateway speaks
    /// WebSocket itself; default 25 s.
    pub ping_interval: Duration,
    /// A pinned connection over which nothing passes for this long is ended; `None` (default): never.
    pub idle_timeout: Option<Duration>,
    /// How often a client may send frames that carry no data, where the gateway reads messages: pings and pongs
    /// that nobody asked for, and besides as many of the mux dialect; more close with 1008. `None`: as
    /// often as it likes. Default 10 per second after 600 at once.
    pub control_rate: Option<ControlRate>,
    /// Bytes of memory that all clients may make the gateway hold together; `None` (default): half of what the machine, or
    /// the control group, has.
    pub memory_bytes_max: Option<usize>,
    /// Bytes of memory that one client's connection may make the gateway hold; `None` (default): a quarter of the above.
    pub memory_per_connection_max: Option<usize>,
    /// How long a message that has begun may bring nothing, where it is put together; `None`: as long as it likes. Default
    /// 60 s.
    pub message_timeout: Option<Duration>,
}

table! {
    /// How connections are ended when the gateway stops, or an endpoint is drained.
    pub struct Drain {
        /// Connections that are ended per second.
        per_second: u32 = 200, in 1..=1_000_000;
        /// Time in which all of them are ended.
        timeout: Duration = SECOND * 30, in Duration::ZERO..=HOUR, was "within";
    }
}

/// The admin listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    /// Address; loopback or a Unix socket unless `auth` is given.
    pub address: Address,
    /// Who may connect to a Unix socket.
    pub unix: UnixOptions,
    /// Who may use it; `None`: everybody who reaches it.
    pub auth: Option<Gate>,
    /// HTTP proxies that are believed at which address they are asked for.
    pub proxies: tidewire::ws::TrustedProxies,
}

table! {
    /// What is logged, and where.
    pub struct Log {
        /// off, error, warn, info, debug or trace; with exceptions: "info,tidewire=debug".
        level: String = "info".to_owned();
        /// `"text"` for people, `"json"` for collectors.
        format: LogFormat = LogFormat::Text;
        /// File to append to; empty = the standard error.
        file: Option<PathBuf> as EmptyIsNone = None;
    }
}

impl Settings {
    /// Everything at its default behind one plain listener.
    pub fn new(address: Address, endpoints: Vec<Endpoint>) -> Self {
        Self {
            listeners: vec![Listener::new(address)],
            workers: None,
            endpoints: endpoints.into_iter().map(Arc::new).collect(),
            routes: Vec::new(),
            pin_by_name: true,
            health_path: Some("/healthz".to_owned()),
            classic: Classic::default(),
            mux: Mux::default(),
            limits: Limits::default(),
            drain: Drain::default(),
            admin: None,
            handover: None,
            watch: false,
            files: Vec::new(),
            access_log: None,
            log: Log::default(),
            warnings: Vec::new(),
        }
    }
}

impl Admin {
    /// Whoever reaches `address` may use it, which has to be loopback or a Unix socket.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            unix: UnixOptions::default(),
            auth: None,
            proxies: tidewire::ws::TrustedProxies::default(),
        }
    }
}

impl Listener {
    /// A plain listener.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            unix: UnixOptions::default(),
            tls: None,
            proxy_protocol: ProxyProtocol::Off,
            trusted_proxies: Vec::new(),
            forwarded_by: tidewire::ws::ForwardedBy::Either,
            http2: false,
        }
    }

    /// The proxies, and the fields they write.
    pub(crate) fn proxies(&self) -> tidewire::ws::TrustedProxies {
        tidewire::ws::TrustedProxies {
            networks: self.trusted_proxies.clone(),
            by: self.forwarded_by,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::from(&LimitsConfig::default())
    }
}

impl From<&LimitsConfig> for Limits {
    fn from(config: &LimitsConfig) -> Self {
        let or_none = |limit: u32| {
            if limit == 0 {
                usize::MAX
            } else {
                limit as usize
            }
        };
        let rate = ControlRate {
            per_second: config.control_frames_per_second,
            burst: config.control_frames_burst,
        };
        let backends_max = match config.backend_connections_max {
            0 => or_none(config.connections_max),
            limit => limit as usize,
        };
        Self {
            connections_max: or_none(config.connections_max),
            backend_connections_max: backends_max,
            backend_connections_per_ip_max: match config.backend_connections_per_ip_max {
                0 if backends_max == usize::MAX => usize::MAX,
                0 => backends_max.div_ceil(2),
                limit => limit as usize,
            },
            per_ip_max: or_none(config.per_ip_max),
            handshake_timeout: config.handshake_timeout,
            head: HeadLimits {
                bytes_max: config.head_bytes_max,
                fields_max: config.head_fields_max,
            },
            write_timeout: config.write_timeout,
            ping_interval: config.ping_interval,
            idle_timeout: config.idle_timeout,
            control_rate: (rate.per_second > 0).then_some(rate),
            memory_bytes_max: (config.memory_bytes_max > 0).then_some(config.memory_bytes_max),
            memory_per_connection_max: (config.memory_per_connection_max > 0)
                .then_some(config.memory_per_connection_max),
            message_timeout: config.message_timeout,
        }
    }
}
