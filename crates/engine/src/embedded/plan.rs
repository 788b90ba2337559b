//! Decides, before anything is written, which mailboxes take an append and where it goes there.
//!
//! The index changes only after the commit. What the appends of one batch take before that is
//! kept in [`Reserved`], so that they see each other. A full mailbox is left out; a sender's
//! budget and the limits of the store refuse the append as a whole.

use std::collections::HashMap;

use super::{
    config::Config,
    index::{Index, Slot, User},
    senders::{Amount, SenderId},
    shared::RowKey,
};
use crate::{Append, AppendError, MailboxRefusal, UserKey};

/// For each recipient where the message goes or why not; or why nobody gets it.
pub(super) type Plan = Result<Vec<Planned>, AppendError>;

/// What one mailbox does with a message.
pub(super) type Planned = Result<Slot, MailboxRefusal>;

/// What the planned appends of a batch will take.
#[derive(Debug, Default)]
pub(super) struct Reserved {
    users: HashMap<UserKey, ReservedUser>,
    senders: HashMap<UserKey, Amount>,
    total: Amount,
}

/// What they will take in one mailbox.
#[derive(Debug, Default)]
struct ReservedUser {
    all: Amount,
    /// The same by limited sender; the first one needs no allocation.
    first: Option<(UserKey, Amount)>,
    others: Vec<(UserKey, Amount)>,
}

/// What an append has to fit into.
pub(super) struct Room<'a> {
    pub(super) index: &'a Index,
    pub(super) config: &'a Config,
    pub(super) now_ms: u64,
}

/// A sender whose budgets apply.
struct Limited<'a> {
    user: &'a UserKey,
    /// What of him is in the index.
    id: Option<SenderId>,
    waiting: Amount,
}

impl Reserved {
    /// Plans one append. `last_offsets` are those of its recipients on disk, `next_seq` is the
    /// next free row key.
    pub(super) fn plan(
        &mut self,
        append: &Append,
        last_offsets: &[u64],
        room: &Room<'_>,
        next_seq: &mut i64,
    ) -> Plan {
        let expiry_ms = room.now_ms + room.config.ttl_ms(append.ttl_ms);
        let bytes = append.body.len() as u64;
        // Longer ones fit no mailbox.
        let len = u32::try_from(bytes).unwrap_or(u32::MAX);
        let limited = Limited::of(append, room);
        let mut planned = Vec::with_capacity(append.recipients.len());
        let mut taken = 0;
        for (user, last_offset) in append.recipients.iter().zip(last_offsets) {
            let reserved = self.users.entry(UserKey::clone(user)).or_default();
            let index = room.index.user(user);
            if let Some(refusal) = refusal(reserved, index, bytes, limited.as_ref(), room.config) {
                planned.push(Err(refusal));
                continue;
            }
            reserved.add(bytes, limited.as_ref());
            planned.push(Ok(Slot {
                offset: last_offset + reserved.all.messages,
                row: RowKey::own(*next_seq),
                expiry_ms,
                len,
                sender: None,
            }));
            taken += 1;
        }
        if taken == 0 {
            let refusals = planned.into_iter().filter_map(Result::err).collect();
            return Err(AppendError::NoMailbox { refusals });
        }
        let amount = Amount {
            messages: taken,
            bytes: bytes.saturating_mul(taken),
        };
        if let Err(error) = self.check(amount, limited.as_ref(), room) {
            self.give_back(append, &planned, limited.as_ref());
            return Err(error);
        }
        self.total.add(amount.messages, amount.bytes);
        if let Some(limited) = limited {
            let reserved = self
                .senders
                .entry(UserKey::clone(limited.user))
                .or_default();
            reserved.add(amount.messages, amount.bytes);
        }
        if taken > 1 {
            let row = RowKey::shared(*next_seq);
            for slot in planned.iter_mut().flatten() {
                slot.row = row;
            }
        }
        *next_seq += 1;
        Ok(planned)
    }

    /// Whether the sender and the store as a whole have room for `amount`.
    fn check(
        &self,
        amount: Amount,
        limited: Option<&Limited<'_>>,
        room: &Room<'_>,
    ) -> Result<(), AppendError> {
        let config = room.config;
        let totals = room.index.totals();
        let stored = Amount {
            messages: totals.messages,
            bytes: totals.bytes,
        };
        let all = stored.plus(self.total).plus(amount);
        if all.messages > config.messages_max || all.bytes > config.bytes_max {
            return Err(AppendError::StoreFull);
        }
        if let Some(limited) = limited {
            let reserved = self.senders.get(limited.user).copied().unwrap_or_default();
            let his = limited.waiting.plus(reserved).plus(amount);
            if his.messages > config.sender_messages_max || his.bytes > config.sender_bytes_max {
                return Err(AppendError::SenderFull);
            }
        }
        Ok(())
    }

    fn give_back(&mut self, append: &Append, planned: &[Planned], limited: Option<&Limited<'_>>) {
        let bytes = append.body.len() as u64;
        for (user, planned) in append.recipients.iter().zip(planned) {
            if planned.is_ok()
                && let Some(reserved) = self.users.get_mut(user)
            {
                reserved.remove(bytes, limited);
            }
        }
    }
}

impl<'a> Limited<'a> {
    fn of(append: &'a Append, room: &Room<'_>) -> Option<Self> {
        let sender = append.sender.as_ref().filter(|sender| sender.limited)?;
        let waiting = room.index.sender(&sender.user);
        Some(Self {
            user: &sender.user,
            id: waiting.map(|(id, _)| id),
            waiting: waiting.map(|(_, amount)| amount).unwrap_or_default(),
        })
    }
}

impl ReservedUser {
    fn add(&mut self, bytes: u64, limited: Option<&Limited<'_>>) {
        self.all.add(1, bytes);
        let Some(limited) = limited else {
            return;
        };
        if let Some(amount) = self.of_sender_mut(limited.user) {
            return amount.add(1, bytes);
        }
        let sender = UserKey::clone(limited.user);
        let amount = Amount { messages: 1, bytes };
        if self.first.is_none() {
            self.first = Some((sender, amount));
        } else {
            self.others.push((sender, amount));
        }
    }

    fn remove(&mut self, bytes: u64, limited: Option<&Limited<'_>>) {
        self.all.remove(1, bytes);
        if let Some(amount) = limited.and_then(|limited| self.of_sender_mut(limited.user)) {
            amount.remove(1, bytes);
        }
    }

    fn of_sender_mut(&mut self, sender: &UserKey) -> Option<&mut Amount> {
        self.first
            .iter_mut()
            .chain(&mut self.others)
            .find(|(user, _)| user == sender)
            .map(|(_, amount)| amount)
    }

    fn of_sender(&self, sender: &UserKey) -> Amount {
        self.first
            .iter()
            .chain(&self.others)
            .find(|(user, _)| user == sender)
            .map_or_else(Amount::default, |(_, amount)| *amount)
    }
}

/// Why a mailbox cannot take one more message of `bytes`.
fn refusal(
    reserved: &ReservedUser,
    index: Option<&User>,
    bytes: u64,
    limited: Option<&Limited<'_>>,
    config: &Config,
) -> Option<MailboxRefusal> {
    let stored = index.map_or_else(Amount::default, User::amount);
    let full = stored.plus(reserved.all);
    if full.messages >= config.user_messages_max
        || full.bytes.saturating_add(bytes) > config.user_bytes_max
        || bytes > config.payload_bytes_max()
    {
        return Some(MailboxRefusal::Full);
    }
    let limited = limited?;
    let share = config.sender_share();
    let is_above = |amount: Amount| {
        amount.messages >= share.messages || amount.bytes.saturating_add(bytes) > share.bytes
    };
    // Only a mailbox that holds that much in all is looked through.
    if !is_above(full) {
        return None;
    }
    let stored = match (index, limited.id) {
        (Some(user), Some(id)) => user.amount_of(id),
        (None, _) | (_, None) => Amount::default(),
    };
    let his = stored.plus(reserved.of_sender(limited.user));
    // The first message is taken whatever its size: there is room for it.
    (his.messages > 0 && is_above(his)).then_some(MailboxRefusal::SenderShare)
}
