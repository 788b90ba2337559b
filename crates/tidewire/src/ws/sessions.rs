//! The open sessions of a server, to be found, counted and closed from outside.
//!
//! In: connections as they open and end. Out: [`Sender`]s by id. Invariants: an id is never used
//! twice by a server; once the server drains, a session that opens is closed at once.

use std::{
    collections::HashMap,
    sync::{
        Arc, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tidewire_proto::{CloseCode, Stats};

use super::{Sender, socket::SharedConnection};
use crate::net::Stream;
use crate::sync::Mutex;

/// So that sessions of several workers seldom wait for one another.
const SHARDS: usize = 16;

#[derive(Default)]
struct Shard {
    open: HashMap<u64, Arc<SharedConnection<Stream>>>,
    /// Counters of the sessions that have ended. Beside the open ones, so that whoever adds up
    /// sees a session once, whenever it ends.
    ended: Stats,
}

#[derive(Default)]
pub(super) struct Sessions {
    next: AtomicU64,
    draining: AtomicBool,
    shards: [Mutex<Shard>; SHARDS],
}

/// A session's entry; dropping it removes the session.
pub(super) struct Entry {
    id: u64,
    sessions: Arc<Sessions>,
}

impl Sessions {
    /// A new session, with a new id.
    pub(super) fn open(self: &Arc<Self>, link: &Arc<SharedConnection<Stream>>) -> Entry {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        link.set_id(id);
        self.shard(id).open.insert(id, Arc::clone(link));
        // After it can be found: a drain either finds it or is seen here.
        if self.draining.load(Ordering::SeqCst) {
            link.start_close(CloseCode::GOING_AWAY, SHUTTING_DOWN);
        }
        Entry {
            id,
            sessions: Arc::clone(self),
        }
    }

    pub(super) fn len(&self) -> usize {
        (0..SHARDS)
            .map(|shard| self.shard(shard as u64).open.len())
            .sum()
    }

    pub(super) fn find(&self, id: u64) -> Option<Sender> {
        let link = self.shard(id).open.get(&id).cloned()?;
        Some(Sender::new(link))
    }

    /// All sessions there are now.
    pub(super) fn all(&self) -> Vec<Sender> {
        self.links().into_iter().map(Sender::new).collect()
    }

    pub(super) fn close_all(&self, code: CloseCode, reason: &str) {
        for link in self.links() {
            link.start_close(code, reason);
        }
    }

    /// Closes all sessions, also those to come.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.close_all(CloseCode::GOING_AWAY, SHUTTING_DOWN);
    }

    /// Counters of all sessions, open and ended, and the bytes now queued for sending.
    pub(super) fn stats(&self) -> (Stats, usize) {
        let (mut total, mut queued) = (Stats::default(), 0);
        for shard in 0..SHARDS {
            let (ended, links) = {
                let shard = self.shard(shard as u64);
                (shard.ended, shard.links())
            };
            total += ended;
            for link in links {
                let (stats, len) = link.stats();
                total += stats;
                queued += len;
            }
        }
        (total, queued)
    }

    fn links(&self) -> Vec<Arc<SharedConnection<Stream>>> {
        (0..SHARDS)
            .flat_map(|shard| self.shard(shard as u64).links())
            .collect()
    }

    fn shard(&self, id: u64) -> MutexGuard<'_, Shard> {
        let at = usize::try_from(id).unwrap_or_default() % SHARDS;
        let shard = &self.shards[at];
        shard.lock()
    }
}

impl Shard {
    fn links(&self) -> Vec<Arc<SharedConnection<Stream>>> {
        self.open.values().cloned().collect()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let link = self.sessions.shard(self.id).open.get(&self.id).cloned();
        let stats = link.map(|link| link.stats().0).unwrap_or_default();
        let mut shard = self.sessions.shard(self.id);
        let link = shard.open.remove(&self.id);
        shard.ended += stats;
        drop(shard);
        drop(link); // outside of the lock
    }
}

const SHUTTING_DOWN: &str = "server is shutting down";
