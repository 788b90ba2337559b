//! Counters of the store: written by its thread, read by anybody.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use super::index::Index;
use crate::MailboxStats;

/// Each figure is exact; a snapshot taken while the store works may mix two moments.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pending_messages: AtomicU64,
    pending_bytes: AtomicU64,
    pending_users: AtomicU64,
    pub(super) appended: AtomicU64,
    pub(super) acked: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) purged: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) corrupt: AtomicU64,
    pub(super) commits: AtomicU64,
    pub(super) lost_commits: AtomicU64,
    clock_gap_ms: AtomicU64,
    pub(super) disk_full: AtomicBool,
    pub(super) store_full: AtomicBool,
    pub(super) failed: OnceLock<Arc<str>>,
}

impl Counters {
    pub(super) fn gauge(&self, index: &Index, clock_gap_ms: u64) {
        let totals = index.totals();
        self.pending_messages
            .store(totals.messages, Ordering::Relaxed);
        self.pending_bytes.store(totals.bytes, Ordering::Relaxed);
        self.pending_users.store(totals.users, Ordering::Relaxed);
        self.clock_gap_ms.store(clock_gap_ms, Ordering::Relaxed);
    }

    /// An append was refused because the store is at its limit, or (`false`) there may be room.
    pub(super) fn set_store_full(&self, full: bool) {
        // The look spares the common case a write to a shared cache line.
        if self.store_full.load(Ordering::Relaxed) != full {
            self.store_full.store(full, Ordering::Relaxed);
        }
    }

    pub(super) fn pending(&self) -> u64 {
        self.pending_messages.load(Ordering::Relaxed)
    }

    pub(super) fn snapshot(&self) -> MailboxStats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        MailboxStats {
            pending_messages: load(&self.pending_messages),
            pending_bytes: load(&self.pending_bytes),
            pending_users: load(&self.pending_users),
            appended: load(&self.appended),
            acked: load(&self.acked),
            expired: load(&self.expired),
            purged: load(&self.purged),
            refused: load(&self.refused),
            corrupt: load(&self.corrupt),
            commits: load(&self.commits),
            lost_commits: load(&self.lost_commits),
            clock_gap_ms: load(&self.clock_gap_ms),
            disk_full: self.disk_full.load(Ordering::Relaxed),
            store_full: self.store_full.load(Ordering::Relaxed),
            failed: self.failed.get().cloned(),
        }
    }
}

/// Adds to a counter; no other memory hangs on it.
pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
