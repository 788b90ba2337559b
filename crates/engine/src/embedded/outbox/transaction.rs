//! Describes what one transaction adds to the outbox: [`Write`].
//!
//! In: planned commands, messages that have expired, what has changed in memory. Out: rows, and once they are on disk the new
//! state in memory. A transaction that fails leaves memory as it was.

use std::collections::BTreeMap;

use super::{DeadTotals, EXPIRED_MAX, OutboxCommand, OutboxState, event_bytes, rows};
use crate::{
    DeadLetter, EventKind, NewEvent, UserKey,
    embedded::{command::Command, database::Database, row::To},
};

/// Tells what one transaction adds.
#[derive(Debug)]
pub(in crate::embedded) struct Write {
    next: u64,
    sizes: Vec<u32>,
    /// The last number of each key that has an event in it.
    keys: BTreeMap<UserKey, u64>,
    new_keys: u64,
    forgotten_keys: u64,
    key_floor: u64,
    hand: Option<String>,
    deleted_below: u64,
    dead: DeadTotals,
    dead_letters_dropped: u64,
    expired: usize,
    lost: u64,
    pages: u64,
}

impl OutboxState {
    /// Begins what a transaction writes.
    pub(in crate::embedded) fn write(&self) -> Write {
        Write {
            next: self.next,
            sizes: Vec::new(),
            keys: BTreeMap::new(),
            new_keys: 0,
            forgotten_keys: 0,
            key_floor: self.key_floor,
            hand: None,
            deleted_below: self.deleted_below,
            dead: self.dead,
            dead_letters_dropped: 0,
            expired: 0,
            lost: 0,
            pages: 0,
        }
    }

    /// Reads the bodies of messages that have expired, before the same transaction deletes them.
    pub(in crate::embedded) fn expired_events(
        &self,
        database: &Database,
        now_ms: u64,
        write: &mut Write,
    ) -> rusqlite::Result<Vec<NewEvent>> {
        let mut events = Vec::new();
        for entry in self.expired.iter().take(EXPIRED_MAX) {
            write.expired += 1;
            let body = database.message(entry.row, |row| {
                row.filter(|row| match row.to {
                    To::One { user, offset } => *user == *entry.user && offset == entry.offset,
                    To::Several(_) => true,
                })
                .map(|row| row.body())
            })?;
            let Some(body) = body else {
                write.lost += 1;
                continue;
            };
            events.push(NewEvent {
                kind: EventKind::Expired,
                key: UserKey::clone(&entry.user),
                time_ms: now_ms,
                body,
                session: None,
            });
        }
        Ok(events)
    }

    /// Writes what `command` is to leave in the outbox.
    pub(in crate::embedded) fn write_command(
        &self,
        database: &Database,
        command: &Command,
        now_ms: u64,
        write: &mut Write,
    ) -> rusqlite::Result<()> {
        match command {
            Command::Append {
                append,
                plan: Ok(_),
                ..
            } => self.write_events(database, &append.events, write),
            Command::Outbox {
                request,
                plan: Ok(()),
            } => self.write_request(database, request, now_ms, write),
            Command::Append { .. }
            | Command::Read { .. }
            | Command::Purge { .. }
            | Command::Snapshot { .. }
            | Command::Mailboxes { .. }
            | Command::Outbox { .. } => Ok(()),
        }
    }

    fn write_request(
        &self,
        database: &Database,
        request: &OutboxCommand,
        now_ms: u64,
        write: &mut Write,
    ) -> rusqlite::Result<()> {
        match request {
            OutboxCommand::Append { events, .. } => self.write_events(database, events, write),
            OutboxCommand::Bury { letter, .. } => self.write_dead_letter(database, letter, write),
            OutboxCommand::RemoveDead { ids, removed, .. } => {
                let gone = rows::remove_dead(database.connection(), ids)?;
                removed.set(gone.letters);
                write.dead.letters -= gone.letters.min(write.dead.letters);
                write.dead.bytes -= gone.bytes.min(write.dead.bytes);
                Ok(())
            }
            OutboxCommand::Register { is_first, .. } => {
                if !is_first {
                    return Ok(());
                }
                let lost = rows::take_sessions(database.connection(), now_ms)?;
                self.write_events(database, &lost, write)
            }
            OutboxCommand::Read { .. } | OutboxCommand::DeadLetters { .. } => Ok(()),
        }
    }

    pub(in crate::embedded) fn write_events(
        &self,
        database: &Database,
        events: &[NewEvent],
        write: &mut Write,
    ) -> rusqlite::Result<()> {
        if !self.has_targets() {
            return Ok(());
        }
        let connection = database.connection();
        for event in events {
            let mut last = write.keys.get(&event.key).copied();
            if last.is_none() {
                last = rows::key(connection, &event.key)?;
            }
            let last = last.unwrap_or_else(|| {
                write.new_keys += 1;
                write.key_floor
            });
            let key_sequence = last + 1;
            write.keys.insert(UserKey::clone(&event.key), key_sequence);
            rows::insert(connection, write.next, key_sequence, event)?;
            write.next += 1;
            let bytes = event_bytes(event);
            write.sizes.push(u32::try_from(bytes).unwrap_or(u32::MAX));
            write.pages += 2 * bytes / PAGE_BYTES;
        }
        Ok(())
    }

    fn write_dead_letter(
        &self,
        database: &Database,
        letter: &DeadLetter,
        write: &mut Write,
    ) -> rusqlite::Result<()> {
        let connection = database.connection();
        rows::bury(connection, letter)?;
        write.dead.letters += 1;
        write.dead.bytes += letter.event.body.len() as u64;
        while write.dead.letters > 1
            && (write.dead.letters > self.config.dead_letters_max
                || write.dead.bytes > self.config.dead_letter_bytes_max)
        {
            let gone = rows::drop_oldest_dead(connection)?;
            if gone.letters == 0 {
                write.dead = DeadTotals::default();
                break;
            }
            write.dead.letters -= gone.letters.min(write.dead.letters);
            write.dead.bytes -= gone.bytes.min(write.dead.bytes);
            write.dead_letters_dropped += gone.letters;
        }
        Ok(())
    }

    /// Writes what has changed in memory, and the numbers of keys.
    pub(in crate::embedded) fn finish(
        &self,
        database: &Database,
        write: &mut Write,
    ) -> rusqlite::Result<()> {
        let connection = database.connection();
        let is_written = !write.sizes.is_empty();
        if !self.is_dirty && !is_written {
            return Ok(());
        }
        for (key, last) in &write.keys {
            rows::put_key(connection, key, *last, write.next)?;
        }
        let keys = self.keys + write.new_keys;
        if keys > self.config.keys_max {
            self.forget_keys(connection, keys - self.config.keys_max, write)?;
        }
        if self.targets.iter().any(|target| target.is_dirty) {
            rows::put_targets(connection, &self.targets)?;
        }
        // So that the rows of one transaction stay few.
        let below = self.first.min(write.deleted_below + DELETED_MAX);
        if below > write.deleted_below {
            rows::delete_below(connection, below)?;
            write.pages += (below - write.deleted_below) / 16;
            write.deleted_below = below;
        }
        rows::put_state(connection, write.next, write.key_floor)
    }

    /// Of some keys at a time those go that were silent longest.
    fn forget_keys(
        &self,
        connection: &rusqlite::Connection,
        count: u64,
        write: &mut Write,
    ) -> rusqlite::Result<()> {
        let mut hand = self.hand.clone();
        for _ in 0..count.min(FORGOTTEN_MAX) {
            let Some((forgotten, last, behind)) = rows::silent_key(connection, &hand)? else {
                hand.clear();
                break;
            };
            rows::forget_key(connection, &forgotten)?;
            write.key_floor = write.key_floor.max(last);
            write.forgotten_keys += 1;
            hand = behind;
        }
        write.hand = Some(hand);
        Ok(())
    }

    /// Tells what was written is on disk.
    pub(in crate::embedded) fn written(&mut self, write: Write) {
        self.has_changed |= self.is_dirty || write.has_events() || write.lost > 0;
        self.has_changed |=
            self.dead.letters != write.dead.letters || write.dead_letters_dropped > 0;
        self.counters.appended += write.sizes.len() as u64;
        self.counters.lost += write.lost;
        self.counters.dead_letters_dropped += write.dead_letters_dropped;
        self.bytes += write.sizes.iter().map(|size| u64::from(*size)).sum::<u64>();
        self.sizes.extend(write.sizes);
        self.next = write.next;
        self.keys = (self.keys + write.new_keys).saturating_sub(write.forgotten_keys);
        self.key_floor = write.key_floor;
        if let Some(hand) = write.hand {
            self.hand = hand;
        }
        self.deleted_below = write.deleted_below;
        self.dead = write.dead;
        self.expired.drain(..write.expired);
        for target in &mut self.targets {
            target.is_dirty = false;
        }
        self.is_dirty = self.deleted_below < self.first;
        self.planned_bytes = 0;
        self.trim();
    }
}

impl Write {
    /// Returns whether there is something new to read.
    pub(in crate::embedded) fn has_events(&self) -> bool {
        !self.sizes.is_empty()
    }

    /// About how many pages it touches.
    pub(in crate::embedded) fn pages(&self) -> u64 {
        self.pages
    }
}

const PAGE_BYTES: u64 = 4096;
/// Rows deleted in one transaction.
const DELETED_MAX: u64 = 65_536;
/// Keys forgotten in one transaction.
const FORGOTTEN_MAX: u64 = 256;
