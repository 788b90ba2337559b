//! How much of each sender waits in all mailboxes together: [`Senders`].
//!
//! In: messages that enter and leave the index. Out: amounts for the budgets, and small ids by
//! which a slot names its sender. Invariant: a sender is known exactly as long as something of
//! his waits, so the table is bounded by the messages in the store.

use std::{collections::HashMap, num::NonZeroU32};

use crate::UserKey;

/// Messages and their payload bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

impl Amount {
    pub(super) fn add(&mut self, messages: u64, bytes: u64) {
        self.messages += messages;
        self.bytes += bytes;
    }

    pub(super) fn remove(&mut self, messages: u64, bytes: u64) {
        self.messages -= messages;
        self.bytes -= bytes;
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            messages: self.messages + other.messages,
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// Names a sender while something of his waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SenderId(NonZeroU32);

#[derive(Debug, Default)]
pub(super) struct Senders {
    ids: HashMap<UserKey, SenderId>,
    /// By id, from 1.
    known: Vec<Known>,
    free: Vec<SenderId>,
}

#[derive(Debug)]
struct Known {
    user: UserKey,
    waiting: Amount,
}

impl Senders {
    /// A message of `user` enters a mailbox.
    pub(super) fn enter(&mut self, user: &UserKey, bytes: u64) -> Option<SenderId> {
        let id = match self.ids.get(user) {
            Some(id) => *id,
            None => self.admit(user)?,
        };
        self.known_mut(id)?.waiting.add(1, bytes);
        Some(id)
    }

    /// A message leaves its mailbox.
    pub(super) fn leave(&mut self, id: SenderId, bytes: u64) {
        let Some(known) = self.known_mut(id) else {
            return;
        };
        known.waiting.remove(1, bytes);
        if known.waiting.messages == 0 {
            let user = UserKey::clone(&known.user);
            self.ids.remove(&user);
            self.free.push(id);
        }
    }

    /// What of this sender waits; `None`: nothing.
    pub(super) fn waiting(&self, user: &str) -> Option<(SenderId, Amount)> {
        let id = *self.ids.get(user)?;
        let known = self.known.get(id.0.get() as usize - 1)?;
        Some((id, known.waiting))
    }

    /// `None` after four thousand million senders, more than there can be messages.
    fn admit(&mut self, user: &UserKey) -> Option<SenderId> {
        let known = Known {
            user: UserKey::clone(user),
            waiting: Amount::default(),
        };
        let id = if let Some(id) = self.free.pop() {
            *self.known_mut(id)? = known;
            id
        } else {
            self.known.push(known);
            SenderId(NonZeroU32::new(u32::try_from(self.known.len()).ok()?)?)
        };
        self.ids.insert(UserKey::clone(user), id);
        Some(id)
    }

    fn known_mut(&mut self, id: SenderId) -> Option<&mut Known> {
        self.known.get_mut(id.0.get() as usize - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_forgotten_with_his_last_message_and_his_id_used_again() {
        let mut senders = Senders::default();
        let (ann, bob) = (UserKey::from("ann"), UserKey::from("bob"));
        let id = senders.enter(&ann, 10).unwrap();
        assert_eq!(senders.enter(&ann, 5), Some(id));
        senders.leave(id, 10);
        let waiting = Amount {
            messages: 1,
            bytes: 5,
        };
        assert_eq!(senders.waiting("ann"), Some((id, waiting)));
        senders.leave(id, 5);
        assert_eq!(senders.waiting("ann"), None);
        assert_eq!(senders.enter(&bob, 1), Some(id));
        assert_eq!((senders.known.len(), senders.free.len()), (1, 0));
        assert_ne!(senders.enter(&ann, 1), Some(id));
    }
}
