//! The server: where it listens, what it does with a connection, how it starts.
//!
//! In: a [`ServerConfig`], and an async function or a maker of handlers. Out: a [`RunningServer`], which is a
//! [`service`](crate::service) that speaks nothing but bytes.

use std::{fmt, sync::Arc};

use super::{
    Connection, Handler, RunningServer, Sender, ServerConfig,
    connection::{Returned, finish},
    handler::Running,
    io::Io,
    protocol::{Bytes, Endpoint, Life, Serving},
};
use crate::{
    net::{ConnectionCounts, Listener, Stream},
    service::{self, Observer, StartError},
};

/// A server to be started, any number of times.
///
/// ```no_run
/// use tidewire::tcp::{Connection, Server, ServerConfig};
///
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let config = ServerConfig::new("127.0.0.1:7".parse()?);
/// let server = Server::new(config, |mut connection: Connection| async move {
///     while let Ok(Some(bytes)) = connection.recv().await {
///         if connection.send(bytes).await.is_err() {
///             break;
///         }
///     }
/// })
/// .start()?;
/// println!("{}", server.local_addr());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Server {
    config: ServerConfig,
    endpoint: Endpoint,
    observer: Option<Arc<dyn Observer<Sender>>>,
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
    /// Serves every connection by an async function. When that is done the connection is ended properly: what is
    /// queued is sent, then TLS and the stream end.
    pub fn new<F, T>(config: ServerConfig, serve: F) -> Self
    where
        F: Fn(Connection) -> T + Send + Sync + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        Self::with(config, move |io| {
            let returned: Arc<Returned<Stream>> = Arc::default();
            let serving = serve(Connection::from_io(io).return_to(&returned));
            Box::pin(async move {
                serving.await;
                let io = returned.lock().take();
                if let Some(io) = io {
                    finish(io).await;
                }
            })
        })
    }

    /// Serves every connection by a [`Handler`] of its own, which `make` makes when it opens.
    pub fn handlers<F, H>(config: ServerConfig, make: F) -> Self
    where
        F: Fn(&Sender) -> H + Send + Sync + 'static,
        H: Handler,
    {
        Self::with(config, move |io| {
            let handler = make(&Sender::new(Arc::clone(&io.shared)));
            let mut running = Running::new(io, handler);
            Box::pin(async move {
                if let Err(error) = (&mut running).await {
                    tracing::debug!(error = %crate::ErrorChain(&error), "connection ended");
                }
            })
        })
    }

    fn with(
        config: ServerConfig,
        endpoint: impl Fn(Io<Stream>) -> Serving + Send + Sync + 'static,
    ) -> Self {
        Self {
            config,
            endpoint: Arc::new(endpoint),
            observer: None,
            counts: None,
        }
    }

    /// Tells `observer` of what happens to the server and its sessions.
    #[must_use]
    pub fn observe(mut self, observer: Arc<dyn Observer<Sender>>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Counts its connections together with those of all servers that are given the same; see
    /// [`service::Server::count_with`].
    #[must_use]
    pub fn count_with(mut self, counts: &ConnectionCounts) -> Self {
        self.counts = Some(counts.clone());
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
        self.service(Arc::new(Life::new(&self.config, None))).bind()
    }

    /// As [`start`](Self::start), on listeners that were bound by somebody else, for example by the server that
    /// this one succeeds (see [`RunningServer::listeners`]). All must listen on the same address.
    ///
    /// # Errors
    /// [`StartError`]; also when there is no listener.
    ///
    /// # Panics
    /// With [`Workers::Pool`](service::Workers::Pool), outside of a tokio runtime.
    pub fn start_on(&self, listeners: Vec<Listener>) -> Result<RunningServer, StartError> {
        let life = Arc::new(Life::new(&self.config, self.observer.clone()));
        let mut server = self.service(Arc::clone(&life));
        if let Some(counts) = &self.counts {
            server = server.count_with(counts);
        }
        let running = server.start_on(listeners)?;
        life.start();
        Ok(RunningServer::new(running, life))
    }

    /// With what lives as long as a run.
    fn service(&self, life: Arc<Life>) -> service::Server<Bytes> {
        let bytes = Bytes {
            config: Arc::new(self.config.connection.clone()),
            endpoint: Arc::clone(&self.endpoint),
            life,
        };
        service::Server::new(self.config.service.clone(), bytes)
    }
}

impl RunningServer {
    /// Treats the connections to come as `server` says: TLS, limits, function or handlers, and all. Those that are
    /// there stay as they are, and count for the new limits. Address, workers, observer and the bounds of broadcasts
    /// stay the same.
    pub fn reconfigure(&self, server: &Server) {
        self.reconfigure_with(|life| server.service(life));
    }
}
