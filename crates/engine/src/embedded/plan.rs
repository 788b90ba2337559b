//! Decides, before anything is written, whether an append fits and where its entries go.
//!
//! The index changes only after the commit. What the appends of one batch take before that is
//! kept in [`Reserved`], so that they see each other.

use std::collections::{HashMap, HashSet};

use super::{
    config::Config,
    index::{Index, Slot},
};
use crate::{Append, AppendError, Entry, UserKey};

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
        let expiry_ms = room.now_ms + room.config.ttl_ms(append.ttl_ms);
        let mut slots = Vec::with_capacity(append.entries.len());
        for ((entry, last_offset), seq) in append.entries.iter().zip(last_offsets).zip(*next_seq..)
        {
            let len = entry.payload.len() as u64;
            let reserved = self.users.entry(UserKey::clone(&entry.user)).or_default();
            reserved.add(len);
            self.total.add(len);
            let offset = last_offset + reserved.messages;
            // Longer ones do not fit, see below.
            let len = u32::try_from(len).unwrap_or(u32::MAX);
            slots.push(Slot {
                offset,
                seq,
                expiry_ms,
                len,
            });
        }
        if let Err(error) = self.check(append, room) {
            self.give_back(append);
            return Err(error);
        }
        *next_seq += slots.len().cast_signed() as i64;
        Ok(slots)
    }

    /// Whether everything reserved so far fits, looking at the users of `append`.
    fn check(&self, append: &Append, room: &Room<'_>) -> Result<(), AppendError> {
        let mut seen: HashSet<&str> = HashSet::new();
        let users: Vec<UserKey> = append
            .entries
            .iter()
            .filter(|entry| !self.fits(entry, room))
            .map(|entry| &entry.user)
            .filter(|user| seen.insert(user))
            .cloned()
            .collect();
        if !users.is_empty() {
            return Err(AppendError::MailboxFull { users });
        }
        let totals = room.index.totals();
        if totals.messages + self.total.messages > room.config.messages_max
            || totals.bytes.saturating_add(self.total.bytes) > room.config.bytes_max
        {
            return Err(AppendError::StoreFull);
        }
        Ok(())
    }

    fn fits(&self, entry: &Entry, room: &Room<'_>) -> bool {
        let reserved = self.users.get(&entry.user).copied().unwrap_or_default();
        let (messages, bytes) = room
            .index
            .user(&entry.user)
            .map_or((0, 0), |user| (user.messages(), user.bytes()));
        messages + reserved.messages <= room.config.user_messages_max
            && bytes.saturating_add(reserved.bytes) <= room.config.user_bytes_max
            && entry.payload.len() as u64 <= room.config.payload_bytes_max()
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
