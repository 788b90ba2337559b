//! Where a server listens, how many it serves, how long it waits.

use std::time::Duration;

use super::{
    proxied::{ProxyProtocol, TrustedProxies},
    workers::Workers,
};
use crate::net::{Address, SocketOptions, UnixOptions, rate::Rate};

/// Where and how a server listens, whatever it speaks.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
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
    /// Limits of connections, and deadlines of their opening.
    pub limits: Limits,
    /// Options of the listener's socket and of the connections'. What a reload changes of them counts for the
    /// connections to come, but for the listener's own options and the sizes of buffers.
    pub options: SocketOptions,
    /// Speak TLS. Default: no.
    #[cfg(feature = "tls")]
    pub tls: Option<crate::tls::ServerTls>,
}

impl Config {
    /// Plain bytes on `address`, everything else at its default.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            unix: UnixOptions::default(),
            workers: Workers::per_core(),
            proxy_protocol: ProxyProtocol::Off,
            trusted_proxies: TrustedProxies::default(),
            limits: Limits::default(),
            options: SocketOptions::default(),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

/// How many connections, and how long to wait for them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Most connections at a time; more are [refused](super::Protocol::busy). See
    /// [`Server::count_with`](super::Server::count_with) for several servers. Default: no limit.
    pub connections_max: usize,
    /// Most connections per remote address ([`limited_as`](crate::net::limited_as): of IPv6 a /64 network), as told by a trusted balancer or proxy if there is one; more
    /// are refused. Clients of a Unix socket of whom none is told have no limit of their own. Default: no limit.
    pub per_ip_max: usize,
    /// Most connections of guests: of nobody of whom the protocol has said that it [trusts](crate::net::Peer::trust) them. One
    /// more ends the one that has [asked](crate::net::Peer::touch) for nothing for longest, so that who only holds connections
    /// open keeps nobody out; what is left of `connections_max` is for those who are trusted. Default: no limit, nobody
    /// makes room.
    pub guests_max: usize,
    /// Most connections at a time that are not [open](super::Protocol::open) yet: one more ends the one that has
    /// been at it for longest, so that who begins handshakes and does not go on keeps nobody out. Should be
    /// far above what comes within a round trip of slow clients. Default: no limit of its own.
    pub half_open_max: usize,
    /// How often a connection may come; more are [refused](super::Protocol::busy), so that a storm of clients who come back
    /// after a failure does not leave those who are there without processor time. Default: no limit.
    pub accept_rate: Option<Rate>,
    /// Everything before a connection is [open](super::Protocol::open) must be done within: PROXY header, TLS
    /// handshake, and the protocol's part. Default 10 s in all, so that dripping bytes gains nothing.
    pub handshake_timeout: Duration,
    /// The TLS handshake must be done within, and within `handshake_timeout`. Default 5 s.
    pub tls_timeout: Duration,
    /// Bytes of a connection that the system may hold without having sent them. A small value, for
    /// example 32 KiB, lets deadlines of writing see how a slow peer takes much at once, at the cost of more and
    /// smaller writes. Default `None`: what the system has by itself, up to megabytes. Linux and Android only
    /// (`TCP_NOTSENT_LOWAT`).
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
            guests_max: usize::MAX,
            half_open_max: usize::MAX,
            accept_rate: None,
            handshake_timeout: Duration::from_secs(10),
            tls_timeout: Duration::from_secs(5),
            unsent_bytes_max: None,
            unacknowledged_timeout: None,
        }
    }
}
