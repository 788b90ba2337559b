//! [`Breaker`]: passive ejection of one upstream, learnt from what becomes of connections to it.
//!
//! # What counts
//!
//! A client chooses what it sends, and so it can make any server refuse, close or give up; who caused an end therefore
//! decides what it says about the upstream ([why](../../../../docs/design/0013-what-counts-against-an-upstream.md)):
//!
//! | What became of a connection | Caused by | It counts as |
//! |---|---|---|
//! | 101, any other HTTP status, a close frame | somebody who lives | an answer: the row of failures is over |
//! | no TCP or TLS connection, before anything of the client's was sent | the upstream | a **failure** |
//! | no answer to the request, or none that is HTTP; 101, and broken within a second | the upstream or the client | a **doubt** |
//! | the client went away, closed, or broke a limit; no descriptor is left here | the client, or the gateway | nothing |
//!
//! Failures eject. Doubts alone never do: enough failures and doubts in a row make the breaker *suspect* the upstream.
//! Clients still get it while the gateway asks for itself, with a request that no client has any part in, and the outcome
//! of this **probe** decides. Upstreams that are ejected are probed, too, when a trial is due, so that a client that spoils
//! its trial, or holds it up, keeps nobody from an upstream that answers.
//!
//! ```text
//!                   failures in a row
//!   Closed ──────────────────────────────────────▶ Open ◀──────────────┐
//!    ▲  │                                          ▲  │ it is over, or  │ trial or probe failed:
//!    │  │ failures and doubts in a row             │  │ told to be back │ twice as long
//!    │  ▼                                          │  ▼                 │
//!    │ Suspected ── the probe was not answered ────┘ HalfOpen ───────────┘
//!    │  │                                             │
//!    └──┴── the probe was answered ── or the trial ───┘
//! ```
//!
//! In: outcomes, with the time. Out: whether an opening may be tried, and when to probe. Invariants: while not closed
//! or suspected, at most one opening, the trial, is under way, and what older openings report meanwhile is ignored; at
//! most one probe is under way, and outcomes of older ones are ignored; whatever clients do, an upstream
//! that answers probes is not ejected without a failure, and is back with the first probe after one.

use std::time::{Duration, Instant};

use super::fault::{Evidence, Fault};
use crate::settings::Ejection;

/// What is known from openings.
#[derive(Clone, Debug)]
pub(super) struct Breaker {
    state: State,
    /// Trials so far: the outcome of an old one is told from the present one's.
    trials: u64,
    probe: Probing,
    /// Probes so far.
    probes: u64,
}

/// See the picture above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed {
        row: Row,
        /// The last ejection, if any.
        after: Option<Ended>,
    },
    Suspected {
        row: Row,
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

/// The gateway's own question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probing {
    No,
    Due(Instant),
    UnderWay(Probe),
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

/// A probe that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probe(u64);

/// The faults held against an upstream in a row. Before an opening that succeeded: it goes on counting when its
/// connection is lost early.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    /// Failures and doubts.
    faults: u32,
    /// Of these, failures.
    failures: u32,
}

/// The leave to eject an upstream, as its siblings stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leave {
    /// Not as many are ejected as may be.
    pub(super) may_eject: bool,
    /// Another one is usable.
    pub(super) has_sibling: bool,
}

/// The change that an outcome has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Change {
    Nothing,
    /// A probe is due.
    Suspected,
    Ejected,
    /// The ejection goes on, and the place of the trial is free.
    TrialFree,
    /// It is back.
    Closed,
}

/// The state without its inner workings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Openings go through.
    Closed {
        /// Failures and doubts in a row.
        failures: u32,
    },
    /// Openings go through, while the gateway asks whether the upstream answers.
    Suspected,
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
                row: Row::default(),
                after: None,
            },
            trials: 0,
            probe: Probing::No,
            probes: 0,
        }
    }
}

impl Breaker {
    /// An opening begins; call only if it [is admitted](Self::admits). Gives the trial, if it is
    /// one.
    pub(super) fn enter(&mut self) -> Option<Trial> {
        let lasting = match self.state {
            State::Closed { .. } | State::Suspected { .. } => return None,
            State::Open { lasting, .. } | State::HalfOpen { lasting, .. } => lasting,
        };
        self.trials += 1;
        let trial = Some(Trial(self.trials));
        self.state = State::HalfOpen { trial, lasting };
        trial
    }

    /// An opening succeeded. Gives what was held against it before, and whether this closed the breaker.
    pub(super) fn succeeded(&mut self, now: Instant, trial: Option<Trial>) -> (Row, Change) {
        match &mut self.state {
            State::Closed { row, .. } => (std::mem::take(row), Change::Nothing),
            State::HalfOpen {
                trial: present,
                lasting,
            } if trial.is_some() && *present == trial => {
                let lasting = *lasting;
                self.close(now, lasting);
                // It stays on probation until its connection has lasted.
                let row = Row {
                    faults: u32::MAX,
                    failures: 0,
                };
                (row, Change::Closed)
            }
            // The probe decides, not an opening: it may be lost at once.
            State::Suspected { .. } | State::Open { .. } | State::HalfOpen { .. } => {
                (Row::default(), Change::Nothing)
            }
        }
    }

    /// An opening failed. Without leave to eject, what is held against it is counted, and it stays in use.
    pub(super) fn failed(
        &mut self,
        now: Instant,
        trial: Option<Trial>,
        fault: Fault,
        settings: &Ejection,
        leave: Leave,
    ) -> Change {
        match &mut self.state {
            State::Closed { row, after } => {
                row.add(fault);
                let (row, after) = (*row, *after);
                if row.failures >= settings.failures {
                    if leave.may_eject {
                        return self.eject_after(now, after, settings);
                    }
                } else if row.faults >= settings.failures {
                    self.state = State::Suspected { row, after };
                    self.probe = Probing::Due(now);
                    return Change::Suspected;
                }
                Change::Nothing
            }
            State::Suspected { row, after } => {
                row.add(fault);
                let (row, after) = (*row, *after);
                if row.failures >= settings.failures && leave.may_eject {
                    return self.eject_after(now, after, settings);
                }
                Change::Nothing
            }
            State::HalfOpen {
                trial: present,
                lasting,
            } if trial.is_some() && *present == trial => match fault {
                Fault::Unreachable => {
                    let lasting = double(*lasting, settings);
                    self.eject(now, lasting)
                }
                Fault::Unanswered => {
                    *present = None;
                    Change::TrialFree
                }
            },
            State::Open { .. } | State::HalfOpen { .. } => Change::Nothing,
        }
    }

    /// A connection was lost early: a doubt, behind what was held against the upstream before it.
    pub(super) fn lost_early(
        &mut self,
        now: Instant,
        before: Row,
        settings: &Ejection,
        leave: Leave,
    ) -> Change {
        if let State::Closed { row, .. } = &mut self.state {
            row.faults = before.faults.max(row.faults);
            row.failures = before.failures.max(row.failures);
        }
        self.failed(now, None, Fault::Unanswered, settings, leave)
    }

    /// A trial ended without an outcome; another may begin. Gives whether it was the present one.
    pub(super) fn give_up(&mut self, trial: Option<Trial>) -> Change {
        match &mut self.state {
            State::HalfOpen { trial: present, .. } if trial.is_some() && *present == trial => {
                *present = None;
                Change::TrialFree
            }
            State::Closed { .. }
            | State::Suspected { .. }
            | State::Open { .. }
            | State::HalfOpen { .. } => Change::Nothing,
        }
    }

    /// Something else tells that the upstream is back: a trial may begin at once, and a probe is due. Gives whether
    /// this ended an ejection.
    pub(super) fn end_ejection(&mut self, now: Instant) -> Change {
        let State::Open { lasting, .. } = self.state else {
            return Change::Nothing;
        };
        self.state = State::HalfOpen {
            trial: None,
            lasting,
        };
        self.probe = Probing::Due(now);
        Change::TrialFree
    }

    /// When the next probe is due.
    pub(super) fn probe_due(&self) -> Option<Instant> {
        match self.probe {
            Probing::Due(at) => Some(at),
            Probing::No | Probing::UnderWay(_) => None,
        }
    }

    /// Begins a probe, if one is due.
    pub(super) fn begin_probe(&mut self, now: Instant) -> Option<Probe> {
        if self.probe_due().is_none_or(|at| now < at) {
            return None;
        }
        self.probes += 1;
        let probe = Probe(self.probes);
        self.probe = Probing::UnderWay(probe);
        if let State::Open { lasting, .. } = self.state {
            self.state = State::HalfOpen {
                trial: None,
                lasting,
            };
        }
        Some(probe)
    }

    /// A probe has ended.
    pub(super) fn probed(
        &mut self,
        now: Instant,
        probe: Probe,
        evidence: Evidence,
        settings: &Ejection,
        leave: Leave,
    ) -> Change {
        if self.probe != Probing::UnderWay(probe) {
            return Change::Nothing;
        }
        self.probe = Probing::No;
        match (self.state, evidence) {
            (State::Suspected { after, .. }, Evidence::Fault(fault)) => {
                // The last one that is left is ejected for what leaves no doubt: a server may answer nothing to
                // a stranger, and all to its clients.
                let is_sure = fault == Fault::Unreachable || leave.has_sibling;
                if is_sure && leave.may_eject {
                    return self.eject_after(now, after, settings);
                }
                self.acquit(after)
            }
            (State::Suspected { after, .. }, Evidence::Answered | Evidence::Nothing) => {
                self.acquit(after)
            }
            (State::HalfOpen { lasting, .. }, Evidence::Answered) => {
                self.close(now, lasting);
                Change::Closed
            }
            (State::HalfOpen { lasting, .. }, Evidence::Fault(Fault::Unreachable)) => {
                self.eject(now, double(lasting, settings))
            }
            // As it stands a trial may still show that it is back.
            (
                State::HalfOpen { lasting, .. },
                Evidence::Fault(Fault::Unanswered) | Evidence::Nothing,
            ) => {
                self.probe = Probing::Due(now + lasting);
                Change::Nothing
            }
            (State::Closed { .. } | State::Open { .. }, _) => Change::Nothing,
        }
    }

    /// Returns whether an opening may begin.
    pub(super) fn admits(&self, now: Instant) -> bool {
        match self.state {
            State::Closed { .. } | State::Suspected { .. } => true,
            State::Open { until, .. } => now >= until,
            State::HalfOpen { trial, .. } => trial.is_none(),
        }
    }

    /// Returns whether it counts as ejected: from the ejection until a trial or a probe succeeds.
    pub(super) fn is_ejected(&self) -> bool {
        matches!(self.state, State::Open { .. } | State::HalfOpen { .. })
    }

    /// When a trial may begin, if time is all it waits for.
    pub(super) fn ejected_until(&self) -> Option<Instant> {
        match self.state {
            State::Open { until, .. } => Some(until),
            State::Closed { .. } | State::Suspected { .. } | State::HalfOpen { .. } => None,
        }
    }

    /// Returns what the admin page shows.
    pub(super) fn state(&self) -> BreakerState {
        match self.state {
            State::Closed { row, .. } => BreakerState::Closed {
                failures: row.faults,
            },
            State::Suspected { .. } => BreakerState::Suspected,
            State::Open { until, .. } => BreakerState::Open { until },
            State::HalfOpen { trial, .. } => BreakerState::HalfOpen {
                trying: trial.is_some(),
            },
        }
    }

    fn eject_after(&mut self, now: Instant, after: Option<Ended>, settings: &Ejection) -> Change {
        let lasting = match after {
            // It has been back for less long than it was away: it has not recovered.
            Some(last) if now < last.at + last.lasting => double(last.lasting, settings),
            Some(_) | None => settings.ejected_for.min(settings.ejected_max),
        };
        self.eject(now, lasting)
    }

    fn eject(&mut self, now: Instant, lasting: Duration) -> Change {
        let until = now + lasting;
        self.state = State::Open { until, lasting };
        self.probe = Probing::Due(until);
        Change::Ejected
    }

    fn close(&mut self, now: Instant, lasting: Duration) {
        self.state = State::Closed {
            row: Row::default(),
            after: Some(Ended { lasting, at: now }),
        };
        self.probe = Probing::No;
    }

    /// Nothing is held against it any longer.
    fn acquit(&mut self, after: Option<Ended>) -> Change {
        self.state = State::Closed {
            row: Row::default(),
            after,
        };
        Change::Nothing
    }
}

impl Row {
    fn add(&mut self, fault: Fault) {
        self.faults = self.faults.saturating_add(1);
        if fault == Fault::Unreachable {
            self.failures = self.failures.saturating_add(1);
        }
    }
}

fn double(lasting: Duration, settings: &Ejection) -> Duration {
    lasting
        .saturating_mul(2)
        .max(settings.ejected_for)
        .min(settings.ejected_max)
}
