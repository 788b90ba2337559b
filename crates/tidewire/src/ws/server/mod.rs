//! The server: where it listens, what it serves, how it starts.
//!
//! In: a [`ServerConfig`] and endpoints by path. Out: a [`RunningServer`], which is a
//! [`service`](crate::service) that speaks WebSocket.

mod config; // where it listens, its limits
mod opening; // a request that is answered by somebody else
#[cfg(feature = "http2")]
mod unanswered; // such a request on HTTP/2, not answered yet
mod sockets; // WebSocket as the protocol of a service
mod session; // from a request to its endpoint
#[cfg(feature = "http2")]
mod places; // its sessions, counted
#[cfg(feature = "http2")]
mod accepting; // such a request while its endpoint decides
#[cfg(feature = "http2")]
mod http2; // many WebSockets on one connection
mod open; // from a connection's first bytes to what is run for it
mod running; // a running server, seen from outside

use std::{collections::HashMap, fmt, sync::Arc};

use self::sockets::{Life, Sockets};
pub use self::{
    config::{Limits, ServerConfig},
    opening::{Established, Interceptor, Opening, RefusalObserver, RefusedRequest},
    running::{RunningServer, Traffic},
};
use super::{Endpoint, IntoEndpoint};
use crate::{
    http::Fallback,
    net::{ConnectionCounts, Listener},
    service::{self, StartError},
};

/// A server to be started, any number of times.
#[derive(Clone)]
pub struct Server {
    config: ServerConfig,
    routes: HashMap<String, Arc<dyn Endpoint>>,
    any: Option<Arc<dyn Endpoint>>,
    interceptor: Option<Interceptor>,
    fallback: Option<Fallback>,
    health_path: Option<String>,
    observer: Option<RefusalObserver>,
    counts: Option<ConnectionCounts>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("config", &self.config)
            .finish_non_exhaustive()
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
            health_path: None,
            observer: None,
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

    /// Serves `path` (exact, without query) by `endpoint`: an [`Endpoint`], or an async function of a socket, or of
    /// a socket and its request.
    #[must_use]
    pub fn route<Kind>(
        mut self,
        path: impl Into<String>,
        endpoint: impl IntoEndpoint<Kind>,
    ) -> Self {
        self.routes.insert(path.into(), endpoint.into_endpoint());
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
    pub fn route_any<Kind>(mut self, endpoint: impl IntoEndpoint<Kind>) -> Self {
        self.any = Some(endpoint.into_endpoint());
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

    /// Answers GET, HEAD and OPTIONS requests of this path (exact, without query) with 200 and `ok`, for the probes of
    /// balancers, in HTTP/1.0 too and whatever `Host` they name. They go neither to routes nor to the fallback. A
    /// WebSocket request of the path is none of them.
    #[must_use]
    pub fn health_path(mut self, path: impl Into<String>) -> Self {
        self.health_path = Some(path.into());
        self
    }

    /// Tells of every WebSocket request that is refused, by an [`Opening`] or by the server itself, for records of
    /// access. Requests whose head cannot be read are none.
    #[must_use]
    pub fn on_refused(mut self, observer: RefusalObserver) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Binds and starts to accept. The server can be started again, for example after a
    /// [drain](RunningServer::drain), with nothing left of its last run.
    ///
    /// # Errors
    /// [`StartError`].
    ///
    /// # Panics
    /// With [`Workers::Pool`](service::Workers::Pool), outside of a tokio runtime.
    pub fn start(&self) -> Result<RunningServer, StartError> {
        self.start_on(self.bind()?)
    }

    /// Binds without starting: connections wait for [`start_on`](Self::start_on).
    ///
    /// # Errors
    /// [`StartError::Bind`].
    pub fn bind(&self) -> Result<Vec<Listener>, StartError> {
        self.service(Life::new(&self.config)).bind()
    }

    /// As [`start`](Self::start), on listeners that were bound by somebody else, for example by the process
    /// that this one succeeds (see [`RunningServer::listeners`]): a [`Listener`], or a `TcpListener` or `UnixListener` of
    /// the standard library. All must listen on the same address.
    ///
    /// # Errors
    /// [`StartError`]; also when there is no listener.
    ///
    /// # Panics
    /// With [`Workers::Pool`](service::Workers::Pool), outside of a tokio runtime.
    pub fn start_on(
        &self,
        listeners: impl IntoIterator<Item: Into<Listener>>,
    ) -> Result<RunningServer, StartError> {
        let life = Life::new(&self.config);
        let mut server = self.service(life.clone());
        if let Some(counts) = &self.counts {
            server = server.count_with(counts);
        }
        Ok(RunningServer::new(server.start_on(listeners)?, life))
    }

    /// With what lives as long as a run.
    fn service(&self, life: Life) -> service::Server<Sockets> {
        let sockets = Sockets {
            config: self.config.clone(),
            routes: self.routes.clone(),
            any: self.any.clone(),
            interceptor: self.interceptor.clone(),
            fallback: self.fallback.clone(),
            health_path: self.health_path.clone(),
            observer: self.observer.clone(),
            life,
        };
        service::Server::new(self.config.service(), sockets)
    }
}

impl RunningServer {
    /// Serves the connections to come as `server` says: TLS, routes, limits and all. Those that are
    /// there stay as they are, and count for the new limits. Address, workers and the topic of
    /// [everyone](Self::everyone) stay the same.
    pub fn reconfigure(&self, server: &Server) {
        self.reconfigure_with(|life| server.service(life));
    }
}
