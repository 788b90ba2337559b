//! The bounded queue between the callers and the store's thread.
//!
//! Commands are bounded in number and bytes. Acknowledgements are merged per user beside
//! them: they make room, so they must never be refused, and a map with one number per user
//! cannot grow beyond the users there are. A batch that holds everything there is keeps the order
//! of submission; of more than a batch, the submitters take turns ([`Turns`]).

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    time::Duration,
};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::{
    command::{BatchBounds, Command, Size},
    fair::Turns,
};
use crate::{SubmitError, TargetName, UserKey};

/// What one take has found.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) commands: VecDeque<Command>,
    pub(super) acks: HashMap<UserKey, u64>,
    pub(super) advances: HashMap<TargetName, u64>,
    /// No more commands will come, and these are the last ones.
    pub(super) finished: bool,
}

pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    commands_max: usize,
    bytes_max: usize,
}

#[derive(Default)]
struct State {
    /// In the order of submission, not yet taken.
    commands: VecDeque<Command>,
    /// What they add to a batch.
    size: Size,
    /// How many commands wait for their turn with the store's thread.
    turns_len: usize,
    /// Payload bytes of both, each payload counted once.
    payload_bytes: usize,
    acks: HashMap<UserKey, u64>,
    advances: HashMap<TargetName, u64>,
    closed: bool,
    /// Whether the store's thread waits: a wake-up costs a system call, so none is sent to a
    /// thread that is awake.
    waiting: bool,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Completions have nothing to show, and payloads are never printed.
        f.debug_struct("Queue")
            .field("commands_max", &self.commands_max)
            .finish_non_exhaustive()
    }
}

impl Queue {
    pub(super) fn new(commands_max: usize, bytes_max: usize) -> Self {
        Self {
            state: Mutex::default(),
            wake: Condvar::new(),
            commands_max,
            bytes_max,
        }
    }

    pub(super) fn push(&self, command: Command) -> Result<(), SubmitError> {
        let size = command.size();
        let payload_bytes = command.payload_bytes();
        let mut state = self.state.lock();
        if state.closed {
            return Err(SubmitError::Closed);
        }
        // Only payloads count against the bytes, so reads go on while they are used up.
        let bytes = state.payload_bytes.saturating_add(payload_bytes);
        let is_too_much = payload_bytes > 0 && state.payload_bytes > 0 && bytes > self.bytes_max;
        let commands_max = if command.is_event() {
            self.commands_max.saturating_mul(EVENTS_FACTOR)
        } else {
            self.commands_max
        };
        if state.commands.len() + state.turns_len >= commands_max || is_too_much {
            return Err(SubmitError::Busy);
        }
        state.payload_bytes = bytes;
        state.size.add(size);
        state.commands.push_back(command);
        self.wake(state);
        Ok(())
    }

    pub(super) fn ack(&self, user: &UserKey, up_to: u64) -> Result<(), SubmitError> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(SubmitError::Closed);
        }
        if let Some(merged) = state.acks.get_mut(user) {
            *merged = up_to.max(*merged);
            return Ok(());
        }
        state.acks.insert(UserKey::clone(user), up_to);
        self.wake(state);
        Ok(())
    }

    /// The same for the cursor of a target.
    pub(super) fn advance(&self, target: &TargetName, up_to: u64) -> Result<(), SubmitError> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(SubmitError::Closed);
        }
        if let Some(merged) = state.advances.get_mut(target) {
            *merged = up_to.max(*merged);
            return Ok(());
        }
        state.advances.insert(TargetName::clone(target), up_to);
        self.wake(state);
        Ok(())
    }

    /// Refuses further commands; what is queued can still be taken.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        self.wake(state);
    }

    /// Takes a batch within `bounds`; waits for something at most `timeout`, for ever if that is
    /// `None`. All acknowledgements are taken, so one that was given before a command is never
    /// applied after it.
    pub(super) fn take(
        &self,
        turns: &mut Turns,
        timeout: Option<Duration>,
        bounds: BatchBounds,
    ) -> Taken {
        let mut state = self.state.lock();
        if state.is_idle() {
            state.waiting = true;
            if let Some(timeout) = timeout {
                // A late timeout only makes an empty batch.
                self.wake.wait_for(&mut state, timeout);
            } else {
                self.wake.wait_while(&mut state, |state| state.is_idle());
            }
            state.waiting = false;
        }
        let acks = std::mem::take(&mut state.acks);
        let advances = std::mem::take(&mut state.advances);
        let commands = std::mem::take(&mut state.commands);
        let size = std::mem::take(&mut state.size);
        let closed = state.closed;
        if state.turns_len == 0 && bounds.admit_after(size) {
            state.payload_bytes = 0;
            return Taken {
                commands,
                acks,
                advances,
                finished: closed,
            };
        }
        state.turns_len += commands.len();
        // Sorting is done without the lock; the counts make good for it afterwards.
        drop(state);
        turns.add(commands);
        let commands = turns.take(bounds);
        let payload_bytes: usize = commands.iter().map(Command::payload_bytes).sum();
        let mut state = self.state.lock();
        state.turns_len -= commands.len();
        state.payload_bytes -= payload_bytes;
        Taken {
            commands,
            acks,
            advances,
            finished: state.closed && state.commands.is_empty() && state.turns_len == 0,
        }
    }

    fn wake(&self, state: MutexGuard<'_, State>) {
        let waiting = state.waiting;
        drop(state);
        if waiting {
            self.wake.notify_one();
        }
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.commands.is_empty()
            && self.turns_len == 0
            && self.acks.is_empty()
            && self.advances.is_empty()
            && !self.closed
    }
}

/// How many times as many events may wait as other commands.
const EVENTS_FACTOR: usize = 8;
