//! The events that a worker has in hand: their order, their attempts, and which go next.
//!
//! In: events in the order of the outbox, outcomes of deliveries, the time. Out: batches, and up to where everything is
//! done. Invariants: events of one user are never under way at the same time in two batches, and none goes while
//! an earlier one of the same user waits for its next attempt; the cursor stands before the first event that
//! is not done. No I/O, no clock of its own.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use tokio::time::Instant;

use crate::Event;

#[derive(Debug)]
pub(crate) struct Window {
    /// In the order of the outbox; the first one is not done.
    entries: VecDeque<Entry>,
    /// Everything up to here is read.
    read_up_to: u64,
    /// Entries that are not done.
    pending: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    sequence: u64,
    state: State,
    attempts: u32,
    /// How often it was used to find out whether the target works again.
    trials: u32,
    /// Goes in a batch of its own.
    is_alone: bool,
    event: Option<Arc<Event>>,
}

#[derive(Debug, PartialEq)]
enum State {
    Ready,
    Waiting(Instant),
    UnderWay,
    Done,
}

/// Tells what of a batch was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// Each waits until then; whether the attempt counts.
    All { retry_at: Instant, counts: bool },
    /// The first waits until then; the others go on.
    First { retry_at: Instant },
    /// They are tried one by one.
    OneByOne,
}

impl Window {
    pub(crate) fn new(cursor: u64) -> Self {
        Self {
            entries: VecDeque::new(),
            read_up_to: cursor,
            pending: 0,
            bytes: 0,
        }
    }

    /// Adds an event; `None` is one that the target does not get.
    pub(crate) fn push(&mut self, sequence: u64, event: Option<Event>) {
        self.read_up_to = self.read_up_to.max(sequence);
        let Some(event) = event else {
            // Nothing to remember while nothing before it waits.
            if !self.entries.is_empty() {
                self.entries.push_back(Entry {
                    sequence,
                    state: State::Done,
                    attempts: 0,
                    trials: 0,
                    is_alone: false,
                    event: None,
                });
            }
            return;
        };
        self.pending += 1;
        self.bytes += event.json.len();
        self.entries.push_back(Entry {
            sequence,
            state: State::Ready,
            attempts: 0,
            trials: 0,
            is_alone: false,
            event: Some(Arc::new(event)),
        });
    }

    /// Everything up to `sequence` is read, though the last of it brought no event.
    pub(crate) fn read_up_to(&mut self, sequence: u64) {
        self.read_up_to = self.read_up_to.max(sequence);
    }

    /// Behind which event to read on.
    pub(crate) fn next_read(&self) -> u64 {
        self.read_up_to
    }

    /// How many entries and bytes are in hand.
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.entries.len(), self.bytes)
    }

    /// Events that are not done.
    pub(crate) fn pending(&self) -> usize {
        self.pending
    }

    /// Everything up to here is done.
    pub(crate) fn cursor(&self) -> u64 {
        self.entries
            .front()
            .map_or(self.read_up_to, |entry| entry.sequence - 1)
    }

    /// Takes the next batch: the oldest events that may go.
    pub(crate) fn take_batch(
        &mut self,
        now: Instant,
        events_max: usize,
        bytes_max: usize,
    ) -> Option<Vec<Arc<Event>>> {
        let mut batch: Vec<Arc<Event>> = Vec::new();
        let mut bytes = 0;
        let mut held: HashSet<Arc<str>> = HashSet::new();
        for entry in &mut self.entries {
            let Some(event) = &entry.event else { continue };
            let may_go = match entry.state {
                State::Done => continue,
                State::Ready => true,
                State::Waiting(until) => until <= now,
                State::UnderWay => false,
            };
            if !may_go || held.contains(&event.user) || (entry.is_alone && !batch.is_empty()) {
                held.insert(Arc::clone(&event.user));
                continue;
            }
            let len = event.json.len();
            if !batch.is_empty() && bytes + len > bytes_max {
                break;
            }
            bytes += len;
            entry.state = State::UnderWay;
            batch.push(Arc::clone(event));
            if batch.len() >= events_max || entry.is_alone {
                break;
            }
        }
        (!batch.is_empty()).then_some(batch)
    }

    /// Takes one event to find out whether the target works again: the oldest of those that were used least for
    /// that, so that one that no target survives does not keep all others from going on.
    pub(crate) fn take_trial(&mut self, now: Instant) -> Option<Vec<Arc<Event>>> {
        let mut held: HashSet<Arc<str>> = HashSet::new();
        let mut chosen: Option<(usize, u32)> = None;
        for (index, entry) in self.entries.iter().enumerate() {
            let Some(event) = &entry.event else { continue };
            let is_due = match entry.state {
                State::Done => continue,
                State::Ready => true,
                State::Waiting(until) => until <= now,
                State::UnderWay => false,
            };
            let is_first = held.insert(Arc::clone(&event.user));
            if is_due && is_first && chosen.is_none_or(|(_, least)| entry.trials < least) {
                chosen = Some((index, entry.trials));
            }
        }
        let entry = self.entries.get_mut(chosen?.0)?;
        entry.state = State::UnderWay;
        entry.event.clone().map(|event| vec![event])
    }

    /// These were not tried.
    pub(crate) fn release(&mut self, events: &[Arc<Event>]) {
        for event in events {
            if let Some(entry) = self.entry(event.sequence) {
                entry.state = State::Ready;
            }
        }
    }

    /// When the first event that waits may go.
    pub(crate) fn next_retry(&self) -> Option<Instant> {
        let waiting = |entry: &Entry| match entry.state {
            State::Waiting(until) => Some(until),
            State::Ready | State::UnderWay | State::Done => None,
        };
        self.entries.iter().filter_map(waiting).min()
    }

    /// Returns whether every event in hand that is not under way waits for its next attempt.
    pub(crate) fn is_waiting(&self) -> bool {
        self.entries.iter().all(|entry| entry.state != State::Ready)
    }

    /// These are done with.
    pub(crate) fn done(&mut self, events: &[Arc<Event>]) {
        for event in events {
            if let Some(entry) = self.entry(event.sequence) {
                entry.state = State::Done;
                entry.event = None;
                self.pending -= 1;
                self.bytes -= event.json.len();
            }
        }
        while self
            .entries
            .front()
            .is_some_and(|entry| entry.state == State::Done)
        {
            self.entries.pop_front();
        }
    }

    /// These were not taken; returns those of them that have used up `attempts_max`, which stay under way.
    pub(crate) fn failed(
        &mut self,
        events: &[Arc<Event>],
        failed: Failed,
        attempts_max: u32,
    ) -> Vec<(Arc<Event>, u32)> {
        let mut exhausted = Vec::new();
        for (index, event) in events.iter().enumerate() {
            let Some(entry) = self.entry(event.sequence) else {
                continue;
            };
            let (until, counts) = match failed {
                Failed::All { retry_at, counts } => (Some(retry_at), counts),
                Failed::First { retry_at } if index == 0 => (Some(retry_at), true),
                Failed::First { .. } => (None, false),
                Failed::OneByOne => {
                    entry.is_alone = true;
                    (None, false)
                }
            };
            entry.attempts += u32::from(counts);
            entry.trials += u32::from(until.is_some() && !counts);
            if entry.attempts >= attempts_max {
                exhausted.push((Arc::clone(event), entry.attempts));
                continue;
            }
            entry.state = until.map_or(State::Ready, State::Waiting);
        }
        exhausted
    }

    /// How often an event was tried.
    pub(crate) fn attempts(&mut self, sequence: u64) -> u32 {
        self.entry(sequence).map_or(0, |entry| entry.attempts)
    }

    fn entry(&mut self, sequence: u64) -> Option<&mut Entry> {
        let index = self
            .entries
            .binary_search_by_key(&sequence, |entry| entry.sequence)
            .ok()?;
        self.entries.get_mut(index)
    }
}

#[cfg(test)]
mod tests;
