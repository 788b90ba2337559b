//! Rebuilds the index from the file when the store opens.

use std::collections::HashMap;

use super::{
    config::Config,
    database::Database,
    index::{Index, Slot, User},
    rename::Respell,
    row::{MessageRow, To},
    shared::RowKey,
};
use crate::UserKey;

/// What the file holds.
pub(super) struct Loaded {
    pub(super) index: Index,
    /// Greater than the key of every sound row.
    pub(super) next_seq: i64,
    /// No row has a greater one.
    pub(super) offset_max: u64,
    /// There are rows of users who have nothing pending: an earlier format kept them.
    pub(super) has_idle_users: bool,
    /// A key is not in its present spelling.
    pub(super) is_misspelt: bool,
    pub(super) damage: Damage,
}

/// Rows that are not what was written, to be set aside.
#[derive(Debug, Default)]
pub(super) struct Damage {
    pub(super) messages: Vec<i64>,
    pub(super) users: Vec<Vec<u8>>,
}

impl Damage {
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.users.is_empty()
    }
}

/// Reads and checks every row.
pub(super) fn load(
    database: &Database,
    config: &Config,
    respell: Respell,
) -> rusqlite::Result<Loaded> {
    let mut index = Index::new(config.idle_users_max.max(1));
    let mut damage = Damage::default();
    let mut next_seq = 1;
    let mut offset_max = 0;
    let mut has_idle_users = false;
    let mut is_misspelt = false;
    database.for_each_message(|row| match row {
        Ok(row) => {
            next_seq = row.seq.saturating_add(1);
            offset_max = offset_max.max(row.offset_max());
            is_misspelt |= row.keys().any(|key| respell(key).is_some());
            // A checksum that holds on a row out of order is a copy of a row.
            if !push(&mut index, &row) {
                tracing::error!(row.seq, "message out of order set aside");
                damage.messages.push(row.seq);
            }
        }
        // Its key says nothing about the keys in use; the row is gone before the next insert.
        Err(seq) => damage.messages.push(seq),
    })?;
    database.for_each_user(|row| match row {
        Ok(row) => {
            offset_max = offset_max.max(row.last_offset);
            is_misspelt |= respell(row.key).is_some();
            if index.user(row.key).is_some() {
                // Rows that were acknowledged but not deleted yet.
                index.restore(&UserKey::from(row.key), row.last_offset, row.gone_up_to);
            } else {
                has_idle_users = true;
            }
        }
        Err(key) => damage.users.push(key.to_vec()),
    })?;
    Ok(Loaded {
        index,
        next_seq,
        offset_max,
        has_idle_users,
        is_misspelt,
        damage,
    })
}

/// Adds what lies in a row; returns whether its offsets are above those before it.
#[must_use]
fn push(index: &mut Index, row: &MessageRow<'_>) -> bool {
    let sender = row.sender.map(UserKey::from);
    let mut slot = Slot {
        offset: 0,
        row: RowKey::own(row.seq),
        expiry_ms: row.expiry_ms,
        // Rows are limited to far less by the configuration and by SQLite.
        len: u32::try_from(row.body.len()).unwrap_or(u32::MAX),
        sender: None,
    };
    match row.to {
        To::One { user, offset } => {
            slot.offset = offset;
            if offset <= index.user(user).map_or(0, User::last_offset) {
                return false;
            }
            index.push(&UserKey::from(user), slot, sender.as_ref());
        }
        To::Several(recipients) => {
            slot.row = RowKey::shared(row.seq);
            let mut last_offsets = HashMap::new();
            for (user, offset) in recipients.iter() {
                let known = || index.user(user).map_or(0, User::last_offset);
                let last_offset = last_offsets.entry(user).or_insert_with(known);
                if offset <= *last_offset {
                    return false;
                }
                *last_offset = offset;
            }
            let mut entries = 0;
            for (user, offset) in recipients.iter() {
                slot.offset = offset;
                index.push(&UserKey::from(user), slot, sender.as_ref());
                entries += 1;
            }
            index.insert_shared(slot.row, entries, slot.len);
        }
    }
    true
}
