//! [`Breaker`]: passive ejection of one upstream, learnt from what becomes of openings.
//!
//! ```text
//!            failures in a row               ejection is over, or a check says it is back
//!   Closed ──────────────────────▶ Open ─────────────────────────────────────▶ HalfOpen
//!     ▲                             ▲                                            │  │
//!     │                             └───────── the trial failed: twice as long ──┘  │
//!     └─────────────────────────────────────────────── the trial succeeded ─────────┘
//! ```
//!
//! In: outcomes, with the time. Out: whether an opening may be tried. Invariant: while not closed,
//! at most one opening, the trial, is under way; what older openings report meanwhile is ignored.

use std::time::{Duration, Instant};

use crate::settings::Ejection;

/// What is known from openings.
#[derive(Clone, Debug)]
pub(super) struct Breaker {
    state: State,
    /// Trials so far: the outcome of an old one is told from the present one's.
    trials: u64,
}

/// See the picture above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed {
        /// Openings that failed in a row.
        failures: u32,
        /// The last ejection, if any.
        after: Option<Ended>,
    },
    Open {
        until: Instant,
        lasting: Duration,
    },
    HalfOpen {
        trial: Option<Trial>,
        lasting: Duration,
    },
}

/// An ejection that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ended {
    lasting: Duration,
    at: Instant,
}

/// The one opening that is let through while half-open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trial(u64);

/// Failures in a row before an opening that succeeded: they go on counting when its connection is
/// lost early.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Row(u32);

/// The state without its inner workings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Openings go through.
    Closed {
        /// Openings that failed in a row.
        failures: u32,
    },
    /// Ejected: nothing goes through.
    Open {
        /// Then one trial goes through.
        until: Instant,
    },
    /// One opening at a time goes through, as a trial.
    HalfOpen {
        /// One is under way.
        trying: bool,
    },
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            state: State::Closed {
                failures: 0,
                after: None,
            },
            trials: 0,
        }
    }
}

impl Breaker {
    /// An opening begins; call only if it [is admitted](Self::admits). Gives the trial, if it is
    /// one.
    pub(super) fn enter(&mut self) -> Option<Trial> {
        let lasting = match self.state {
            State::Closed { .. } => return None,
            State::Open { lasting, .. } | State::HalfOpen { lasting, .. } => lasting,
        };
        self.trials += 1;
        let trial = Some(Trial(self.trials));
        self.state = State::HalfOpen { trial, lasting };
        trial
    }

    /// An opening succeeded. Gives the failures before it, and whether this closed the breaker.
    pub(super) fn succeeded(&mut self, now: Instant, trial: Option<Trial>) -> (Row, bool) {
        match &mut self.state {
            State::Closed { failures, .. } => (Row(std::mem::take(failures)), false),
            State::HalfOpen {
                trial: present,
                lasting,
            } if trial.is_some() && *present == trial => {
                self.state = State::Closed {
                    failures: 0,
                    after: Some(Ended {
                        lasting: *lasting,
                        at: now,
                    }),
                };
                (Row(u32::MAX), true) // it stays on probation until its connection has lasted
            }
            State::Open { .. } | State::HalfOpen { .. } => (Row(0), false),
        }
    }

    /// An opening failed. Without `may_eject`, as many siblings are ejected as may be: the failures are
    /// counted, and the breaker stays closed. Gives whether the upstream was ejected by this.
    pub(super) fn failed(
        &mut self,
        now: Instant,
        trial: Option<Trial>,
        settings: &Ejection,
        may_eject: bool,
    ) -> bool {
        let lasting = match &mut self.state {
            State::Closed { failures, after } => {
                *failures = failures.saturating_add(1);
                if *failures < settings.failures || !may_eject {
                    return false;
                }
                match after {
                    // It has been back for less long than it was away: it has not recovered.
                    Some(last) if now < last.at + last.lasting => double(last.lasting, settings),
                    Some(_) | None => settings.ejected_for.min(settings.ejected_max),
                }
            }
            State::HalfOpen {
                trial: present,
                lasting,
            } if trial.is_some() && *present == trial => double(*lasting, settings),
            State::Open { .. } | State::HalfOpen { .. } => return false,
        };
        self.state = State::Open {
            until: now + lasting,
            lasting,
        };
        true
    }

    /// A connection was lost early: its opening counts as failed after all, behind the failures
    /// before it. Gives whether the upstream was ejected by this.
    pub(super) fn lost_early(
        &mut self,
        now: Instant,
        before: Row,
        settings: &Ejection,
        may_eject: bool,
    ) -> bool {
        if let State::Closed { failures, .. } = &mut self.state {
            *failures = before.0.max(*failures);
        }
        self.failed(now, None, settings, may_eject)
    }

    /// A trial ended without an outcome; another may begin. Gives whether it was the present one.
    pub(super) fn give_up(&mut self, trial: Option<Trial>) -> bool {
        match &mut self.state {
            State::HalfOpen { trial: present, .. } if trial.is_some() && *present == trial => {
                *present = None;
                true
            }
            State::Closed { .. } | State::Open { .. } | State::HalfOpen { .. } => false,
        }
    }

    /// Something else tells that the upstream is back: a trial may begin at once. Gives whether
    /// this ended an ejection.
    pub(super) fn end_ejection(&mut self) -> bool {
        let State::Open { lasting, .. } = self.state else {
            return false;
        };
        self.state = State::HalfOpen {
            trial: None,
            lasting,
        };
        true
    }

    /// Returns whether an opening may begin.
    pub(super) fn admits(&self, now: Instant) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { until, .. } => now >= until,
            State::HalfOpen { trial, .. } => trial.is_none(),
        }
    }

    /// Returns whether it counts as ejected: from the ejection until a trial succeeds.
    pub(super) fn is_ejected(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }

    /// When a trial may begin, if time is all it waits for.
    pub(super) fn ejected_until(&self) -> Option<Instant> {
        match self.state {
            State::Open { until, .. } => Some(until),
            State::Closed { .. } | State::HalfOpen { .. } => None,
        }
    }

    /// Returns what the admin page shows.
    pub(super) fn state(&self) -> BreakerState {
        match self.state {
            State::Closed { failures, .. } => BreakerState::Closed { failures },
            State::Open { until, .. } => BreakerState::Open { until },
            State::HalfOpen { trial, .. } => BreakerState::HalfOpen {
                trying: trial.is_some(),
            },
        }
    }
}

fn double(lasting: Duration, settings: &Ejection) -> Duration {
    lasting
        .saturating_mul(2)
        .max(settings.ejected_for)
        .min(settings.ejected_max)
}
