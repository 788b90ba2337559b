//! [`Registry`]: the open sessions of a server, to be found, counted and ended from outside.
//!
//! In: sessions as they open and end. Out: what others share of them, by id. Invariants: an id is never used
//! twice by a server; whoever adds up counters sees a session once, whenever it ends.

use std::{
    collections::HashMap,
    ops::AddAssign,
    sync::{
        Arc, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::sync::Mutex;

/// So that sessions of several workers seldom wait for one another.
const SHARDS: usize = 16;

/// The shared part of a session.
pub(crate) trait Registered: Send + Sync + 'static {
    /// Counters of a session.
    type Counters: Copy + Default + AddAssign + Send;

    /// Returns what it has moved so far.
    fn counters(&self) -> Self::Counters;

    /// The same once it has ended.
    fn last_counters(&self) -> Self::Counters {
        self.counters()
    }
}

pub(crate) struct Registry<T: Registered> {
    next: AtomicU64,
    is_draining: AtomicBool,
    shards: [Mutex<Shard<T>>; SHARDS],
}

struct Shard<T: Registered> {
    open: HashMap<u64, Arc<T>>,
    /// Counters of the sessions that have ended.
    ended: T::Counters,
}

impl<T: Registered> Default for Shard<T> {
    fn default() -> Self {
        Self {
            open: HashMap::new(),
            ended: T::Counters::default(),
        }
    }
}

impl<T: Registered> Default for Registry<T> {
    fn default() -> Self {
        Self {
            next: AtomicU64::new(0),
            is_draining: AtomicBool::new(false),
            shards: Default::default(),
        }
    }
}

/// A session's entry; dropping it removes the session.
pub(crate) struct Entry<T: Registered> {
    id: u64,
    registry: Arc<Registry<T>>,
}

impl<T: Registered> Registry<T> {
    /// A new session, with a new id.
    pub(crate) fn open(self: &Arc<Self>, make: impl FnOnce(u64) -> Arc<T>) -> (Arc<T>, Entry<T>) {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let session = make(id);
        self.shard(id).open.insert(id, Arc::clone(&session));
        let entry = Entry {
            id,
            registry: Arc::clone(self),
        };
        (session, entry)
    }

    /// Sessions opened so far.
    pub(crate) fn opened(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    pub(crate) fn len(&self) -> usize {
        let shards = self.shards.iter();
        shards.map(|shard| shard.lock().open.len()).sum()
    }

    pub(crate) fn find(&self, id: u64) -> Option<Arc<T>> {
        self.shard(id).open.get(&id).cloned()
    }

    /// All sessions there are now.
    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        let shards = self.shards.iter();
        shards.flat_map(|shard| shard.lock().all()).collect()
    }

    /// Counters of all sessions, open and ended.
    pub(crate) fn counters(&self) -> T::Counters {
        let mut total = T::Counters::default();
        for shard in &self.shards {
            let (ended, open) = {
                let shard = shard.lock();
                (shard.ended, shard.all())
            };
            total += ended;
            for session in open {
                total += session.counters();
            }
        }
        total
    }

    /// From now on sessions that open are to be ended at once, see [`is_draining`](Self::is_draining).
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Ordering::SeqCst);
    }

    /// Returns whether the server drains. To be asked by who has opened a session, after it can be found: a drain
    /// that ends all sessions either finds it or is seen here.
    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::SeqCst)
    }

    fn shard(&self, id: u64) -> MutexGuard<'_, Shard<T>> {
        let at = usize::try_from(id).unwrap_or_default() % SHARDS;
        let shard = &self.shards[at];
        shard.lock()
    }
}

impl<T: Registered> Shard<T> {
    fn all(&self) -> Vec<Arc<T>> {
        self.open.values().cloned().collect()
    }
}

impl<T: Registered> Drop for Entry<T> {
    fn drop(&mut self) {
        let session = self.registry.find(self.id);
        let counters = session.map(|session| session.last_counters());
        let mut shard = self.registry.shard(self.id);
        let session = shard.open.remove(&self.id);
        shard.ended += counters.unwrap_or_default();
        drop(shard);
        drop(session); // outside of the lock
    }
}
