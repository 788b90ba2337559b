//! [`Endpoint`]: a named target, the upstreams behind it, and what is allowed there.

use std::sync::Arc;

use tidewire::{tls::ClientTls, ws::Url};
use tidewire_access::Gate;

use super::{Ejection, Extensions, Health, Opening, PingAnswers, Process, Rates, Resume};

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
    pub auth: Option<Gate>,
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

/// Which pages may connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// Requests without `Origin`, and pages whose origin has the same host as the request.
    #[default]
    Same,
    /// Any.
    Any,
    /// The same, and besides these origins and patterns of origins ([`tidewire::http::origin_matches`]).
    List(Arc<[String]>),
}

/// Which form of PROXY protocol an upstream is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutgoingProxyProtocol {
    /// Text.
    V1,
    /// Binary.
    V2,
}

impl Endpoint {
    /// Returns whether the gateway reads the messages of its pinned connections; otherwise it relays their bytes, which are
    /// counted, while their messages are not.
    pub fn reads_messages(&self) -> bool {
        self.rates.any() || self.resume.is_some() || self.extensions == Extensions::PerHop
    }

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
