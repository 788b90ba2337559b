//! The bounded queue between the callers and the store's thread.
//!
//! Commands are bounded and keep their order. Acknowledgements are merged per user beside
//! them: they make room, so they must never be refused, and a map with one number per user
//! cannot grow beyond the users there are.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::plan::Plan;
use crate::{Append, OnAppend, OnRead, SubmitError, UserKey};

/// What the store's thread executes in order.
pub(super) enum Command {
    Append {
        append: Append,
        done: OnAppend,
        plan: Plan,
    },
    Read {
        read: Read,
        done: OnRead,
    },
}

/// The arguments of a read.
pub(super) struct Read {
    pub(super) user: UserKey,
    pub(super) after: u64,
    pub(super) messages_max: usize,
    pub(super) bytes_max: usize,
}

/// How much one take may return.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchBounds {
    pub(super) messages_max: usize,
    pub(super) bytes_max: usize,
}

/// What one take has found.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) commands: VecDeque<Command>,
    pub(super) acks: HashMap<UserKey, u64>,
    /// No more commands will come, and these are the last ones.
    pub(super) finished: bool,
}

pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    commands_max: usize,
}

#[derive(Default)]
struct State {
    commands: VecDeque<Command>,
    acks: HashMap<UserKey, u64>,
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
    pub(super) fn new(commands_max: usize) -> Self {
        Self {
            state: Mutex::default(),
            wake: Condvar::new(),
            commands_max,
        }
    }

    pub(super) fn push(&self, command: Command) -> Result<(), SubmitError> {
        let mut state = self.lock();
        if state.closed {
            return Err(SubmitError::Closed);
        }
        if state.commands.len() >= self.commands_max {
            return Err(SubmitError::Busy);
        }
        state.commands.push_back(command);
        self.wake(state);
        Ok(())
    }

    pub(super) fn ack(&self, user: &UserKey, up_to: u64) -> Result<(), SubmitError> {
        let mut state = self.lock();
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

    /// Refuses further commands; what is queued can still be taken.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.wake(state);
    }

    /// Takes what is there, in order and within `bounds`; waits for something at most
    /// `timeout`, for ever if that is `None`. All acknowledgements are taken, so one that was
    /// given before a command is never applied after it.
    pub(super) fn take(&self, timeout: Option<Duration>, bounds: BatchBounds) -> Taken {
        let mut state = self.lock();
        if state.is_idle() {
            state.waiting = true;
            state = if let Some(timeout) = timeout {
                // A spurious wake-up or a late timeout only makes an empty batch.
                let woken = self.wake.wait_timeout(state, timeout);
                woken.unwrap_or_else(PoisonError::into_inner).0
            } else {
                let woken = self.wake.wait_while(state, |state| state.is_idle());
                woken.unwrap_or_else(PoisonError::into_inner)
            };
            state.waiting = false;
        }
        let mut taken = Taken {
            acks: std::mem::take(&mut state.acks),
            ..Taken::default()
        };
        let (mut messages, mut bytes) = (0_usize, 0_usize);
        while messages < bounds.messages_max && bytes < bounds.bytes_max {
            let Some(command) = state.commands.pop_front() else {
                break;
            };
            let size = command.size();
            messages += size.0;
            bytes = bytes.saturating_add(size.1);
            taken.commands.push_back(command);
        }
        taken.finished = state.closed && state.commands.is_empty();
        taken
    }

    fn wake(&self, state: MutexGuard<'_, State>) {
        let waiting = state.waiting;
        drop(state);
        if waiting {
            self.wake.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock, so a poisoned state is a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.commands.is_empty() && self.acks.is_empty() && !self.closed
    }
}

impl Command {
    /// Messages and bytes this command adds to a batch.
    fn size(&self) -> (usize, usize) {
        match self {
            Self::Append { append, .. } => {
                let bytes = append.entries.iter().map(|entry| entry.payload.len()).sum();
                (append.entries.len().max(1), bytes)
            }
            Self::Read { .. } => (1, 0),
        }
    }
}
