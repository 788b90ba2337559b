//! What the backends do, as plain clients may know it: they are told nothing by the gateway.

use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

/// From a backend's death to the moment at which the gateway must have noticed, however busy the machine is.
const NOTICED_WITHIN: Duration = Duration::from_millis(150);

/// One endpoint's backend.
#[derive(Debug, Default)]
pub(super) struct Outage {
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// The last kill.
    killed: Option<Instant>,
    /// The backend listens again since; `None` while it is down.
    back: Option<Instant>,
}

impl Outage {
    pub(super) fn killed(&self) {
        *self.lock() = State {
            killed: Some(Instant::now()),
            back: None,
        };
    }

    pub(super) fn back(&self) {
        self.lock().back = Some(Instant::now());
    }

    /// Returns whether what is sent now goes to no backend: it is down, and the gateway knows.
    pub(super) fn is_surely_down(&self) -> bool {
        let state = *self.lock();
        state.back.is_none() && state.killed.is_some_and(|at| at.elapsed() > NOTICED_WITHIN)
    }

    /// Returns whether a message sent then may have been in the hands of a backend that was killed.
    pub(super) fn may_have_taken(&self, sent: Instant) -> bool {
        let killed = self.lock().killed;
        killed.is_some_and(|at| sent <= at + NOTICED_WITHIN)
    }

    /// Returns whether a message sent then may have met a backend in trouble, or the gateway's memory of one.
    pub(super) fn may_have_hurt(&self, sent: Instant) -> bool {
        let state = *self.lock();
        state.killed.is_some() && state.back.is_none_or(|back| sent <= back + NOTICED_WITHIN)
    }

    /// How long ago the backend came back, if it was away and is there.
    pub(super) fn since_back(&self) -> Option<Duration> {
        self.lock().back.map(|at| at.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}
