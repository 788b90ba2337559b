//! Decides, before anything is written, whether an append fits and where its entries go.
//!
//! The index changes only after the commit. What the appends of one batch take before that is
//! kept in [`Reserved`], so that they see each other.

use std::collections::HashMap;

use super::{
    config::Config,
    index::{Index, Slot},
};
use crate::{Append, AppendError, UserKey};

/// One slot for each entry, or why the append is refused.
pub(super) type Plan = Result<Vec<Slot>, AppendError>;

/// What the planned appends of a batch will take.
#[derive(Debug, Default)]
pub(super) struct Reserved {
    users: HashMap<UserKey, Amount>,
    total: Amount,
}

/// What an append has to fit into.
pub(super) struct Room<'a> {
    pub(super) index: &'a Index,
    pub(super) config: &'a Config,
    pub(super) now_ms: u64,
}

/// Messages and their payload bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Amount {
    messages: u64,
    bytes: u64,
}

impl Amount {
    fn add(&mut self, bytes: u64) {
        self.messages += 1;
        self.bytes += bytes;
    }

    fn remove(&mut self, bytes: u64) {
        self.messages -= 1;
        self.bytes -= bytes;
    }
}

impl Reserved {
    /// Plans one append: all its entries, or none. `last_offsets` are those of its users on
    /// disk, `next_seq` is the next free row key.
    pub(super) fn plan(
        &mut self,
        append: &Append,
        last_offsets: &[u64],
        room: &Room<'_>,
        next_seq: &mut i64,
    ) -> Plan {
        let Room {
            index,
            config,
            now_ms,
        } = *room;
        let mut full: Vec<UserKey> = Vec::new();
        let mut slots = Vec::with_capacity(append.entries.len());
        let expiry_ms = now_ms + config.ttl_ms(append.ttl_ms);
        for (entry, last_offset) in append.entries.iter().zip(last_offsets) {
            let len = entry.payload.len() as u64;
            let reserved = self.users.entry(UserKey::clone(&entry.user)).or_default();
            reserved.add(len);
            self.total.add(len);
            let (messages, bytes) = index
                .user(&entry.user)
                .map_or((0, 0), |user| (user.messages(), user.bytes()));
            let fits = messages + reserved.messages <= config.user_messages_max
                && bytes.saturating_add(reserved.bytes) <= config.user_bytes_max
                && len <= config.payload_bytes_max();
            if !fits && !full.contains(&entry.user) {
                full.push(UserKey::clone(&entry.user));
            }
            slots.push(Slot {
                offset: last_offset + reserved.messages,
                seq: *next_seq + slots.len().cast_signed() as i64,
                expiry_ms,
                // Longer ones do not fit, see above.
                len: u32::try_from(len).unwrap_or(u32::MAX),
            });
        }
        if !full.is_empty() {
            self.give_back(append);
            return Err(AppendError::MailboxFull { users: full });
        }
        let totals = index.totals();
        if totals.messages + self.total.messages > config.messages_max
            || totals.bytes.saturating_add(self.total.bytes) > config.bytes_max
        {
            self.give_back(append);
            return Err(AppendError::StoreFull);
        }
        *next_seq += slots.len().cast_signed() as i64;
        Ok(slots)
    }

    fn give_back(&mut self, append: &Append) {
        for entry in &append.entries {
            let len = entry.payload.len() as u64;
            self.total.remove(len);
            if let Some(reserved) = self.users.get_mut(&entry.user) {
                reserved.remove(len);
            }
        }
    }
}
