//! The state of a run of `isolation`, as its clients have to know it.

use parking_lot::{Mutex, MutexGuard};

/// The trouble that a backend is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing: how much two phases differ by themselves.
    Nothing,
    /// SIGKILL; started again when the phase is over.
    Kill,
    /// SIGSTOP, then SIGCONT.
    Freeze,
    /// Killed and started again all the time.
    Flap,
    /// Another process at its address speaks neither HTTP nor WebSocket.
    Garbage,
}

/// A phase, and whether a backend is in trouble in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) fault: Fault,
    pub(super) is_bad: bool,
    /// The endpoint of that backend, or of the one whose turn is ahead.
    pub(super) victim: usize,
}

/// Shared by all clients.
#[derive(Debug, Default)]
pub(super) struct Stage(Mutex<Option<Place>>);

impl Fault {
    pub(super) const ALL: [Self; 5] = [
        Self::Nothing,
        Self::Kill,
        Self::Freeze,
        Self::Flap,
        Self::Garbage,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Kill => "killed",
            Self::Freeze => "frozen",
            Self::Flap => "flapping",
            Self::Garbage => "garbage",
        }
    }
}

impl Place {
    /// Places of one victim.
    pub(super) const COUNT: usize = 2 * Fault::ALL.len();

    /// Which of them it is.
    pub(super) fn index(self) -> usize {
        2 * self.fault as usize + usize::from(self.is_bad)
    }
}

impl Stage {
    /// From now on.
    pub(super) fn measure(&self, place: Place) {
        *self.lock() = Some(place);
    }

    /// Nothing is measured.
    pub(super) fn pause(&self) {
        *self.lock() = None;
    }

    /// Returns what a client of this endpoint measures: nothing if that is the victim.
    pub(super) fn place_of(&self, index: usize) -> Option<Place> {
        (*self.lock()).filter(|place| place.victim != index)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Place>> {
        self.0.lock()
    }
}
