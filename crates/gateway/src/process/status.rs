//! [`Status`]: what is told about a supervised process.

use std::{sync::Arc, time::Instant};

/// How a supervised process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it does now.
    pub state: State,
    /// It has ended too often in too short a time, and has not been ready for
    /// [`crash_window`](crate::settings::Process::crash_window) since; it may run at this moment.
    pub crash_loop: bool,
    /// How often it was started after the first time, asked for or not.
    pub restarts: u64,
    /// How the one before ended, or why it could not be started: `exit status: 1`,
    /// `signal: 9 (SIGKILL)`, `not ready within 30s: …`.
    pub last_exit: Option<Arc<str>>,
}

/// What a supervised process does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is started, and not ready yet.
    Starting {
        /// The process; `None`: about to be.
        pid: Option<u32>,
    },
    /// It is ready.
    Running {
        /// The process.
        pid: u32,
        /// When it became ready.
        since: Instant,
    },
    /// It has ended, and is started again.
    Waiting {
        /// When; `None`: the wait is longer than the clock.
        until: Option<Instant>,
    },
    /// It ends again and again, and is started again after the longest wait.
    CrashLoop {
        /// When; `None`: the wait is longer than the clock.
        until: Option<Instant>,
    },
    /// It was asked to end, to be started again or not, or has ended and something that it started is left.
    Stopping,
    /// Nothing runs any more, and nothing is started.
    Stopped,
}

impl Status {
    pub(super) fn new() -> Self {
        Self {
            state: State::Starting { pid: None },
            crash_loop: false,
            restarts: 0,
            last_exit: None,
        }
    }

    /// Connections to it can be expected to succeed.
    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }
}
