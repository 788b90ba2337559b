//! [`Settings`]: what the operator wants of a gateway, checked.
//!
//! Plain values that are never changed: a reload makes new ones. Invariants: names of endpoints and
//! their aliases are unique in any case of letters; every route's endpoint exists; every endpoint
//! has at least one upstream; every number is within its range.

mod endpoint; // a named target and its upstreams
mod route; // which requests go where without a special handshake

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tidewire::{
    tls::ServerTls,
    ws::{ControlRate, ProxyProtocol},
};
use tidewire_auth::Authenticator;
use tidewire_config::LogFormat;

pub use self::{
    endpoint::{
        Balance, Ejection, Endpoint, Extensions, HashKey, Health, OnUnhealthy, Opening, Origins,
        OutgoingProxyProtocol, Overflow, PingAnswers, Process, Rates, Replay, Resume, Upstream,
    },
    route::{Condition, Pattern, PatternError, Route, Source},
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
    pub address: SocketAddr,
    /// Speak TLS.
    pub tls: Option<ServerTls>,
    /// Whether balancers in front tell who connects.
    pub proxy_protocol: ProxyProtocol,
    /// Networks whose `X-Forwarded-For` is believed. Default none.
    pub trusted_proxies: Vec<tidewire::ws::Network>,
    /// Speak HTTP/2 too.
    pub http2: bool,
}

/// The `SMHandshake` dialect (M-08 … M-28).
#[derive(Clone, Debug, PartialEq)]
pub struct Classic {
    /// Default true.
    pub enabled: bool,
    /// The handshake must be done within; default 10 s (M-27).
    pub handshake_within: Duration,
    /// Answer bare `ACK` instead of an object (M-24). Default false.
    pub bare_ack: bool,
    /// Largest message, route line included; default 1 MiB.
    pub message_bytes_max: usize,
    /// Most routes of a client in use at a time; default 64.
    pub routes_max: usize,
    /// Most bytes waiting for one route's backend; default 1 MiB. Above it a message is refused with an
    /// error object.
    pub queue_bytes_max: usize,
    /// Answered requests without any match; default all paths. Otherwise these paths only.
    pub paths: Vec<String>,
}

/// The `tidewire.mux.v1` dialect.
#[derive(Clone, Debug, PartialEq)]
pub struct Mux {
    /// Default true.
    pub enabled: bool,
    /// Most logical sockets of a connection at a time; default 256.
    pub streams_max: usize,
    /// Credit per stream that the gateway gives its client, bytes; default 64 KiB, at least 16 390.
    pub credit: u32,
}

/// Bounds around all connections.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Most client connections, of all listeners together; default 90 % of the descriptors, halved since each may need two.
    pub connections_max: usize,
    /// Most client connections of an address, to all listeners together; default 1 024.
    pub per_ip_max: usize,
    /// TLS, request head and opening of the upstream within; default 15 s.
    pub handshake_within: Duration,
    /// A peer that takes none of our bytes for this long is given up; default 10 s.
    pub write_within: Duration,
    /// A client or backend that is silent for this long is asked by a ping, where the gateway speaks
    /// WebSocket itself; default 25 s.
    pub ping_every: Duration,
    /// A pinned connection over which nothing passes for this long is ended; `None` (default): never.
    pub idle_within: Option<Duration>,
    /// How often a client may send frames that carry no data, where the gateway reads messages: pings and pongs
    /// that nobody asked for, and besides as many of the mux dialect; more close with 1008. `None`: as
    /// often as it likes. Default 10 per second after 600 at once.
    pub control_rate: Option<ControlRate>,
}

/// How connections are ended when the gateway stops, or an endpoint is drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Connections ended per second; default 200.
    pub per_second: u32,
    /// All within; default 30 s.
    pub within: Duration,
}

/// The admin listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    /// Address; loopback unless `auth` is given.
    pub address: SocketAddr,
    /// Who may use it; `None`: everybody who reaches it.
    pub auth: Option<Authenticator>,
}

/// Where access records go: one JSON object per connection and logical socket, when it ends.
#[derive(Clone, Debug, PartialEq)]
pub enum AccessLog {
    /// Standard output.
    Stdout,
    /// Appended to a file, which is reopened on SIGHUP.
    File(PathBuf),
}

/// What is logged, and where. The gateway itself only makes events: its program writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Which events: a filter in the syntax of `tracing`. Default `info`.
    pub level: String,
    /// The shape of a line. Default text.
    pub format: LogFormat,
    /// File to append to; `None` (default): the standard error.
    pub file: Option<PathBuf>,
}

impl Settings {
    /// Everything at its default behind one plain listener.
    pub fn new(address: SocketAddr, endpoints: Vec<Endpoint>) -> Self {
        Self {
            listeners: vec![Listener::new(address)],
            workers: None,
            endpoints: endpoints.into_iter().map(Arc::new).collect(),
            routes: Vec::new(),
            pin_by_name: true,
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

impl Listener {
    /// A plain listener.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            tls: None,
            proxy_protocol: ProxyProtocol::Off,
            trusted_proxies: Vec::new(),
            http2: false,
        }
    }
}

impl Default for Classic {
    fn default() -> Self {
        Self {
            enabled: true,
            handshake_within: Duration::from_secs(10),
            bare_ack: false,
            message_bytes_max: 1 << 20,
            routes_max: 64,
            queue_bytes_max: 1 << 20,
            paths: Vec::new(),
        }
    }
}

impl Default for Mux {
    fn default() -> Self {
        Self {
            enabled: true,
            streams_max: 256,
            credit: 64 << 10,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: usize::MAX,
            per_ip_max: 1024,
            handshake_within: Duration::from_secs(15),
            write_within: Duration::from_secs(10),
            ping_every: Duration::from_secs(25),
            idle_within: None,
            control_rate: Some(ControlRate::default()),
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            per_second: 200,
            within: Duration::from_secs(30),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
            file: None,
        }
    }
}
