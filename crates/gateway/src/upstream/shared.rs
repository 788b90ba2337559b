//! What a pool and its leases share.
//!
//! Invariant: the lock is a leaf, held for a few comparisons per member and never over an await; watchers are woken
//! without it.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};

use super::{
    check::Plan,
    roster::{Availability, Roster},
};

pub(super) struct Shared {
    pub(super) roster: Mutex<Roster>,
    pub(super) usable: watch::Sender<u64>,
    /// What is asked, and how; see [`Prober`](super::Prober).
    pub(super) plan: watch::Sender<Arc<Plan>>,
    /// The next probe may be due at another time.
    pub(super) reschedule: Notify,
}

impl Shared {
    /// Changes the roster, then wakes those who wait if there is news.
    pub(super) fn tell<T>(&self, change: impl FnOnce(&mut Roster) -> (T, Availability)) -> T {
        let mut roster = self.lock();
        let (result, news) = change(&mut roster);
        let reschedule = roster.take_reschedule();
        drop(roster);
        if reschedule {
            self.reschedule.notify_one();
        }
        if news == Availability::Improved {
            self.usable
                .send_modify(|count| *count = count.wrapping_add(1));
        }
        result
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&Roster) -> T) -> T {
        look(&self.lock())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock()
    }
}
