//! A live endpoint: what a reload changes in place, and everything that outlives one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};

use tokio::{runtime::Handle, sync::watch};

use crate::{
    ambient::now,
    process::reconcile::{self, Current, Wanted},
    routing::connections::ConnectionCounts,
    settings::Endpoint,
    upstream::{Pool, Prober},
};

/// An endpoint at work.
#[derive(Debug)]
pub(crate) struct Target {
    endpoint: RwLock<Arc<Endpoint>>,
    pub(crate) pool: Pool,
    pub(crate) connections: Arc<ConnectionCounts>,
    pub(crate) counters: Counters,
    /// From its start to its retirement; follows reloads by itself.
    prober: Mutex<Option<Prober>>,
    /// Which process is wanted, told to its [reconciler](reconcile::reconcile).
    wanted: watch::Sender<Wanted>,
    /// Its process, while there is one.
    pub(crate) process: Arc<Current>,
    /// When a loss was last told.
    told_loss: Mutex<Option<Instant>>,
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

/// How often losses are told.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

impl Target {
    pub(crate) fn new(endpoint: Arc<Endpoint>) -> Self {
        Self {
            pool: Pool::new(&endpoint),
            endpoint: RwLock::new(endpoint),
            connections: Arc::default(),
            counters: Counters::default(),
            prober: Mutex::default(),
            wanted: watch::Sender::default(),
            process: Arc::default(),
            told_loss: Mutex::default(),
        }
    }

    /// Begins to check the upstreams. Gives what keeps its process, to be run.
    pub(crate) fn start(&self, runtime: &Handle) -> impl Future<Output = ()> + Send + use<> {
        let _context = runtime.enter();
        let prober = Prober::start(&self.pool);
        *self.prober.lock() = Some(prober);
        let (wanted, process) = (self.wanted.subscribe(), Arc::clone(&self.process));
        reconcile::reconcile(self.pool.clone(), wanted, process)
    }

    /// From now on there is a process, if one is configured.
    pub(crate) fn want_process(&self) {
        self.wanted.send_replace(Wanted::Running(self.endpoint()));
    }

    /// It is in the settings no more, or the gateway stops: its upstreams are not checked from now on. Its
    /// connections are ended by others.
    pub(crate) fn retire(&self) {
        let mut prober = self.prober.lock();
        let ended = prober.take();
        drop(prober);
        drop(ended);
    }

    /// Begins to stop its process.
    pub(crate) fn end_process(&self) {
        self.wanted.send_replace(Wanted::Stopped);
    }

    /// A backend was lost behind a living client, or could not be found again: told at most once a second,
    /// for many clients lose it at a time.
    pub(crate) fn tell_loss(&self, what: &'static str) {
        let now = now();
        let mut told = self.told_loss.lock();
        if told.is_some_and(|told| now < told + TELL_EVERY) {
            return;
        }
        *told = Some(now);
        drop(told);
        let lost = self.counters.lost.load(Ordering::Relaxed);
        let name = &self.endpoint().name;
        tracing::warn!(endpoint = %name, lost_so_far = lost, "{what}");
    }

    /// Returns what is configured now.
    pub(crate) fn endpoint(&self) -> Arc<Endpoint> {
        Arc::clone(&self.endpoint.read())
    }

    /// A reload: open connections stay as they are, new ones are made as told now.
    pub(crate) fn update(&self, endpoint: Arc<Endpoint>) {
        self.pool.update(&endpoint);
        *self.endpoint.write() = Arc::clone(&endpoint);
        self.wanted.send_if_modified(|wanted| {
            let running = matches!(wanted, Wanted::Running(_));
            if running {
                *wanted = Wanted::Running(endpoint);
            }
            running
        });
    }
}
