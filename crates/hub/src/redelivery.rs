//! What earlier sessions of a user left unproven: [`Redeliveries`].
//!
//! In: how sessions ended. Out: how a new session of the same user begins. Two clients are helped:
//! one that never answers a ping would get the same messages at every connect, so what was handed
//! out often enough waits for a client that does; one that is slower than every deadline would be
//! closed before its first proof each time, so each session in vain makes the next one more patient.
//! Invariant: nothing here confirms a message, and a forgotten entry costs repetitions only. The
//! table is bounded: the user recorded longest ago leaves first.

use std::{
    collections::{HashMap, VecDeque},
    sync::atomic::{AtomicUsize, Ordering},
};

use parking_lot::Mutex;

use crate::{UserId, send_queue::Outcome};

/// What a new session should know of those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Past {
    /// Sessions in a row that handed out messages and ended without any proof.
    pub(crate) unproven_sessions: u32,
    /// What to leave out as long as the client has not answered a ping.
    pub(crate) skip: Option<Skip>,
}

/// Messages that were handed out as often as they should be to clients that prove nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Skip {
    /// The life of the store that `up_to` belongs to.
    pub(crate) epoch: u64,
    /// The highest offset of them.
    pub(crate) up_to: u64,
}

#[derive(Debug)]
pub(crate) struct Redeliveries {
    /// 0: no limit.
    deliveries_max: usize,
    users_max: usize,
    /// Users in the table, for a look without the lock: usually there are none.
    len: AtomicUsize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    users: HashMap<UserId, Entry>,
    /// Each user once, in the order of the first record.
    order: VecDeque<UserId>,
}

#[derive(Debug, Default)]
struct Entry {
    epoch: u64,
    unproven_sessions: u32,
    /// At index n: the highest offset that was handed out in at least n + 1 sessions.
    reached: Vec<u64>,
}

impl Redeliveries {
    pub(crate) fn new(deliveries_max: usize, users_max: usize) -> Self {
        Self {
            deliveries_max,
            users_max,
            len: AtomicUsize::new(0),
            table: Mutex::default(),
        }
    }

    /// What a session of `user` should know when it begins.
    pub(crate) fn past(&self, user: &UserId) -> Past {
        if self.len.load(Ordering::Relaxed) == 0 {
            return Past::default();
        }
        let table = self.table.lock();
        let Some(entry) = table.users.get(user) else {
            return Past::default();
        };
        let full = self.deliveries_max.checked_sub(1);
        let up_to = full.and_then(|index| entry.reached.get(index).copied());
        Past {
            unproven_sessions: entry.unproven_sessions,
            skip: up_to.map(|up_to| Skip {
                epoch: entry.epoch,
                up_to,
            }),
        }
    }

    /// A session of `user` has ended in the given life of the store.
    pub(crate) fn record(&self, user: &UserId, epoch: Option<u64>, outcome: Outcome) {
        if !outcome.unproven {
            if outcome.proved {
                self.forget(user);
            }
            return;
        }
        let mut guard = self.table.lock();
        let Table { users, order } = &mut *guard;
        let entry = users.entry(user.clone()).or_insert_with(|| {
            order.push_back(user.clone());
            Entry::default()
        });
        if outcome.proved || epoch.is_some_and(|epoch| epoch != entry.epoch) {
            *entry = Entry {
                epoch: epoch.unwrap_or(entry.epoch),
                unproven_sessions: if outcome.proved {
                    0
                } else {
                    entry.unproven_sessions
                },
                reached: Vec::new(),
            };
        }
        if !outcome.proved {
            entry.unproven_sessions = entry.unproven_sessions.saturating_add(1);
        }
        if let Some(offset) = outcome.written_up_to {
            entry.handed_out_up_to(offset, self.deliveries_max);
        }
        if users.len() > self.users_max
            && let Some(oldest) = order.pop_front()
        {
            users.remove(&oldest);
        }
        self.len.store(users.len(), Ordering::Relaxed);
    }

    /// What the last session of `user` had handed out was proved after all, by the end of the connection. The next
    /// one should be as patient as if it had not: this client is slow.
    pub(crate) fn proved_at_end(&self, user: &UserId) {
        if let Some(entry) = self.table.lock().users.get_mut(user) {
            entry.reached = Vec::new();
        }
    }

    /// Everything that was handed out to `user` has been proved.
    pub(crate) fn forget(&self, user: &UserId) {
        if self.len.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut guard = self.table.lock();
        let Table { users, order } = &mut *guard;
        if users.remove(user).is_some() {
            order.retain(|known| known != user);
            self.len.store(users.len(), Ordering::Relaxed);
        }
    }
}

impl Entry {
    /// Counts one more session for everything up to `offset`.
    fn handed_out_up_to(&mut self, offset: u64, deliveries_max: usize) {
        // What was handed out in n sessions before was in n + 1 now, as far as this one went.
        let mut raised = offset;
        for reached in &mut self.reached {
            let before = *reached;
            *reached = raised.max(before);
            raised = offset.min(before);
        }
        if self.reached.len() < deliveries_max {
            self.reached.push(raised);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unproven(written_up_to: u64) -> Outcome {
        Outcome {
            proved: false,
            unproven: true,
            written_up_to: Some(written_up_to),
        }
    }

    fn skip(table: &Redeliveries) -> Option<u64> {
        table.past(&UserId::from(7)).skip.map(|skip| skip.up_to)
    }

    #[test]
    fn what_was_handed_out_often_enough_is_left_out() {
        let (table, user) = (Redeliveries::new(3, 10), UserId::from(7));
        for (written_up_to, skipped) in [(5, None), (9, None), (4, Some(4)), (9, Some(5))] {
            table.record(&user, Some(1), unproven(written_up_to));
            assert_eq!(skip(&table), skipped, "after {written_up_to}");
        }
        assert_eq!(table.past(&user).unproven_sessions, 4);
        assert_eq!(table.past(&UserId::from(8)), Past::default());
    }

    #[test]
    fn a_proof_forgets_and_another_life_of_the_store_begins_anew() {
        let (table, user) = (Redeliveries::new(1, 10), UserId::from(7));
        table.record(&user, Some(1), unproven(5));
        assert_eq!(skip(&table), Some(5));
        table.record(&user, Some(2), unproven(3));
        let expected = Past {
            unproven_sessions: 2,
            skip: Some(Skip { epoch: 2, up_to: 3 }),
        };
        assert_eq!(table.past(&user), expected);
        let proved = Outcome {
            proved: true,
            ..unproven(4)
        };
        table.record(&user, Some(2), proved);
        assert_eq!(table.past(&user).unproven_sessions, 0);
        assert_eq!(skip(&table), Some(4));
        let all = Outcome {
            proved: true,
            ..Outcome::default()
        };
        table.record(&user, Some(2), all);
        assert_eq!(table.past(&user), Past::default());
    }

    #[test]
    fn without_a_limit_nothing_is_left_out() {
        let (table, user) = (Redeliveries::new(0, 10), UserId::from(7));
        for _ in 0..20 {
            table.record(&user, Some(1), unproven(5));
        }
        assert_eq!(skip(&table), None);
        assert_eq!(table.past(&user).unproven_sessions, 20);
    }

    #[test]
    fn a_full_table_forgets_who_was_recorded_longest_ago() {
        let table = Redeliveries::new(1, 2);
        for number in 1..=3 {
            table.record(&UserId::from(number), Some(1), unproven(5));
        }
        assert_eq!(table.past(&UserId::from(1)), Past::default());
        assert_eq!(table.past(&UserId::from(3)).unproven_sessions, 1);
    }
}
