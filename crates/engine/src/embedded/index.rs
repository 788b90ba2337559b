//! What is pending, in memory: per user a ring of slots, the totals, and who expires next.
//!
//! The index is the truth about what is pending; rows of messages that have left it are
//! garbage that a later transaction deletes. Users with nothing pending stay only as long as
//! they have garbage or fit into a bounded cache.

use std::collections::{BTreeSet, HashMap, VecDeque, hash_map};

use super::senders::{Amount, SenderId, Senders};
use crate::{Purge, UserKey};

/// Where one pending message is, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) offset: u64,
    /// Key of the row.
    pub(super) seq: i64,
    pub(super) expiry_ms: u64,
    pub(super) len: u32,
    /// Who answers for it, once it is in the index.
    pub(super) sender: Option<SenderId>,
}

/// What is pending over all users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) users: u64,
}

/// One mailbox.
#[derive(Debug, Default)]
pub(super) struct User {
    /// Offsets rise; there are holes where a message expired before an older one.
    pending: VecDeque<Slot>,
    bytes: u64,
    /// What of each sender waits; kept only while the mailbox is long.
    by_sender: Option<HashMap<SenderId, Amount>>,
    last_offset: u64,
    /// When to look for expired messages; not later than the earliest expiry.
    due_ms: Option<u64>,
    /// Rows of messages that have left.
    garbage: Vec<i64>,
    /// Stands in [`Index::dirty`]: the row in table `user` is out of date.
    dirty: bool,
    /// Stands in [`Index::idle`].
    idle: bool,
}

#[derive(Debug)]
pub(super) struct Index {
    users: HashMap<UserKey, User>,
    due: BTreeSet<(u64, UserKey)>,
    /// In the order of becoming dirty.
    dirty: VecDeque<UserKey>,
    /// Users seen without pending messages, oldest first; some may have got one since.
    idle: VecDeque<UserKey>,
    idle_max: usize,
    totals: Totals,
    senders: Senders,
}

impl User {
    pub(super) fn amount(&self) -> Amount {
        Amount {
            messages: self.pending.len() as u64,
            bytes: self.bytes,
        }
    }

    /// What of this sender waits here.
    pub(super) fn amount_of(&self, sender: SenderId) -> Amount {
        if let Some(by_sender) = &self.by_sender {
            return by_sender.get(&sender).copied().unwrap_or_default();
        }
        let mut amount = Amount::default();
        for slot in self
            .pending
            .iter()
            .filter(|slot| slot.sender == Some(sender))
        {
            amount.add(1, u64::from(slot.len));
        }
        amount
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    pub(super) fn last_offset(&self) -> u64 {
        self.last_offset
    }

    /// Everything up to here has left.
    pub(super) fn gone_up_to(&self) -> u64 {
        self.pending
            .front()
            .map_or(self.last_offset, |slot| slot.offset - 1)
    }

    /// The slots behind `after`, oldest first.
    pub(super) fn behind(&self, after: u64) -> impl Iterator<Item = &Slot> {
        let first = self.pending.partition_point(|slot| slot.offset <= after);
        self.pending.range(first..)
    }

    pub(super) fn garbage(&self) -> &[i64] {
        &self.garbage
    }

    /// Counts a message that stands in `pending`.
    fn enter(&mut self, slot: &Slot, totals: &mut Totals) {
        let len = u64::from(slot.len);
        self.bytes += len;
        totals.messages += 1;
        totals.bytes += len;
        match (&mut self.by_sender, slot.sender) {
            (Some(by_sender), Some(sender)) => by_sender.entry(sender).or_default().add(1, len),
            (Some(_), None) => {}
            (None, _) if self.pending.len() < SCANNED_MAX => {}
            (None, _) => {
                let mut by_sender: HashMap<SenderId, Amount> = HashMap::new();
                for slot in &self.pending {
                    if let Some(sender) = slot.sender {
                        let amount = by_sender.entry(sender).or_default();
                        amount.add(1, u64::from(slot.len));
                    }
                }
                self.by_sender = Some(by_sender);
            }
        }
    }

    /// The same for a message that was taken out of `pending`.
    fn leave(&mut self, slot: Slot, totals: &mut Totals, senders: &mut Senders) {
        let len = u64::from(slot.len);
        self.bytes -= len;
        self.garbage.push(slot.seq);
        totals.messages -= 1;
        totals.bytes -= len;
        let Some(sender) = slot.sender else {
            return;
        };
        senders.leave(sender, len);
        if let Some(by_sender) = &mut self.by_sender
            && let Some(amount) = by_sender.get_mut(&sender)
        {
            amount.remove(1, len);
            if amount.messages == 0 {
                by_sender.remove(&sender);
            }
        }
    }
}

impl Index {
    pub(super) fn new(idle_max: usize) -> Self {
        Self {
            users: HashMap::new(),
            due: BTreeSet::new(),
            dirty: VecDeque::new(),
            idle: VecDeque::new(),
            idle_max,
            totals: Totals::default(),
            senders: Senders::default(),
        }
    }

    /// Makes a user known whose mailbox is empty in the file.
    pub(super) fn admit(&mut self, user: &UserKey, last_offset: u64) {
        let state = User {
            last_offset,
            ..User::default()
        };
        self.users.insert(UserKey::clone(user), state);
        self.rest(user);
    }

    /// Adds a message; its offset must be greater than any before it.
    pub(super) fn push(&mut self, user: &UserKey, mut slot: Slot, sender: Option<&UserKey>) {
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
        state.last_offset = slot.offset;
        if state.due_ms.is_none_or(|due_ms| slot.expiry_ms < due_ms) {
            self.schedule(user, Some(slot.expiry_ms));
        }
    }

    /// Applies what table `user` says about a user with rows.
    pub(super) fn restore(&mut self, user: &UserKey, last_offset: u64, gone_up_to: u64) {
        if let Some(state) = self.users.get_mut(user) {
            state.last_offset = state.last_offset.max(last_offset);
            self.ack(user, gone_up_to);
        }
    }

    /// Drops everything up to `up_to`; returns how many messages left.
    pub(super) fn ack(&mut self, user: &UserKey, up_to: u64) -> u64 {
        // A user who is not in memory has nothing pending.
        let Some(state) = self.users.get_mut(user) else {
            return 0;
        };
        let count = state.pending.partition_point(|slot| slot.offset <= up_to);
        for _ in 0..count {
            let Some(slot) = state.pending.pop_front() else {
                break;
            };
            state.leave(slot, &mut self.totals, &mut self.senders);
        }
        self.left(user, count);
        count as u64
    }

    /// Drops what has expired at `now_ms`; returns how many messages left.
    pub(super) fn expire(&mut self, now_ms: u64) -> u64 {
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
            expired += self.drop_where(&user, |slot| slot.expiry_ms <= now_ms);
        }
        expired
    }

    /// Drops what `purge` selects; returns how many messages left.
    pub(super) fn purge(&mut self, purge: &Purge) -> u64 {
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
            .map(|user| self.drop_where(user, |slot| slot.sender == Some(sender)))
            .sum()
    }

    /// Drops the messages of one mailbox for which `drops` holds; returns how many.
    fn drop_where(&mut self, user: &UserKey, drops: impl Fn(&Slot) -> bool) -> u64 {
        let Some(state) = self.users.get_mut(user) else {
            return 0;
        };
        let before = state.pending.len();
        for slot in std::mem::take(&mut state.pending) {
            if drops(&slot) {
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
    pub(super) fn expire_older(&mut self, before_seq: i64, horizon_ms: u64) -> u64 {
        let is_over = |slot: &Slot| slot.seq < before_seq && slot.expiry_ms <= horizon_ms;
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
            .map(|user| self.drop_where(user, is_over))
            .sum()
    }

    /// Takes one message out whose row is set aside elsewhere.
    pub(super) fn remove(&mut self, user: &UserKey, offset: u64) {
        let Some(state) = self.users.get_mut(user) else {
            return;
        };
        let Ok(at) = state
            .pending
            .binary_search_by_key(&offset, |slot| slot.offset)
        else {
            return;
        };
        if let Some(slot) = state.pending.remove(at) {
            state.leave(slot, &mut self.totals, &mut self.senders);
            state.garbage.pop();
            self.left(user, 1);
        }
    }

    /// The users whose row or garbage is to be written, as many as have about `rows_max` rows.
    pub(super) fn dirty(&self, rows_max: usize) -> Vec<UserKey> {
        let mut rows = 0;
        let within = |user: &&UserKey| {
            let room = rows < rows_max;
            rows += 1 + self.users.get(*user).map_or(0, |state| state.garbage.len());
            room
        };
        self.dirty.iter().take_while(within).cloned().collect()
    }

    /// The first `count` dirty users are written.
    pub(super) fn settle(&mut self, count: usize) {
        for user in self.dirty.drain(..count) {
            if let Some(state) = self.users.get_mut(&user) {
                state.garbage = Vec::new();
                state.dirty = false;
            }
        }
    }

    /// Marks the user's row as out of date.
    pub(super) fn mark_dirty(&mut self, user: &UserKey) {
        if let Some(state) = self.users.get_mut(user)
            && !state.dirty
        {
            state.dirty = true;
            self.dirty.push_back(UserKey::clone(user));
        }
    }

    pub(super) fn user(&self, user: &str) -> Option<&User> {
        self.users.get(user)
    }

    /// What of this sender waits in all mailboxes.
    pub(super) fn sender(&self, sender: &str) -> Option<(SenderId, Amount)> {
        self.senders.waiting(sender)
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// When the next message may expire.
    pub(super) fn due_ms(&self) -> Option<u64> {
        self.due.first().map(|(due_ms, _)| *due_ms)
    }

    /// What follows when messages have left a mailbox.
    fn left(&mut self, user: &UserKey, count: usize) {
        if count == 0 {
            return;
        }
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

    /// Keeps an empty mailbox in the cache, and the cache within its bound.
    fn rest(&mut self, user: &UserKey) {
        if let Some(state) = self.users.get_mut(user)
            && !state.idle
        {
            state.idle = true;
            self.idle.push_back(UserKey::clone(user));
        }
        let mut excess = self.idle.len().saturating_sub(self.idle_max);
        while excess > 0
            && let Some(user) = self.idle.pop_front()
        {
            excess -= 1;
            let Some(state) = self.users.get_mut(&user) else {
                continue;
            };
            if state.dirty {
                // Its row is not written yet: memory alone knows the last offset.
                self.idle.push_back(user);
                continue;
            }
            state.idle = false;
            if state.pending.is_empty() {
                self.users.remove(&user);
            }
        }
    }
}

/// A mailbox of fewer messages is looked through to find what of one sender waits in it.
const SCANNED_MAX: usize = 128;
