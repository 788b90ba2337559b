//! [`Service`]: what all connections of a server share.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{config::Config, drain::Drain, tasks::Tasks, workers::Workers};
use crate::net::{ConnectionCounts, admission::Admission};
use crate::sync::RwLock;

/// What all connections of a server share. Replaced as a whole by a
/// [reload](super::RunningServer::reconfigure); connections keep that which they began with.
pub struct Service<P> {
    pub(super) config: Config,
    pub(super) protocol: Arc<P>,
    pub(super) admission: Arc<Admission>,
    // These stay the same for as long as the server runs.
    pub(super) stop_accepting: Drain,
    pub(super) drain: Drain,
    pub(super) tasks: Tasks,
    pub(super) refused: Arc<AtomicU64>,
}

impl<P> fmt::Debug for Service<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl<P> Service<P> {
    /// For the connections of a server that starts.
    pub(super) fn new(config: Config, protocol: Arc<P>, counts: ConnectionCounts) -> Self {
        let limits = &config.limits;
        let uncounted = config.proxy_protocol.trusted();
        let own_runtime = matches!(config.workers, Workers::PerCore(_));
        Self {
            admission: Admission::new(limits.connections_max, limits.per_ip_max, uncounted, counts),
            stop_accepting: Drain::new(),
            drain: Drain::new(),
            tasks: Tasks::new(own_runtime),
            refused: Arc::default(),
            config,
            protocol,
        }
    }

    /// For the connections to come; those that are there stay in the same counts and drain.
    pub(super) fn with(&self, config: Config, protocol: Arc<P>) -> Self {
        let limits = &config.limits;
        let uncounted = config.proxy_protocol.trusted();
        Self {
            admission: self.admission.with_limits(
                limits.connections_max,
                limits.per_ip_max,
                uncounted,
            ),
            stop_accepting: self.stop_accepting.clone(),
            drain: self.drain.clone(),
            tasks: self.tasks.clone(),
            refused: Arc::clone(&self.refused),
            config,
            protocol,
        }
    }

    /// What is spoken.
    pub fn protocol(&self) -> &P {
        &self.protocol
    }

    /// Where the server listens, and its limits.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Started when the server drains: connections end, each in its protocol's way.
    pub fn drain(&self) -> &Drain {
        &self.drain
    }

    /// Started when nothing is accepted any more, which may be long before the drain.
    pub fn accepting_ended(&self) -> &Drain {
        &self.stop_accepting
    }

    /// Runs a task that belongs to the server: a drain waits for it, and aborts it in the end.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Unpin + Send + 'static,
    {
        self.tasks.spawn(task);
    }

    /// Counts an opening that came to nothing, on a connection that goes on.
    pub fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts connections.
    #[cfg(feature = "http2")]
    pub(crate) fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }
}

/// What new connections share.
pub(super) struct Current<P>(RwLock<Arc<Service<P>>>);

impl<P> Current<P> {
    pub(super) fn new(service: Service<P>) -> Self {
        Self(RwLock::new(Arc::new(service)))
    }

    pub(super) fn get(&self) -> Arc<Service<P>> {
        Arc::clone(&self.0.read())
    }

    pub(super) fn set(&self, service: Service<P>) {
        *self.0.write() = Arc::new(service);
    }
}
