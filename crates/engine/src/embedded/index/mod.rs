//! What is pending, in memory: per user a ring of slots, the totals, and who expires next.
//!
//! The index is the truth about what is pending; rows of messages that have left it are
//! garbage that a later transaction deletes. Users with nothing pending stay only as long as
//! they have garbage or fit into a bounded cache.

mod listing; // mailboxes seen from outside
mod user; // one mailbox

use std::collections::{BTreeSet, HashMap, VecDeque, hash_map};

pub(super) use self::user::{Slot, User};
use super::{
    senders::{Amount, SenderId, Senders},
    shared::{Leaving, Left, RowKey, SharedRows},
};
use crate::{Purge, UserKey};

/// What is pending over all users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::embedded) struct Totals {
    pub(in crate::embedded) messages: u64,
    pub(in crate::embedded) bytes: u64,
    pub(in crate::embedded) users: u64,
}

/// A message that has expired; its row is in the file until the next transaction that deletes rows.
#[derive(Debug)]
pub(in crate::embedded) struct ExpiredEntry {
    pub(in crate::embedded) user: UserKey,
    pub(in crate::embedded) row: i64,
    pub(in crate::embedded) offset: u64,
}

#[derive(Debug)]
pub(in crate::embedded) struct Index {
    users: HashMap<UserKey, User>,
    due: BTreeSet<(u64, UserKey)>,
    /// In the order of becoming dirty.
    dirty: VecDeque<UserKey>,
    /// Users seen without pending messages, oldest first; some may have got one since.
    idle: VecDeque<UserKey>,
    idle_max: usize,
    totals: Totals,
    senders: Senders,
    shared: SharedRows,
    /// Messages that have expired, while that is noted.
    expired: Option<Vec<ExpiredEntry>>,
    /// Shared rows that the user in hand has just left.
    left_rows: Vec<(i64, Leaving)>,
}

impl Index {
    pub(in crate::embedded) fn new(idle_max: usize) -> Self {
        Self {
            users: HashMap::new(),
            due: BTreeSet::new(),
            dirty: VecDeque::new(),
            idle: VecDeque::new(),
            idle_max,
            totals: Totals::default(),
            senders: Senders::default(),
            shared: SharedRows::default(),
            expired: None,
            left_rows: Vec::new(),
        }
    }

    /// Makes a user known whose mailbox is empty in the file, with his last offset and whether it
    /// is exactly that. `has_row`: he may have one in table `user` all the same.
    pub(in crate::embedded) fn admit(
        &mut self,
        user: &UserKey,
        (last_offset, is_exact): (u64, bool),
        has_row: bool,
    ) {
        let state = User {
            last_offset,
            is_exact,
            has_row,
            ..User::default()
        };
        self.users.insert(UserKey::clone(user), state);
        self.rest(user);
    }

    /// A shared row is in the file: `entries` of its messages are added next, or were just now.
    pub(in crate::embedded) fn insert_shared(&mut self, row: RowKey, entries: u32, body_len: u32) {
        self.shared.insert(row.seq(), entries, body_len);
    }

    /// Adds a message; its offset must be greater than any before it. Returns the one before it,
    /// if it is known.
    pub(in crate::embedded) fn push(
        &mut self,
        user: &UserKey,
        mut slot: Slot,
        sender: Option<&UserKey>,
    ) -> Option<u64> {
        slot.sender = sender.and_then(|key| self.senders.enter(key, u64::from(slot.len)));
        let state = match self.users.entry(UserKey::clone(user)) {
            hash_map::Entry::Occupied(entry) => entry.into_mut(),
            hash_map::Entry::Vacant(entry) => entry.insert(User::default()),
        };
        assert!(slot.offset > state.last_offset, "offsets of one user rise");
        if state.pending.is_empty() {
            self.totals.users += 1;
        }
        state.pending.push_back(slot);
        state.enter(&slot, &mut self.totals);
        let previous = state.is_exact.then_some(state.last_offset);
        state.last_offset = slot.offset;
        state.is_exact = true;
        if state.due_ms.is_none_or(|due_ms| slot.expiry_ms < due_ms) {
            self.schedule(user, Some(slot.expiry_ms));
        }
        previous
    }

    /// Applies what table `user` says about a user with rows.
    pub(in crate::embedded) fn restore(
        &mut self,
        user: &UserKey,
        last_offset: u64,
        gone_up_to: u64,
    ) {
        if let Some(state) = self.users.get_mut(user) {
            state.last_offset = state.last_offset.max(last_offset);
            state.has_row = true;
            self.ack(user, gone_up_to);
        }
    }

    /// Drops everything up to `up_to`; returns how many messages left.
    pub(in crate::embedded) fn ack(&mut self, user: &UserKey, up_to: u64) -> u64 {
        // A user who is not in memory has nothing pending.
        let Some(state) = self.users.get_mut(user) else {
            return 0;
        };
        let count = state.pending.partition_point(|slot| slot.offset <= up_to);
        for _ in 0..count {
            let Some(slot) = state.pending.pop_front() else {
                break;
            };
            if slot.row.is_shared() {
                self.left_rows.push((slot.row.seq(), Leaving::FromTheFront));
            }
            state.leave(slot, &mut self.totals, &mut self.senders);
        }
        self.left(user, count);
        count as u64
    }

    /// Drops what has expired at `now_ms`; returns how many messages left.
    pub(in crate::embedded) fn expire(&mut self, now_ms: u64) -> u64 {
        let mut expired = 0;
        while let Some((due_ms, _)) = self.due.first()
            && *due_ms <= now_ms
        {
            let Some((_, user)) = self.due.pop_first() else {
                break;
            };
            if let Some(state) = self.users.get_mut(&user) {
                state.due_ms = None;
            }
            expired += self.drop_where(&user, true, |slot| slot.expiry_ms <= now_ms);
        }
        expired
    }

    /// From now on notes what expires, or does not.
    pub(in crate::embedded) fn note_expired(&mut self, noted: bool) {
        self.expired = noted.then(Vec::new);
    }

    /// Takes what has expired since the last call, if that is noted.
    pub(in crate::embedded) fn take_expired(&mut self) -> Vec<ExpiredEntry> {
        self.expired
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Drops what `purge` selects; returns how many messages left.
    pub(in crate::embedded) fn purge(&mut self, purge: &Purge) -> u64 {
        let (recipient, sender) = match purge {
            Purge::Recipient(recipient) => return self.ack(recipient, u64::MAX),
            Purge::Sender(sender) => (None, sender),
            Purge::Between { recipient, sender } => (Some(recipient), sender),
        };
        let Some((sender, _)) = self.senders.waiting(sender) else {
            return 0;
        };
        let users: Vec<UserKey> = match recipient {
            Some(user) => vec![UserKey::clone(user)],
            None => self.users.keys().cloned().collect(),
        };
        users
            .iter()
            .map(|user| self.drop_where(user, false, |slot| slot.sender == Some(sender)))
            .sum()
    }

    /// Drops the messages of one mailbox for which `drops` holds; returns how many.
    fn drop_where(
        &mut self,
        user: &UserKey,
        is_expiry: bool,
        drops: impl Fn(&Slot) -> bool,
    ) -> u64 {
        let Some(state) = self.users.get_mut(user) else {
            return 0;
        };
        let before = state.pending.len();
        for slot in std::mem::take(&mut state.pending) {
            if drops(&slot) {
                if is_expiry && let Some(expired) = &mut self.expired {
                    expired.push(ExpiredEntry {
                        user: UserKey::clone(user),
                        row: slot.row.seq(),
                        offset: slot.offset,
                    });
                }
                if slot.row.is_shared() {
                    self.left_rows.push((slot.row.seq(), Leaving::Anywhere));
                }
                state.leave(slot, &mut self.totals, &mut self.senders);
            } else {
                state.pending.push_back(slot);
            }
        }
        let count = before - state.pending.len();
        let earliest = state.pending.iter().map(|slot| slot.expiry_ms).min();
        if state.due_ms != earliest {
            self.schedule(user, earliest);
        }
        self.left(user, count);
        count as u64
    }

    /// Drops what was stored with a row key below `before_seq` and expires at `horizon_ms`;
    /// returns how many messages left. Looks at everything pending.
    pub(in crate::embedded) fn expire_older(&mut self, before_seq: i64, horizon_ms: u64) -> u64 {
        let is_over = |slot: &Slot| slot.row.seq() < before_seq && slot.expiry_ms <= horizon_ms;
        let holds_some = |state: &User| state.pending.iter().any(is_over);
        let users: Vec<UserKey> = self
            .due
            .iter()
            .map(|(_, user)| user)
            .filter(|user| self.users.get(*user).is_some_and(holds_some))
            .cloned()
            .collect();
        users
            .iter()
            .map(|user| self.drop_where(user, true, is_over))
            .sum()
    }

    /// Takes out what lies in a row that is set aside elsewhere: one message of `user`, or those
    /// of everybody who shares it. Looks at everything pending then.
    pub(in crate::embedded) fn remove(&mut self, user: &UserKey, row: RowKey) {
        let users: Vec<UserKey> = if row.is_shared() {
            let holds_some = |state: &User| state.pending.iter().any(|slot| slot.row == row);
            let holders = self.users.iter().filter(|(_, state)| holds_some(state));
            holders.map(|(user, _)| UserKey::clone(user)).collect()
        } else {
            vec![UserKey::clone(user)]
        };
        for user in &users {
            let Some(state) = self.users.get_mut(user) else {
                continue;
            };
            let before = state.pending.len();
            for slot in std::mem::take(&mut state.pending) {
                if slot.row == row {
                    state.leave(slot, &mut self.totals, &mut self.senders);
                } else {
                    state.pending.push_back(slot);
                }
            }
            state.garbage.retain(|seq| *seq != row.seq());
            let count = before - state.pending.len();
            self.left(user, count);
        }
        for user in self.shared.remove(row.seq()) {
            self.unlist(&user);
        }
    }

    /// At most `count` shared rows that are to be deleted or written again. They go before the
    /// users that are dirty: a user's row goes only after what it tells about.
    pub(in crate::embedded) fn owed_rows(&self, count: usize) -> Vec<i64> {
        self.shared.owed(count)
    }

    pub(in crate::embedded) fn owed_rows_len(&self) -> usize {
        self.shared.owed_len()
    }

    /// Whether something of this shared row waits.
    pub(in crate::embedded) fn holds_row(&self, seq: i64) -> bool {
        self.shared.holds(seq)
    }

    /// The first `count` owed rows are written.
    pub(in crate::embedded) fn settle_rows(&mut self, count: usize) {
        for user in self.shared.settle(count) {
            self.unlist(&user);
        }
    }

    /// The users whose row or garbage is to be written, as many as have about `rows_max` rows.
    pub(in crate::embedded) fn dirty(&self, rows_max: usize) -> Vec<UserKey> {
        let mut rows = 0;
        let within = |user: &&UserKey| {
            let room = rows < rows_max;
            rows += 1 + self.users.get(*user).map_or(0, |state| state.garbage.len());
            room
        };
        self.dirty.iter().take_while(within).cloned().collect()
    }

    /// The first `count` dirty users are written.
    pub(in crate::embedded) fn settle(&mut self, count: usize) {
        let settled: Vec<UserKey> = self.dirty.drain(..count).collect();
        for user in settled {
            let Some(state) = self.users.get_mut(&user) else {
                continue;
            };
            state.garbage = Vec::new();
            state.dirty = false;
            state.has_row = state.needs_row();
            if !state.has_row {
                self.rest(&user);
            }
        }
    }

    /// Marks the user's row as out of date.
    pub(in crate::embedded) fn mark_dirty(&mut self, user: &UserKey) {
        if let Some(state) = self.users.get_mut(user)
            && !state.dirty
        {
            state.dirty = true;
            self.dirty.push_back(UserKey::clone(user));
        }
    }

    pub(in crate::embedded) fn user(&self, user: &str) -> Option<&User> {
        self.users.get(user)
    }

    /// What of this sender waits in all mailboxes.
    pub(in crate::embedded) fn sender(&self, sender: &str) -> Option<(SenderId, Amount)> {
        self.senders.waiting(sender)
    }

    pub(in crate::embedded) fn totals(&self) -> Totals {
        self.totals
    }

    pub(in crate::embedded) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty() || self.shared.owed_len() > 0
    }

    /// When the next message may expire.
    pub(in crate::embedded) fn due_ms(&self) -> Option<u64> {
        self.due.first().map(|(due_ms, _)| *due_ms)
    }

    /// What follows when messages have left a mailbox.
    fn left(&mut self, user: &UserKey, count: usize) {
        if count == 0 {
            return;
        }
        self.leave_rows(user);
        self.mark_dirty(user);
        if self
            .users
            .get(user)
            .is_some_and(|state| state.pending.is_empty())
        {
            self.totals.users -= 1;
            if let Some(state) = self.users.get_mut(user) {
                state.by_sender = None;
            }
            self.schedule(user, None);
            self.rest(user);
        }
    }

    /// Tells the shared rows that `user` has left them.
    fn leave_rows(&mut self, user: &UserKey) {
        let mut rows = std::mem::take(&mut self.left_rows);
        for (seq, leaving) in rows.drain(..) {
            match self.shared.leave(seq, user, leaving) {
                Left::Listed => {
                    if let Some(state) = self.users.get_mut(user) {
                        state.listed += 1;
                    }
                }
                Left::Unlisted(users) => {
                    for user in &users {
                        self.unlist(user);
                    }
                }
            }
        }
        // Keeps its allocation.
        self.left_rows = rows;
    }

    /// An entry that has left is listed no more.
    fn unlist(&mut self, user: &UserKey) {
        let Some(state) = self.users.get_mut(user) else {
            return;
        };
        state.listed -= 1;
        if !state.needs_row() {
            if state.has_row {
                self.mark_dirty(user);
            }
            self.rest(user);
        }
    }

    fn schedule(&mut self, user: &UserKey, due_ms: Option<u64>) {
        let Some(state) = self.users.get_mut(user) else {
            return;
        };
        if let Some(old_ms) = state.due_ms.take() {
            self.due.remove(&(old_ms, UserKey::clone(user)));
        }
        state.due_ms = due_ms;
        if let Some(due_ms) = due_ms {
            self.due.insert((due_ms, UserKey::clone(user)));
        }
    }

    /// Lets an empty mailbox be evicted.
    fn rest(&mut self, user: &UserKey) {
        if let Some(state) = self.users.get_mut(user)
            && !state.idle
        {
            state.idle = true;
            self.idle.push_back(UserKey::clone(user));
        }
    }

    /// Brings the cache of empty mailboxes back within its bound. To be called between batches:
    /// what an append was planned with must be there when it is published.
    pub(in crate::embedded) fn evict(&mut self) {
        while self.idle.len() > self.idle_max
            && let Some(user) = self.idle.pop_front()
        {
            let Some(state) = self.users.get_mut(&user) else {
                continue;
            };
            state.idle = false;
            // What its row is to say is in memory alone until it is written; then it comes back,
            // and so does a user whom no row lists any more.
            if !state.dirty && !state.needs_row() {
                self.users.remove(&user);
            }
        }
    }
}
