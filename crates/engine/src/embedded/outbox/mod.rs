//! The embedded [`Outbox`](crate::Outbox): events in tables beside the mailboxes', in the same transactions.
//!
//! In: events of planned appends, on their own, and of messages that expire. Out: rows with rising keys. In memory
//! is what decides about room: the size of each row and the cursor of each target. Memory is ahead of the file as it is with
//! mailboxes: cursors move at once, rows go with a later transaction. What a transaction adds is a [`Write`], applied
//! once it is on disk.

mod command; // what the store's thread is asked for
mod rows; // the tables
mod transaction; // what one transaction adds
mod watched; // what other threads see

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
};

pub(super) use self::{command::OutboxCommand, rows::dead_letters, watched::OutboxShared};
use super::{database::Database, index::ExpiredEntry};
use crate::{
    EventBatch, NewEvent, OnFull, OutboxConfig, OutboxError, OutboxStats, StoredEvent,
    TargetCursor, TargetName, TargetRegistration, TargetStats,
};

/// Tells what is in memory.
#[derive(Debug)]
pub(super) struct OutboxState {
    config: OutboxConfig,
    /// Number of the first event that a target waits for.
    first: u64,
    /// Sizes of the events from there on.
    sizes: VecDeque<u32>,
    bytes: u64,
    /// Number of the next event.
    next: u64,
    /// Rows below are gone.
    deleted_below: u64,
    targets: Vec<Target>,
    /// Keys with a row.
    keys: u64,
    /// No forgotten key had a greater number.
    key_floor: u64,
    /// Where the search for keys to forget goes on.
    hand: String,
    dead: DeadTotals,
    /// Tells what the appends of the batch in hand take.
    planned_bytes: u64,
    /// Messages that have expired and are not told yet.
    expired: VecDeque<ExpiredEntry>,
    /// Something is to be seen in the counters that was not there before.
    has_changed: bool,
    /// Since the last commit something has changed that is to be written.
    is_dirty: bool,
    counters: Counters,
}

#[derive(Debug)]
struct Target {
    name: TargetName,
    cursor: u64,
    on_full: OnFull,
    dropped: u64,
    is_dirty: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct DeadTotals {
    letters: u64,
    bytes: u64,
}

#[derive(Debug, Default)]
struct Counters {
    appended: u64,
    refused: u64,
    lost: u64,
    dead_letters_dropped: u64,
}

impl OutboxState {
    /// Reads what is in the file; sessions that were open there become events with the first write.
    pub(super) fn load(database: &Database, config: OutboxConfig) -> rusqlite::Result<Self> {
        let rows::Loaded {
            next,
            key_floor,
            keys,
            targets,
            sizes,
            dead,
        } = rows::load(database.connection())?;
        let first = next - sizes.len() as u64;
        let mut state = Self {
            config,
            first,
            bytes: sizes.iter().map(|size| u64::from(*size)).sum(),
            sizes,
            next,
            deleted_below: first,
            targets,
            keys,
            key_floor,
            hand: String::new(),
            dead,
            planned_bytes: 0,
            expired: VecDeque::new(),
            is_dirty: false,
            has_changed: true,
            counters: Counters::default(),
        };
        state.trim();
        state.is_dirty = state.deleted_below < state.first;
        Ok(state)
    }

    /// Returns whether anybody is there to be told.
    fn has_targets(&self) -> bool {
        !self.targets.is_empty()
    }

    /// Returns whether messages that expire are to be noted.
    pub(super) fn wants_expired(&self) -> bool {
        self.config.expired && self.has_targets()
    }

    pub(super) fn note_expired(&mut self, entries: Vec<ExpiredEntry>) {
        if self.wants_expired() {
            self.expired.extend(entries);
        }
    }

    /// Returns whether more messages have expired than one transaction tells. Until it is done their rows have to stay.
    pub(super) fn holds_rows(&self) -> bool {
        self.expired.len() > EXPIRED_MAX
    }

    /// Returns whether memory is ahead of the file.
    pub(super) fn is_dirty(&self) -> bool {
        self.is_dirty || !self.expired.is_empty()
    }

    /// Nothing of the batch in hand is planned yet.
    pub(super) fn begin_batch(&mut self) {
        self.planned_bytes = 0;
    }

    /// Makes room for events, or refuses them. Those that `may_be_refused` are the ones of messages.
    pub(super) fn admit(
        &mut self,
        events: &[NewEvent],
        may_be_refused: bool,
    ) -> Result<(), OutboxError> {
        if events.is_empty() || !self.has_targets() {
            return Ok(());
        }
        let bytes = events.iter().map(event_bytes).sum::<u64>();
        let bonus = if may_be_refused {
            0
        } else {
            self.config.bytes_max / 8
        };
        let is_too_much = |state: &Self, max: u64| {
            let taken = state.bytes + state.planned_bytes;
            taken > 0 && taken + bytes > max
        };
        if is_too_much(self, self.config.bytes_max) {
            self.drop_oldest(bytes);
            if is_too_much(self, self.config.bytes_max + bonus) {
                self.has_changed = true;
                self.counters.refused += 1;
                self.counters.lost += if may_be_refused {
                    0
                } else {
                    events.len() as u64
                };
                return Err(OutboxError::Full);
            }
        }
        self.planned_bytes += bytes;
        Ok(())
    }

    /// Takes the oldest events from the targets that may miss some, as many as make room for `bytes`, and some more.
    fn drop_oldest(&mut self, bytes: u64) {
        let wanted = (self.config.bytes_max - self.config.bytes_max / 16)
            .saturating_sub(self.planned_bytes.saturating_add(bytes));
        let mut dropped = 0_u64;
        while self.bytes > wanted && !self.sizes.is_empty() {
            let first = self.first;
            let is_waited_for = |target: &Target| target.cursor < first;
            if self
                .targets
                .iter()
                .any(|target| is_waited_for(target) && target.on_full == OnFull::Refuse)
            {
                break;
            }
            for target in self
                .targets
                .iter_mut()
                .filter(|target| is_waited_for(target))
            {
                target.cursor = first;
                target.dropped += 1;
                target.is_dirty = true;
            }
            self.pop_front();
            dropped += 1;
        }
        if dropped > 0 {
            self.is_dirty = true;
            tracing::error!(
                dropped,
                "the outbox of events is full: targets that do not take them miss the oldest"
            );
        }
    }

    pub(super) fn advance<'a>(
        &mut self,
        advances: impl Iterator<Item = (&'a TargetName, &'a u64)>,
    ) {
        let last = self.next - 1;
        let mut any = false;
        for (name, up_to) in advances {
            let known = self.targets.iter_mut().find(|target| target.name == *name);
            let Some(target) = known else { continue };
            let cursor = (*up_to).min(last);
            if cursor > target.cursor {
                target.cursor = cursor;
                target.is_dirty = true;
                any = true;
            }
        }
        if any {
            self.is_dirty = true;
            self.trim();
        }
    }

    /// Forgets what all targets have.
    fn trim(&mut self) {
        let done = self.targets.iter().map(|target| target.cursor).min();
        let done = done.unwrap_or(self.next - 1);
        while self.first <= done && !self.sizes.is_empty() {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        if let Some(size) = self.sizes.pop_front() {
            self.bytes -= u64::from(size);
            self.first += 1;
        }
    }

    /// Sets the targets; the file follows with the transaction in hand.
    pub(super) fn register(&mut self, wanted: &[TargetRegistration]) {
        let mut known: BTreeMap<TargetName, Target> = mem::take(&mut self.targets)
            .into_iter()
            .map(|target| (TargetName::clone(&target.name), target))
            .collect();
        let last = self.next - 1;
        self.targets = wanted
            .iter()
            .map(|registration| {
                let found = known.remove(&registration.name);
                Target {
                    name: TargetName::clone(&registration.name),
                    cursor: found.as_ref().map_or(last, |target| target.cursor),
                    on_full: registration.on_full,
                    dropped: found.as_ref().map_or(0, |target| target.dropped),
                    is_dirty: true,
                }
            })
            .collect();
        for (name, target) in known {
            let pending = last - target.cursor;
            if pending > 0 {
                tracing::warn!(target = %name, pending, "a target of events is gone, and so is what it had not taken");
            }
        }
        self.is_dirty = true;
        self.trim();
    }

    pub(super) fn cursors(&self) -> Vec<TargetCursor> {
        let cursor = |target: &Target| TargetCursor {
            name: TargetName::clone(&target.name),
            cursor: target.cursor,
        };
        self.targets.iter().map(cursor).collect()
    }

    /// Events that were to be written and cannot be.
    pub(super) fn lose(&mut self, count: usize) {
        self.counters.lost += count as u64;
        self.has_changed = true;
    }

    /// Tells what has expired and is not told yet never will be.
    pub(super) fn lose_expired(&mut self) {
        self.counters.lost += self.expired.len() as u64;
        self.expired.clear();
    }

    /// Reads events behind `after`.
    pub(super) fn read(
        &mut self,
        database: &Database,
        epoch: u64,
        (after, events_max, bytes_max): (u64, usize, usize),
    ) -> rusqlite::Result<EventBatch> {
        let after = after.max(self.first.saturating_sub(1));
        let mut events: Vec<StoredEvent> = Vec::new();
        let mut bytes = 0;
        let mut read_up_to = after;
        let mut damaged = 0;
        rows::for_each_behind(database.connection(), after, &mut |sequence, event| {
            if events.len() >= events_max.max(1) || (!events.is_empty() && bytes >= bytes_max) {
                return false;
            }
            read_up_to = sequence;
            match event {
                Some(event) => {
                    bytes += event.body.len() + ROW_BYTES;
                    events.push(event);
                }
                None => damaged += 1,
            }
            true
        })?;
        if damaged > 0 {
            self.has_changed = true;
            self.counters.lost += damaged;
            tracing::error!(damaged, "damaged rows in the outbox of events");
        }
        Ok(EventBatch {
            epoch,
            events,
            more: read_up_to + 1 < self.next,
            read_up_to,
        })
    }

    /// The counters, if they have changed since the last call.
    pub(super) fn changed_stats(&mut self) -> Option<OutboxStats> {
        mem::take(&mut self.has_changed).then(|| self.stats())
    }

    fn stats(&self) -> OutboxStats {
        let last = self.next - 1;
        let target = |target: &Target| TargetStats {
            name: TargetName::clone(&target.name),
            pending: last.saturating_sub(target.cursor),
            dropped: target.dropped,
        };
        OutboxStats {
            pending_events: self.sizes.len() as u64,
            pending_bytes: self.bytes,
            appended: self.counters.appended,
            refused: self.counters.refused,
            lost: self.counters.lost,
            dead_letters: self.dead.letters,
            dead_letter_bytes: self.dead.bytes,
            dead_letters_dropped: self.counters.dead_letters_dropped,
            targets: self.targets.iter().map(target).collect(),
        }
    }
}

/// About how many bytes an event takes.
fn event_bytes(event: &NewEvent) -> u64 {
    (event.body.len() + event.key.len() + ROW_BYTES) as u64
}

/// Tells what a row takes beside its body, about.
const ROW_BYTES: usize = 64;
/// Messages told as expired in one transaction.
const EXPIRED_MAX: usize = 4096;
