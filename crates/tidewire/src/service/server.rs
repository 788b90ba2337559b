//! A server: bind, start, reload.

use std::{fmt, io, sync::Arc};

use super::{
    accept,
    config::Config,
    drain::Drain,
    protocol::Protocol,
    running::RunningServer,
    shared::{Current, Service},
    workers::{self, Workers},
};
use crate::net::{
    Address, ConnectionCounts, Listener,
    accept::{self as accepting, Acceptor},
    bind,
};

/// A server could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address cannot be bound.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: Address,
        /// What the system reported.
        source: io::Error,
    },
    /// A thread or runtime could not be made.
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
}

/// A server to be started, any number of times.
pub struct Server<P> {
    config: Config,
    protocol: Arc<P>,
    counts: Option<ConnectionCounts>,
}

impl<P> Clone for Server<P> {
    fn clone(&self) -> Self {
        Self {
            config: self.config.clone(),
            protocol: Arc::clone(&self.protocol),
            counts: self.counts.clone(),
        }
    }
}

impl<P> fmt::Debug for Server<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl<P: Protocol> Server<P> {
    /// A server that speaks `protocol`.
    pub fn new(config: Config, protocol: P) -> Self {
        Self {
            config,
            protocol: Arc::new(protocol),
            counts: None,
        }
    }

    /// Counts its connections together with those of all servers that are given the same: its
    /// [`connections_max`](super::Limits::connections_max) and [`per_ip_max`](super::Limits::per_ip_max) hold for
    /// all of them. Default: each running server has counts of its own. A server that runs
    /// [keeps](RunningServer::reconfigure) those it was started with.
    #[must_use]
    pub fn count_with(mut self, counts: &ConnectionCounts) -> Self {
        self.counts = Some(counts.clone());
        self
    }

    /// Binds and starts to accept. The server can be started again, for example after a
    /// [drain](RunningServer::drain).
    ///
    /// # Errors
    /// [`StartError`].
    ///
    /// # Panics
    /// With [`Workers::Pool`], outside of a tokio runtime.
    pub fn start(&self) -> Result<RunningServer<P>, StartError> {
        self.start_on(self.bind()?)
    }

    /// Binds without starting: connections wait for [`start_on`](Self::start_on).
    ///
    /// # Errors
    /// [`StartError::Bind`].
    pub fn bind(&self) -> Result<Vec<Listener>, StartError> {
        let workers = self.config.workers.listeners();
        let Config {
            address,
            options,
            unix,
            ..
        } = &self.config;
        let bound = bind::bind(address, workers, options, unix);
        bound.map_err(|source| self.bind_error(source))
    }

    /// As [`start`](Self::start), on listeners that were bound by somebody else, for example by the process
    /// that this one succeeds (see [`RunningServer::listeners`]): a [`Listener`], or a `TcpListener` or `UnixListener` of
    /// the standard library. All must listen on the same address.
    ///
    /// # Errors
    /// [`StartError`]; also when there is no listener.
    ///
    /// # Panics
    /// With [`Workers::Pool`], outside of a tokio runtime.
    pub fn start_on(
        &self,
        listeners: impl IntoIterator<Item: Into<Listener>>,
    ) -> Result<RunningServer<P>, StartError> {
        self.start_with(listeners.into_iter().map(Into::into).collect())
    }

    fn start_with(&self, kept: Vec<Listener>) -> Result<RunningServer<P>, StartError> {
        let bind_error = |source| self.bind_error(source);
        let none = || io::ErrorKind::NotFound.into();
        let address = kept
            .first()
            .ok_or_else(none)
            .and_then(Listener::local_addr)
            .map_err(bind_error)?;
        let listeners = kept
            .iter()
            .map(Listener::without_file)
            .collect::<io::Result<Vec<_>>>()
            .map_err(bind_error)?;
        for listener in &listeners {
            listener.set_nonblocking().map_err(bind_error)?;
            accepting::bound_sending(
                listener,
                self.config.limits.unsent_bytes_max,
                self.config.limits.unacknowledged_timeout,
            );
        }
        let shares = self.config.workers.share(listeners).map_err(bind_error)?;
        let counts = self.counts.clone().unwrap_or_default();
        let service = Service::new(self.config.clone(), Arc::clone(&self.protocol), counts);
        // Dropped by an error, it ends the workers that have begun.
        let mut running = RunningServer {
            address,
            listeners: kept,
            current: Arc::new(Current::new(service)),
            abort: Drain::new(),
            threads: Vec::new(),
        };
        let current = &running.current;
        for (number, listeners) in shares.into_iter().enumerate() {
            match &self.config.workers {
                Workers::Pool => {
                    for listener in listeners {
                        let acceptor = Acceptor::new(listener).map_err(StartError::Runtime)?;
                        let accept = accept::accept_loop(acceptor, Arc::clone(current));
                        current.get().tasks.spawn(Box::pin(accept));
                    }
                }
                Workers::On(runtime) => {
                    for listener in listeners {
                        let slot = runtime.slot(number);
                        let acceptor = {
                            let _entered = slot.handle.enter();
                            Acceptor::new(listener).map_err(StartError::Runtime)?
                        };
                        let accept = accept::accept_loop(acceptor, Arc::clone(current));
                        current.get().tasks.spawn_on(&slot.handle, Box::pin(accept));
                    }
                }
                Workers::PerCore(_) => {
                    let (current, abort) = (Arc::clone(current), running.abort.clone());
                    let thread =
                        workers::on_own_thread(format!("tidewire-{number}"), move || async move {
                            accept::own_core(listeners, current, abort).await;
                        });
                    running.threads.push(thread.map_err(StartError::Runtime)?);
                }
            }
        }
        Ok(running)
    }

    fn bind_error(&self, source: io::Error) -> StartError {
        StartError::Bind {
            address: self.config.address.clone(),
            source,
        }
    }
}

impl<P: Protocol> RunningServer<P> {
    /// Serves the connections to come as `server` says: TLS, protocol, limits and all. Those that are
    /// there stay as they are, and count for the new limits. Address, workers and counts stay the same; the file of a
    /// Unix socket gets the new permissions.
    pub fn reconfigure(&self, server: &Server<P>) {
        let service = self.current.get();
        if service.config.unix != server.config.unix {
            for listener in &self.listeners {
                if let Err(error) = listener.permit(&server.config.unix) {
                    tracing::warn!(address = %self.address, %error, "a Unix socket keeps its permissions");
                }
            }
        }
        let protocol = Arc::clone(&server.protocol);
        self.current
            .set(service.with(server.config.clone(), protocol));
    }
}
