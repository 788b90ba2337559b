//! The two kinds of rows and their checksums.
//!
//! SQLite does not notice a flipped bit in a row. Each row therefore carries a CRC-32 over all
//! its other columns, its key included, so that a whole row in the wrong place fails as well.

use bytes::Bytes;
use crc32fast::Hasher;
use rusqlite::{Row, types::ValueRef};

use super::recipients::Recipients;

/// A row of table `message`.
pub(super) struct MessageRow<'a> {
    pub(super) seq: i64,
    pub(super) to: To<'a>,
    pub(super) expiry_ms: u64,
    pub(super) body: &'a [u8],
    /// `None` also in rows of format 1.
    pub(super) sender: Option<&'a str>,
}

/// Whose mailboxes a row of table `message` stands for.
#[derive(Clone, Copy)]
pub(super) enum To<'a> {
    One { user: &'a str, offset: u64 },
    Several(Recipients<'a>),
}

/// A row of table `user`: what outlives the last message of a mailbox.
pub(super) struct UserRow<'a> {
    pub(super) key: &'a str,
    pub(super) last_offset: u64,
    pub(super) gone_up_to: u64,
}

impl<'a> MessageRow<'a> {
    pub(super) fn crc(&self) -> u32 {
        let mut hasher = Hasher::new();
        hasher.update(&self.seq.to_le_bytes());
        match self.to {
            // As in formats 1 and 2, so that their rows stay as they are.
            To::One { user, offset } => {
                hasher.update(&(user.len() as u64).to_le_bytes());
                hasher.update(user.as_bytes());
                hasher.update(&offset.to_le_bytes());
            }
            To::Several(recipients) => {
                // No user's key is so long: no row of one kind passes for one of the other.
                hasher.update(&u64::MAX.to_le_bytes());
                hasher.update(&(recipients.bytes().len() as u64).to_le_bytes());
                hasher.update(recipients.bytes());
            }
        }
        hasher.update(&self.expiry_ms.to_le_bytes());
        hasher.update(self.body);
        // A row without a sender has the checksum of format 1.
        if let Some(sender) = self.sender {
            hasher.update(&(sender.len() as u64).to_le_bytes());
            hasher.update(sender.as_bytes());
        }
        hasher.finalize()
    }

    /// Reads the columns seq, crc, user, offset, expiry, payload, sender, recipients; `None` if the
    /// row is not what was written. Damage may have changed the types of
    /// the columns as well, so none is taken for granted.
    pub(super) fn check(row: &'a Row<'_>) -> rusqlite::Result<Option<Self>> {
        let columns = (
            row.get_ref(0)?,
            row.get_ref(1)?,
            row.get_ref(2)?,
            row.get_ref(3)?,
            row.get_ref(4)?,
            row.get_ref(5)?,
        );
        let sender = match row.get_ref(6)? {
            ValueRef::Null => None,
            ValueRef::Text(sender) => match std::str::from_utf8(sender) {
                Ok(sender) => Some(sender),
                Err(_) => return Ok(None),
            },
            ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Blob(_) => return Ok(None),
        };
        let (
            ValueRef::Integer(seq),
            ValueRef::Integer(crc),
            ValueRef::Text(user),
            ValueRef::Integer(offset),
            ValueRef::Integer(expiry),
            ValueRef::Blob(payload),
        ) = columns
        else {
            return Ok(None);
        };
        let Some(to) = To::check(user, offset.cast_unsigned(), row.get_ref(7)?) else {
            return Ok(None);
        };
        let read = Self {
            seq,
            to,
            expiry_ms: expiry.cast_unsigned(),
            body: payload,
            sender,
        };
        Ok((i64::from(read.crc()) == crc).then_some(read))
    }

    /// Whether the row holds this message of this user.
    pub(super) fn is_for(&self, user: &str, offset: u64) -> bool {
        match self.to {
            To::One {
                user: one,
                offset: at,
            } => one == user && at == offset,
            To::Several(recipients) => recipients.contains(user, offset),
        }
    }

    /// The users it names: whose mailboxes, and the sender.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'a str> {
        let (one, several) = match self.to {
            To::One { user, .. } => (Some(user), None),
            To::Several(recipients) => (None, Some(recipients)),
        };
        let several = several.into_iter().flat_map(Recipients::iter);
        one.into_iter()
            .chain(several.map(|(user, _)| user))
            .chain(self.sender)
    }

    /// The highest offset it names.
    pub(super) fn offset_max(&self) -> u64 {
        match self.to {
            To::One { offset, .. } => offset,
            To::Several(recipients) => {
                let offsets = recipients.iter().map(|(_, offset)| offset);
                offsets.max().unwrap_or_default()
            }
        }
    }

    pub(super) fn body(&self) -> Bytes {
        Bytes::copy_from_slice(self.body)
    }
}

impl<'a> To<'a> {
    fn check(user: &'a [u8], offset: u64, recipients: ValueRef<'a>) -> Option<Self> {
        match recipients {
            ValueRef::Null if offset > 0 => Some(Self::One {
                user: std::str::from_utf8(user).ok()?,
                offset,
            }),
            ValueRef::Blob(list) if user.is_empty() && offset == 0 => {
                Some(Self::Several(Recipients::check(list)?))
            }
            ValueRef::Null
            | ValueRef::Blob(_)
            | ValueRef::Integer(_)
            | ValueRef::Real(_)
            | ValueRef::Text(_) => None,
        }
    }
}

impl<'a> UserRow<'a> {
    pub(super) fn crc(&self) -> u32 {
        let mut hasher = Hasher::new();
        hasher.update(self.key.as_bytes());
        hasher.update(&self.last_offset.to_le_bytes());
        hasher.update(&self.gone_up_to.to_le_bytes());
        hasher.finalize()
    }

    /// Reads the columns key, `last_offset`, `gone_up_to`, crc; `None` if the row is not what was
    /// written.
    pub(super) fn check(row: &'a Row<'_>) -> rusqlite::Result<Option<Self>> {
        let columns = (
            row.get_ref(0)?,
            row.get_ref(1)?,
            row.get_ref(2)?,
            row.get_ref(3)?,
        );
        let (
            ValueRef::Text(key),
            ValueRef::Integer(last_offset),
            ValueRef::Integer(gone_up_to),
            ValueRef::Integer(crc),
        ) = columns
        else {
            return Ok(None);
        };
        let Ok(key) = std::str::from_utf8(key) else {
            return Ok(None);
        };
        let (last_offset, gone_up_to) = (last_offset.cast_unsigned(), gone_up_to.cast_unsigned());
        let read = Self {
            key,
            last_offset,
            gone_up_to,
        };
        Ok((i64::from(read.crc()) == crc).then_some(read))
    }
}
