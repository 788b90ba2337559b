//! Rebuilds the index from the file when the store opens.

use super::{
    config::Config,
    database::Database,
    index::{Index, Slot, User},
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
pub(super) fn load(database: &Database, config: &Config) -> rusqlite::Result<Loaded> {
    let mut index = Index::new(config.idle_users_max.max(1));
    let mut damage = Damage::default();
    let mut next_seq = 1;
    let mut offset_max = 0;
    let mut has_idle_users = false;
    database.for_each_message(|row| match row {
        Ok(row) => {
            next_seq = row.seq.saturating_add(1);
            offset_max = offset_max.max(row.offset);
            // A checksum that holds on a row out of order is a copy of a row.
            let last_offset = index.user(row.user).map_or(0, User::last_offset);
            if row.offset <= last_offset {
                tracing::error!(
                    row.seq,
                    row.user,
                    row.offset,
                    "message out of order set aside"
                );
                damage.messages.push(row.seq);
                return;
            }
            let slot = Slot {
                offset: row.offset,
                seq: row.seq,
                expiry_ms: row.expiry_ms,
                // Rows are limited to far less by the configuration and by SQLite.
                len: u32::try_from(row.payload.len()).unwrap_or(u32::MAX),
                sender: None,
            };
            let sender = row.sender.map(UserKey::from);
            index.push(&UserKey::from(row.user), slot, sender.as_ref());
        }
        // Its key says nothing about the keys in use; the row is gone before the next insert.
        Err(seq) => damage.messages.push(seq),
    })?;
    database.for_each_user(|row| match row {
        Ok(row) => {
            offset_max = offset_max.max(row.last_offset);
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
        damage,
    })
}
