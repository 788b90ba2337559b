//! Describes what callers on other threads see of the outbox: its counters, and that there is something new.

use std::fmt;

use parking_lot::Mutex;

use crate::{OnNewEvents, OutboxStats};

/// Written by the store's thread once per batch, read by anybody.
#[derive(Default)]
pub(in crate::embedded) struct OutboxShared {
    stats: Mutex<OutboxStats>,
    on_new_events: Mutex<Option<OnNewEvents>>,
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
