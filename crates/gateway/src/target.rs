//! A live endpoint: what a reload changes in place, and everything that outlives one.

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    admission::Places,
    settings::Endpoint,
    upstream::{Pool, Prober},
};

/// An endpoint at work.
#[derive(Debug)]
pub(crate) struct Target {
    endpoint: RwLock<Arc<Endpoint>>,
    pub(crate) pool: Pool,
    pub(crate) places: Arc<Places>,
    pub(crate) counters: Counters,
    /// Checks the upstreams as long as the endpoint lives.
    _prober: Prober,
}

/// What went through an endpoint since the gateway started.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Sockets opened, logical ones too.
    pub(crate) opened: AtomicU64,
    /// Openings that were refused or failed.
    pub(crate) refused: AtomicU64,
    /// Messages from clients, where the gateway reads messages.
    pub(crate) messages_in: AtomicU64,
    /// Messages to clients, where the gateway reads messages.
    pub(crate) messages_out: AtomicU64,
    /// Bytes from clients.
    pub(crate) bytes_in: AtomicU64,
    /// Bytes to clients.
    pub(crate) bytes_out: AtomicU64,
    /// Backends lost behind a living client.
    pub(crate) lost: AtomicU64,
    /// Of these, found again.
    pub(crate) resumed: AtomicU64,
    /// Messages refused or dropped for want of room.
    pub(crate) overflowed: AtomicU64,
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

impl Target {
    /// Begins to check the upstreams, if that is wanted.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub(crate) fn new(endpoint: Arc<Endpoint>) -> Self {
        let pool = Pool::new(&endpoint);
        Self {
            _prober: Prober::start(&pool),
            pool,
            endpoint: RwLock::new(endpoint),
            places: Arc::default(),
            counters: Counters::default(),
        }
    }

    /// What is configured now.
    pub(crate) fn endpoint(&self) -> Arc<Endpoint> {
        Arc::clone(&self.endpoint.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A reload: open connections stay as they are, new ones are made as told now.
    pub(crate) fn update(&self, endpoint: Arc<Endpoint>) {
        self.pool.update(&endpoint);
        *self
            .endpoint
            .write()
            .unwrap_or_else(PoisonError::into_inner) = endpoint;
    }
}
