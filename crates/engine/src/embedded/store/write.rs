//! Writing: planned appends, and with them what has left the mailboxes.
//!
//! In: a batch. Out: one transaction. Invariant: the row of a user goes only with or after the
//! shared rows that it tells about, so a crash at any point brings nothing back that had left for
//! good.

use super::Store;
use crate::{
    UserKey,
    embedded::{
        command::Command,
        database::{Database, Fault},
        load::Damage,
        meta::Meta,
        recipients::Recipients,
        row::{MessageRow, To, UserRow},
        shared::RowKey,
    },
};

impl Store {
    /// Commits the planned appends of `commands`, and with them what has left the mailboxes.
    pub(in crate::embedded) fn write<'a>(
        &mut self,
        commands: impl Iterator<Item = &'a Command>,
    ) -> Result<(), Fault> {
        let rows_max = self.rows_max();
        let rows_max = if self.outbox.holds_rows() {
            0
        } else {
            rows_max
        };
        let owed = self.index.owed_rows(rows_max);
        // A user's row may go only with or after the rows that it tells about.
        let dirty = if owed.len() == self.index.owed_rows_len() {
            self.index.dirty(rows_max - owed.len())
        } else {
            Vec::new()
        };
        self.write_parts(&owed, &dirty, commands)
    }

    /// Commits, of what has left the mailboxes, only the shared rows, which takes no room but makes
    /// some. The others may need some: a user's row may be a new one.
    pub(in crate::embedded) fn write_shared_rows(&mut self) -> Result<(), Fault> {
        let owed = self.index.owed_rows(self.rows_max());
        if owed.is_empty() {
            return Err(Fault::DiskFull);
        }
        self.write_parts(&owed, &[], std::iter::empty())
    }

    fn write_parts<'a>(
        &mut self,
        owed: &[i64],
        dirty: &[UserKey],
        commands: impl Iterator<Item = &'a Command>,
    ) -> Result<(), Fault> {
        let mut meta = self.next_meta();
        let mut pages = 3 + owed.len() as u64;
        let mut events = self.outbox.write();
        self.database.transact(|database| {
            let expired = self
                .outbox
                .expired_events(database, meta.wall_ms, &mut events)?;
            self.write_damage(database, meta.clock_ms)?;
            for seq in owed {
                self.write_shared(database, *seq)?;
            }
            for user in dirty {
                pages += self.write_user(database, user, &mut meta)?;
            }
            self.outbox.write_events(database, &expired, &mut events)?;
            for command in commands {
                pages += write_append(database, command)?;
                self.outbox
                    .write_command(database, command, meta.wall_ms, &mut events)?;
            }
            self.outbox.finish(database, &mut events)?;
            database.put_meta(&meta)
        })?;
        self.damage = Damage::default();
        self.epoch_saved = true;
        // What was written, first: then who is not listed any more may give up his row.
        self.index.settle(dirty.len());
        self.index.settle_rows(owed.len());
        self.has_new_events |= events.has_events();
        pages += events.pages();
        self.outbox.written(events);
        self.committed(meta, pages);
        Ok(())
    }

    /// How many rows one transaction deletes at most.
    fn rows_max(&self) -> usize {
        if self.reserve.is_missing() {
            // Without the reserve the log must stay small.
            GARBAGE_ROWS_NO_RESERVE
        } else {
            GARBAGE_ROWS_MAX
        }
    }

    fn write_damage(&self, database: &Database, now_ms: u64) -> rusqlite::Result<()> {
        for seq in &self.damage.messages {
            database.quarantine_message(*seq, now_ms)?;
        }
        for key in &self.damage.users {
            database.quarantine_user(key, now_ms)?;
        }
        Ok(())
    }

    /// Deletes a shared row of which nothing waits, or writes it without those who have left.
    fn write_shared(&self, database: &Database, seq: i64) -> rusqlite::Result<()> {
        if !self.index.holds_row(seq) {
            return database.delete(seq);
        }
        let row = RowKey::shared(seq);
        database.replace_recipients(seq, |user, offset| {
            let state = self.index.user(user);
            state.is_some_and(|state| state.holds(offset, row))
        })
    }

    /// Returns about how many pages that touches.
    fn write_user(
        &self,
        database: &Database,
        user: &UserKey,
        meta: &mut Meta,
    ) -> rusqlite::Result<u64> {
        let Some(state) = self.index.user(user) else {
            return Ok(0);
        };
        // First the pages that become free, then those that may be needed.
        for seq in state.garbage() {
            database.delete(*seq)?;
        }
        if state.needs_row() {
            database.put_user(&UserRow {
                key: user,
                last_offset: state.last_offset(),
                gone_up_to: state.gone_up_to(),
            })?;
        } else {
            // Users come and go, so nothing may stay of each: the floor keeps offsets rising.
            meta.offset_floor = meta.offset_floor.max(state.last_offset());
            if state.has_row() {
                database.delete_user(user)?;
            }
        }
        Ok(1 + state.garbage().len() as u64)
    }
}

/// Returns about how many pages that touches.
fn write_append(database: &Database, command: &Command) -> rusqlite::Result<u64> {
    let Command::Append {
        append,
        plan: Ok(planned),
        ..
    } = command
    else {
        return Ok(0);
    };
    let taken = append.recipients.iter().zip(planned);
    let mut taken = taken.filter_map(|(user, planned)| Some((user, planned.ok()?)));
    let Some((user, slot)) = taken.next() else {
        return Ok(0);
    };
    let mut list = Vec::new();
    if slot.row.is_shared() {
        list.reserve(append.recipients.len() * 12);
        Recipients::push(&mut list, user, slot.offset);
        for (user, slot) in taken {
            Recipients::push(&mut list, user, slot.offset);
        }
    }
    let (user, offset) = (&**user, slot.offset);
    database.insert(&MessageRow {
        seq: slot.row.seq(),
        to: Recipients::pushed(&list).map_or(To::One { user, offset }, To::Several),
        expiry_ms: slot.expiry_ms,
        body: &append.body,
        sender: append.sender.as_ref().map(|sender| &*sender.user),
    })?;
    let bytes = ROW_BYTES + (list.len() + append.body.len()) as u64;
    // Rows that are larger than a page leave pages partly empty.
    Ok(2 * bytes / PAGE_BYTES)
}

/// Rows deleted in one transaction at most, so that draining a full mailbox store does not
/// stop everybody else.
const GARBAGE_ROWS_MAX: usize = 16_384;
const GARBAGE_ROWS_NO_RESERVE: usize = 256;
const PAGE_BYTES: u64 = 4096;
/// What a row takes beside its payload, about.
const ROW_BYTES: u64 = 48;
