//! The server: where it listens, what it serves, how it starts.
//!
//! In: a [`ServerConfig`] and endpoints by path. Out: a [`RunningServer`].

mod accept; // a connection from accept to its endpoint
mod opening; // a request that is answered by somebody else
#[cfg(feature = "http2")]
mod http2; // many WebSockets on one connection
mod running; // a running server, seen from outside

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, PoisonError, RwLock, atomic::AtomicU64},
    time::Duration,
};

use tidewire_proto::{Config, handshake::HeadLimits};
use tokio::net::TcpListener;

pub use self::{
    accept::Established,
    opening::{Interceptor, Opening},
    running::{RunningServer, ServerStats, Traffic},
};
use super::{Endpoint, Peer, ProxyProtocol, StartError, Topic, TopicConfig, sessions::Sessions};
use crate::{
    net::listener::{self, Admission, ConnectionCounts},
    net::{Rewind, Stream},
    service::{self, Workers},
    service::{Drain, Tasks},
};

/// How many connections, how large a request, how long to wait.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Most connections at a time; more get 503. Of an HTTP/2 connection every session counts
    /// as one. See [`Server::count_with`] for several servers. Default: no limit.
    pub connections_max: usize,
    /// Most connections per remote address, as told by a trusted balancer if there is one; more
    /// get 503. Default: no limit.
    pub per_ip_max: usize,
    /// TLS handshake, request head and answer must be done within. Default 10 s in all, so that
    /// dripping bytes gains nothing.
    pub handshake_within: Duration,
    /// The TLS handshake must be done within, and within `handshake_within`. Default 5 s.
    pub tls_within: Duration,
    /// Bounds of the request head.
    pub head: HeadLimits,
    /// Most sessions of one HTTP/2 connection at a time; it may send 64 KiB ahead for each.
    /// Default 100, which RFC 9113 recommends as the least.
    #[cfg(feature = "http2")]
    pub streams_per_connection_max: u32,
    /// A peer that takes none of our bytes for this long is dropped. Default 10 s.
    pub write_within: Duration,
    /// Bytes of a connection that the system may hold without having sent them. A small value, for
    /// example 32 KiB, lets `write_within` and [`WebSocket::bytes_moved`](super::WebSocket::bytes_moved) see
    /// how a slow peer takes a large message, at the cost of more and smaller writes. Default `None`: what
    /// the system has by itself, up to megabytes. Linux
    /// and Android only (`TCP_NOTSENT_LOWAT`).
    pub unsent_bytes_max: Option<u32>,
    /// The system drops a connection whose peer acknowledges none of the bytes sent to it, or has no room for
    /// more, for this long. Default `None`: what the system has by itself, about 15 minutes. Linux
    /// and Android only (`TCP_USER_TIMEOUT`).
    pub unacknowledged_within: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: usize::MAX,
            per_ip_max: usize::MAX,
            handshake_within: Duration::from_secs(10),
            tls_within: Duration::from_secs(5),
            head: HeadLimits::default(),
            #[cfg(feature = "http2")]
            streams_per_connection_max: 100,
            write_within: Duration::from_secs(10),
            unsent_bytes_max: None,
            unacknowledged_within: None,
        }
    }
}

/// Where and how a server listens.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerConfig {
    /// Address to listen on; port 0 picks one.
    pub address: SocketAddr,
    /// How cores are used. Default: a runtime per core.
    pub workers: Workers,
    /// Whether balancers tell who connects. Default: off.
    pub proxy_protocol: ProxyProtocol,
    /// Limits before and around a WebSocket.
    pub limits: Limits,
    /// Limits and deadlines of a WebSocket.
    pub socket: Arc<Config>,
    /// Bounds of the topic that [everyone](RunningServer::everyone) is a member of.
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
    /// Plain TCP on `address`, everything else at its default.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            workers: Workers::per_core(),
            proxy_protocol: ProxyProtocol::Off,
            limits: Limits::default(),
            socket: Arc::default(),
            everyone: TopicConfig::default(),
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "http2")]
            http2: false,
        }
    }
}

/// A request that is no WebSocket upgrade, on its way to an HTTP server.
#[derive(Debug)]
#[non_exhaustive]
pub struct Unrouted {
    /// The stream, the request's bytes put back in front.
    pub stream: Rewind<Stream>,
    /// Who sent it.
    pub peer: Arc<Peer>,
    /// Started when the server drains.
    pub drain: Drain,
}

/// Serves the requests that are no upgrade.
pub type Fallback = Arc<dyn Fn(Unrouted) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A server to be started, any number of times.
#[derive(Clone)]
pub struct Server {
    config: ServerConfig,
    routes: HashMap<String, Arc<dyn Endpoint>>,
    any: Option<Arc<dyn Endpoint>>,
    interceptor: Option<Interceptor>,
    fallback: Option<Fallback>,
    counts: Option<ConnectionCounts>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// What all connections of a server share. Replaced as a whole by
/// [`RunningServer::reconfigure`], where the last seven stay the same.
pub(in crate::ws) struct Shared {
    pub(in crate::ws) config: ServerConfig,
    routes: HashMap<String, Arc<dyn Endpoint>>,
    any: Option<Arc<dyn Endpoint>>,
    interceptor: Option<Interceptor>,
    fallback: Option<Fallback>,
    admission: Arc<Admission>,
    sessions: Arc<Sessions>,
    everyone: Topic,
    /// Nothing is accepted any more.
    full: Drain,
    drain: Drain,
    tasks: Tasks,
    opened: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
}

impl Shared {
    /// Nothing new begins, and sessions are closed first: HTTP/2 connections say GOAWAY behind
    /// their sessions' close frames.
    fn start_drain(&self) {
        self.sessions.drain();
        self.full.start();
        self.drain.start();
    }
}

/// What new connections share.
pub(in crate::ws) struct Current(RwLock<Arc<Shared>>);

impl Current {
    fn get(&self) -> Arc<Shared> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn admission(&self) -> Arc<Admission> {
        Arc::clone(&self.get().admission)
    }

    fn set(&self, shared: Shared) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(shared);
    }
}

impl Server {
    /// A server without routes.
    pub fn new(config: ServerConfig) -> Self {
        Self {
            config,
            routes: HashMap::new(),
            any: None,
            interceptor: None,
            fallback: None,
            counts: None,
        }
    }

    /// Counts its connections together with those of all servers that are given the same: its
    /// [`connections_max`](Limits::connections_max) and [`per_ip_max`](Limits::per_ip_max) hold for all of them.
    /// Default: each running server has counts of its own. A server that runs
    /// [keeps](RunningServer::reconfigure) those it was started with.
    #[must_use]
    pub fn count_with(mut self, counts: &ConnectionCounts) -> Self {
        self.counts = Some(counts.clone());
        self
    }

    /// Serves `path` (exact, without query) by `endpoint`.
    #[must_use]
    pub fn route(mut self, path: impl Into<String>, endpoint: impl Endpoint) -> Self {
        self.routes.insert(path.into(), Arc::new(endpoint));
        self
    }

    /// Serves `path` by an endpoint shared with another path.
    #[must_use]
    pub fn route_shared(mut self, path: impl Into<String>, endpoint: Arc<dyn Endpoint>) -> Self {
        self.routes.insert(path.into(), endpoint);
        self
    }

    /// Serves every path that has no route of its own.
    #[must_use]
    pub fn route_any(mut self, endpoint: impl Endpoint) -> Self {
        self.any = Some(Arc::new(endpoint));
        self
    }

    /// Gives every valid WebSocket request, whatever its path, to `interceptor` before it is
    /// answered; routes do not count then.
    #[must_use]
    pub fn intercept(mut self, interceptor: Interceptor) -> Self {
        self.interceptor = Some(interceptor);
        self
    }

    /// Gives requests that are no upgrade to an HTTP server; without one they get 426.
    #[must_use]
    pub fn fallback(mut self, fallback: Fallback) -> Self {
        self.fallback = Some(fallback);
        self
    }

    /// Binds and starts to accept. The server can be started again, for example after a
    /// [drain](RunningServer::drain), with nothing left of its last run.
    ///
    /// # Errors
    /// [`StartError`].
    ///
    /// # Panics
    /// With [`Workers::Pool`], outside of a tokio runtime.
    pub fn start(&self) -> Result<RunningServer, StartError> {
        self.start_on(self.bind()?)
    }

    /// Binds without starting: connections wait for [`start_on`](Self::start_on).
    ///
    /// # Errors
    /// [`StartError::Bind`].
    pub fn bind(&self) -> Result<Vec<std::net::TcpListener>, StartError> {
        let workers = self.config.workers.listeners();
        listener::bind(self.config.address, workers).map_err(|source| self.bind_error(source))
    }

    /// As [`start`](Self::start), on listeners that were bound by somebody else, for example by the process
    /// that this one succeeds (see [`RunningServer::listeners`]). All must listen on the same address.
    ///
    /// # Errors
    /// [`StartError`]; also when there is no listener.
    ///
    /// # Panics
    /// With [`Workers::Pool`], outside of a tokio runtime.
    pub fn start_on(
        &self,
        listeners: Vec<std::net::TcpListener>,
    ) -> Result<RunningServer, StartError> {
        let bind_error = |source| self.bind_error(source);
        let first = listeners.first();
        let none = || std::io::ErrorKind::NotFound.into();
        let address = first
            .ok_or_else(none)
            .and_then(std::net::TcpListener::local_addr)
            .map_err(bind_error)?;
        let kept = listeners
            .iter()
            .map(std::net::TcpListener::try_clone)
            .collect::<std::io::Result<_>>()
            .map_err(bind_error)?;
        for listener in &listeners {
            listener.set_nonblocking(true).map_err(bind_error)?;
            listener::bound_sending(
                listener,
                self.config.limits.unsent_bytes_max,
                self.config.limits.unacknowledged_within,
            );
        }
        let shares = self.config.workers.share(listeners).map_err(bind_error)?;
        // Dropped by an error, it ends the workers that have begun.
        let shared = self.shared(None);
        let mut running = RunningServer {
            address,
            listeners: kept,
            everyone: shared.everyone.clone(),
            current: Arc::new(Current(RwLock::new(Arc::new(shared)))),
            abort: Drain::new(),
            threads: Vec::new(),
        };
        let current = &running.current;
        for (number, listeners) in shares.into_iter().enumerate() {
            match self.config.workers {
                Workers::Pool => {
                    for listener in listeners {
                        let listener =
                            TcpListener::from_std(listener).map_err(StartError::Runtime)?;
                        let accept = accept::accept_loop(listener, Arc::clone(current));
                        current.get().tasks.spawn(Box::pin(accept));
                    }
                }
                Workers::PerCore(_) => {
                    let (current, abort) = (Arc::clone(current), running.abort.clone());
                    let thread =
                        service::on_own_thread(format!("tidewire-{number}"), move || async move {
                            accept::own_core(listeners, current, abort).await;
                        });
                    running.threads.push(thread.map_err(StartError::Runtime)?);
                }
            }
        }
        Ok(running)
    }

    fn bind_error(&self, source: std::io::Error) -> StartError {
        StartError::Bind {
            address: self.config.address,
            source,
        }
    }

    /// What connections share from now on; those of `before` stay in the same counts, topics and drain.
    fn shared(&self, before: Option<&Shared>) -> Shared {
        let limits = &self.config.limits;
        let (connections_max, per_ip_max) = (limits.connections_max, limits.per_ip_max);
        let uncounted = self.config.proxy_protocol.trusted();
        let own_runtime = matches!(self.config.workers, Workers::PerCore(_));
        Shared {
            admission: if let Some(before) = before {
                let admission = &before.admission;
                admission.with_limits(connections_max, per_ip_max, uncounted)
            } else {
                let counts = self.counts.clone().unwrap_or_default();
                Admission::new(connections_max, per_ip_max, uncounted, counts)
            },
            config: self.config.clone(),
            routes: self.routes.clone(),
            any: self.any.clone(),
            interceptor: self.interceptor.clone(),
            fallback: self.fallback.clone(),
            sessions: before.map_or_else(Arc::default, |it| Arc::clone(&it.sessions)),
            everyone: before.map_or_else(
                || Topic::new(self.config.everyone.clone()),
                |it| it.everyone.clone(),
            ),
            full: before.map_or_else(Drain::new, |it| it.full.clone()),
            drain: before.map_or_else(Drain::new, |it| it.drain.clone()),
            tasks: before.map_or_else(|| Tasks::new(own_runtime), |it| it.tasks.clone()),
            opened: before.map_or_else(Arc::default, |it| Arc::clone(&it.opened)),
            refused: before.map_or_else(Arc::default, |it| Arc::clone(&it.refused)),
        }
    }
}
