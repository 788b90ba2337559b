//! Reading back what is pending; rows found damaged are set aside on the way.

use super::Store;
use crate::{
    Batch, MailboxPage, MailboxQuery, Stored, UserKey,
    embedded::{command::Read, database::Fault, index::Slot, load::Damage, row::MessageRow},
};

/// Rows of one user that a read returns.
struct Selection {
    slots: Vec<Slot>,
    gone_up_to: u64,
    last_offset: u64,
    more: bool,
}

impl Store {
    /// Reads pending messages. Damaged ones are set aside on the way.
    pub(in crate::embedded) fn read(&mut self, read: &Read) -> rusqlite::Result<Batch> {
        loop {
            self.expire();
            self.last_offset(&read.user)?;
            let selection = self.select(read);
            let mut messages = Vec::with_capacity(selection.slots.len());
            let mut lost = Vec::new();
            for slot in &selection.slots {
                let body = self.database.message(slot.row.seq(), |row| {
                    let is_same = |row: &MessageRow<'_>| row.is_for(&read.user, slot.offset);
                    row.filter(is_same).map(|row| row.body())
                })?;
                match body {
                    Some(body) => messages.push(Stored {
                        offset: slot.offset,
                        body,
                    }),
                    None => lost.push(*slot),
                }
            }
            if lost.is_empty() {
                let Selection {
                    gone_up_to,
                    last_offset,
                    more,
                    ..
                } = selection;
                return Ok(Batch {
                    epoch: self.meta.epoch,
                    messages,
                    gone_up_to,
                    last_offset,
                    more,
                });
            }
            self.lost(&read.user, &lost)?;
        }
    }

    /// Tells of mailboxes, without reading the file.
    pub(in crate::embedded) fn mailboxes(&self, query: &MailboxQuery) -> MailboxPage {
        self.index.mailboxes(query, self.clock.now_ms())
    }

    fn select(&self, read: &Read) -> Selection {
        let Some(user) = self.index.user(&read.user) else {
            return Selection {
                slots: Vec::new(),
                gone_up_to: 0,
                last_offset: 0,
                more: false,
            };
        };
        let mut slots: Vec<Slot> = Vec::new();
        let mut bytes = 0_u64;
        let mut more = false;
        for slot in user.behind(read.after) {
            bytes = bytes.saturating_add(u64::from(slot.len));
            let too_big = bytes > read.bytes_max as u64 && !slots.is_empty();
            if slots.len() >= read.messages_max || too_big {
                more = true;
                break;
            }
            slots.push(*slot);
        }
        Selection {
            slots,
            gone_up_to: user.gone_up_to(),
            last_offset: user.last_offset(),
            more,
        }
    }

    /// Rows that were sound when the store opened are no longer what was written.
    fn lost(&mut self, user: &UserKey, slots: &[Slot]) -> rusqlite::Result<()> {
        for slot in slots {
            tracing::error!(%user, slot.offset, "message damaged on disk, set aside");
            self.index.remove(user, slot.row);
        }
        let mut messages: Vec<i64> = slots.iter().map(|slot| slot.row.seq()).collect();
        // A row that lists the user twice is one row.
        messages.dedup();
        self.damaged(Damage {
            messages,
            ..Damage::default()
        });
        match self.write(std::iter::empty()) {
            // Without room it stays owed; should we crash before, opening finds it again.
            Ok(()) | Err(Fault::DiskFull) => Ok(()),
            Err(Fault::Fatal(error)) => Err(error),
        }
    }
}
