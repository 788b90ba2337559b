//! Describes what callers on other threads see of the outbox: its counters, and that there is something new.

use std::{fmt, sync::OnceLock};

use parking_lot::Mutex;

use crate::{OnExpired, OnNewEvents, OutboxStats, embedded::index::ExpiredEntry};

/// Written by the store's thread once per batch, read by anybody.
#[derive(Default)]
pub(in crate::embedded) struct OutboxShared {
    stats: Mutex<OutboxStats>,
    on_new_events: Mutex<Option<OnNewEvents>>,
    on_expired: OnceLock<OnExpired>,
}

impl OutboxShared {
    pub(in crate::embedded) fn set_stats(&self, stats: OutboxStats) {
        *self.stats.lock() = stats;
    }

    pub(in crate::embedded) fn stats(&self) -> OutboxStats {
        self.stats.lock().clone()
    }

    pub(in crate::embedded) fn on_new_events(&self, told: OnNewEvents) {
        *self.on_new_events.lock() = Some(told);
    }

    pub(in crate::embedded) fn on_expired(&self, told: OnExpired) {
        self.on_expired.get_or_init(|| told);
    }

    /// Returns whether somebody is to be told of what expires, besides the targets of events.
    pub(in crate::embedded) fn watches_expired(&self) -> bool {
        self.on_expired.get().is_some()
    }

    pub(in crate::embedded) fn tell_expired(&self, entries: &[ExpiredEntry]) {
        if let Some(told) = self.on_expired.get() {
            for entry in entries {
                told(&entry.user, entry.offset);
            }
        }
    }

    /// Called without the lock, so that who is told may ask again.
    pub(in crate::embedded) fn tell_new_events(&self) {
        let told = self.on_new_events.lock().clone();
        if let Some(told) = told {
            told();
        }
    }
}

impl fmt::Debug for OutboxShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboxShared").finish_non_exhaustive()
    }
}
