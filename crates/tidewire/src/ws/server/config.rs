//! Where a WebSocket server listens, and its limits.

use std::{sync::Arc, time::Duration};

use tidewire_proto::{Config, handshake::HeadLimits};

use crate::{
    memory::MemoryBudget,
    net::{Address, UnixOptions},
    service::{self, ProxyProtocol, Rate, TrustedProxies, Workers},
    ws::TopicConfig,
};

/// How many connections, how large a request, how long to wait.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Most connections at a time; more get 503. Of an HTTP/2 connection every session counts
    /// as one. See [`Server::count_with`](super::Server::count_with) for several servers. Default: no limit.
    pub connections_max: usize,
    /// Most connections per remote address ([`limited_as`](crate::net::limited_as): of IPv6 a /64 network), as told by a trusted balancer or proxy if there is one; more
    /// get 503. Clients of a Unix socket of whom none is told have no limit of their own. Default: no limit.
    pub per_ip_max: usize,
    /// Most connections at a time whose handshakes are not over: one more ends the one that has been at it for
    /// longest, so that who begins and does not go on keeps nobody out. Default: no limit of its own.
    pub half_open_max: usize,
    /// How often a connection may come; more get 503 and a time after which to try again, another one each. Default: no limit.
    pub accept_rate: Option<Rate>,
    /// TLS handshake, request head, the endpoint's decision and the answer must be done within. Default 10 s in
    /// all, so that dripping bytes gains nothing.
    pub handshake_timeout: Duration,
    /// The TLS handshake must be done within, and within `handshake_timeout`. Default 5 s.
    pub tls_timeout: Duration,
    /// Bounds of the request head.
    pub head: HeadLimits,
    /// Most sessions of one HTTP/2 connection at a time; it may send 64 KiB ahead for each.
    /// Default 100, which RFC 9113 recommends as the least.
    #[cfg(feature = "http2")]
    pub streams_per_connection_max: u32,
    /// A peer that takes none of our bytes for this long is dropped. Default 10 s.
    pub write_timeout: Duration,
    /// Bytes of a connection that the system may hold without having sent them. A small value, for
    /// example 32 KiB, lets `write_timeout` and [`WebSocket::bytes_moved`](crate::ws::WebSocket::bytes_moved) see
    /// how a slow peer takes a large message, at the cost of more and smaller writes. Default `None`: what
    /// the system has by itself, up to megabytes. Linux
    /// and Android only (`TCP_NOTSENT_LOWAT`).
    pub unsent_bytes_max: Option<u32>,
    /// The system drops a connection whose peer acknowledges none of the bytes sent to it, or has no room for
    /// more, for this long. Default `None`: what the system has by itself, about 15 minutes. Linux
    /// and Android only (`TCP_USER_TIMEOUT`).
    pub unacknowledged_timeout: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: usize::MAX,
            per_ip_max: usize::MAX,
            half_open_max: usize::MAX,
            accept_rate: None,
            handshake_timeout: Duration::from_secs(10),
            tls_timeout: Duration::from_secs(5),
            head: HeadLimits::default(),
            #[cfg(feature = "http2")]
            streams_per_connection_max: 100,
            write_timeout: Duration::from_secs(10),
            unsent_bytes_max: None,
            unacknowledged_timeout: None,
        }
    }
}

/// Where and how a server listens.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerConfig {
    /// Where to listen: an IP address, whose port 0 picks one, or a Unix socket.
    pub address: Address,
    /// Who may connect to a Unix socket. Default: user and group of the process.
    pub unix: UnixOptions,
    /// How cores are used. Default: a runtime per core.
    pub workers: Workers,
    /// Whether balancers tell who connects. Default: off.
    pub proxy_protocol: ProxyProtocol,
    /// HTTP proxies that tell who sends a request: the address they tell counts for
    /// [`per_ip_max`](Limits::per_ip_max). Default: none.
    pub trusted_proxies: TrustedProxies,
    /// Limits before and around a WebSocket.
    pub limits: Limits,
    /// Limits and deadlines of a WebSocket.
    pub socket: Arc<Config>,
    /// The memory that all connections may hold together, shared with whoever has a clone of it. Default: the budget of the
    /// [process](MemoryBudget::process).
    pub memory: MemoryBudget,
    /// Bounds of the topic that [everyone](super::RunningServer::everyone) is a member of.
    pub everyone: TopicConfig,
    /// Speak TLS.
    #[cfg(feature = "tls")]
    pub tls: Option<crate::tls::ServerTls>,
    /// Speak HTTP/2 too (RFC 8441): with TLS when the client agrees by ALPN, without TLS when
    /// it begins with HTTP/2's preface. Endpoints see no difference. Default false: HTTP/2 is a
    /// larger thing to attack, and browsers need it only to share one connection.
    ///
    /// Requests that are no WebSocket do not reach the fallback; clients are told to come again
    /// with HTTP/1.1 then.
    #[cfg(feature = "http2")]
    pub http2: bool,
}

impl ServerConfig {
    /// Without TLS on `address`, everything else at its default.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            unix: UnixOptions::default(),
            workers: Workers::per_core(),
            proxy_protocol: ProxyProtocol::Off,
            trusted_proxies: TrustedProxies::default(),
            limits: Limits::default(),
            socket: Arc::default(),
            memory: MemoryBudget::process(),
            everyone: TopicConfig::default(),
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "http2")]
            http2: false,
        }
    }

    /// What is no WebSocket's.
    pub(super) fn service(&self) -> service::Config {
        let mut config = service::Config::new(self.address.clone());
        config.unix.clone_from(&self.unix);
        config.workers = self.workers.clone();
        config.proxy_protocol.clone_from(&self.proxy_protocol);
        config.trusted_proxies.clone_from(&self.trusted_proxies);
        #[cfg(feature = "tls")]
        config.tls.clone_from(&self.tls);
        let limits = &self.limits;
        config.limits.connections_max = limits.connections_max;
        config.limits.per_ip_max = limits.per_ip_max;
        config.limits.half_open_max = limits.half_open_max;
        config.limits.accept_rate = limits.accept_rate;
        config.limits.handshake_timeout = limits.handshake_timeout;
        config.limits.tls_timeout = limits.tls_timeout;
        config.limits.unsent_bytes_max = limits.unsent_bytes_max;
        config.limits.unacknowledged_timeout = limits.unacknowledged_timeout;
        config
    }
}
