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

    /// Whether an opening may begin.
    pub(super) fn admits(&self, now: Instant) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { until, .. } => now >= until,
            State::HalfOpen { trial, .. } => trial.is_none(),
        }
    }

    /// Whether it counts as ejected: from the ejection until a trial succeeds.
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

    /// What the admin page shows.
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

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Ejection = Ejection {
        failures: 3,
        ejected_for: Duration::from_secs(1),
        ejected_max: Duration::from_secs(5),
        percent_max: 50,
    };

    /// A breaker under test, and its time in milliseconds.
    struct Bench {
        breaker: Breaker,
        start: Instant,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                breaker: Breaker::default(),
                start: Instant::now(),
            }
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        fn fail(&mut self, ms: u64, trial: Option<Trial>) -> bool {
            self.breaker.failed(self.at(ms), trial, &SETTINGS, true)
        }

        fn trial(&mut self, ms: u64) -> Option<Trial> {
            assert!(self.breaker.admits(self.at(ms)), "at {ms} ms");
            self.breaker.enter()
        }

        fn ejected(ms: u64) -> Self {
            let mut bench = Self::new();
            assert!(!bench.fail(ms, None));
            assert!(!bench.fail(ms, None));
            assert!(bench.fail(ms, None));
            bench
        }
    }

    #[test]
    fn failures_in_a_row_eject_and_a_success_between_begins_a_new_row() {
        let mut bench = Bench::new();
        for outcome in [false, false, true, false, false] {
            if outcome {
                bench.breaker.succeeded(bench.at(0), None);
            } else {
                assert!(!bench.fail(0, None));
            }
        }
        assert!(bench.fail(0, None));
        assert!(bench.breaker.is_ejected());
    }

    #[test]
    fn an_ejection_ends_with_one_trial_at_a_time() {
        let mut bench = Bench::ejected(0);
        assert!(!bench.breaker.admits(bench.at(999)));
        let first = bench.trial(1_000);
        assert!(first.is_some());
        assert!(!bench.breaker.admits(bench.at(1_000)));
        assert!(bench.breaker.give_up(first));
        let second = bench.trial(1_000);
        assert!(!bench.fail(1_001, first), "the old trial is over");
        assert!(!bench.breaker.give_up(first));
        assert_eq!(bench.breaker.succeeded(bench.at(1_002), first).1, false);
        assert!(!bench.breaker.admits(bench.at(1_002)));
        assert!(bench.breaker.succeeded(bench.at(1_003), second).1);
        assert_eq!(bench.breaker.state(), BreakerState::Closed { failures: 0 });
    }

    #[test]
    fn ejections_double_up_to_the_longest() {
        let mut bench = Bench::ejected(0);
        let mut now = 0;
        for lasting in [1_000, 2_000, 4_000, 5_000, 5_000] {
            assert!(!bench.breaker.admits(bench.at(now + lasting - 1)));
            now += lasting;
            let trial = bench.trial(now);
            assert!(bench.fail(now, trial));
        }
    }

    #[test]
    fn who_was_back_as_long_as_it_was_away_begins_with_a_short_ejection_again() {
        for (back_for, lasting) in [(999, 2_000), (1_000, 1_000)] {
            let mut bench = Bench::ejected(0);
            let trial = bench.trial(1_000);
            bench.breaker.succeeded(bench.at(1_000), trial);
            let again = 1_000 + back_for;
            bench.fail(again, None);
            bench.fail(again, None);
            assert!(bench.fail(again, None));
            assert_eq!(
                bench.breaker.ejected_until(),
                Some(bench.at(again + lasting)),
                "back for {back_for} ms"
            );
        }
    }

    #[test]
    fn outcomes_of_openings_from_before_the_ejection_change_nothing() {
        let mut bench = Bench::ejected(0);
        let until = bench.breaker.ejected_until();
        assert!(!bench.fail(500, None));
        bench.breaker.succeeded(bench.at(600), None);
        assert_eq!(bench.breaker.ejected_until(), until);
        let trial = bench.trial(1_000);
        bench.breaker.succeeded(bench.at(1_001), None);
        assert!(!bench.fail(1_002, None));
        assert_eq!(
            bench.breaker.state(),
            BreakerState::HalfOpen { trying: true }
        );
        assert!(bench.breaker.succeeded(bench.at(1_003), trial).1);
    }

    #[test]
    fn connections_lost_early_go_on_counting_behind_the_openings_that_succeeded() {
        let mut bench = Bench::new();
        for round in 1..=3 {
            let (row, _) = bench.breaker.succeeded(bench.at(round), None);
            let ejected = bench
                .breaker
                .lost_early(bench.at(round), row, &SETTINGS, true);
            assert_eq!(ejected, round == 3, "round {round}");
        }
    }

    #[test]
    fn a_connection_that_lasts_ends_the_row_of_early_losses() {
        let mut bench = Bench::new();
        let (row, _) = bench.breaker.succeeded(bench.at(0), None);
        bench.breaker.lost_early(bench.at(0), row, &SETTINGS, true);
        let (row, _) = bench.breaker.succeeded(bench.at(1), None);
        bench.breaker.lost_early(bench.at(1), row, &SETTINGS, true);
        bench.breaker.succeeded(bench.at(2), None); // and is not lost
        let (row, _) = bench.breaker.succeeded(bench.at(3), None);
        assert!(!bench.breaker.lost_early(bench.at(3), row, &SETTINGS, true));
    }

    #[test]
    fn a_trial_whose_connection_is_lost_early_ejects_again_for_longer() {
        let mut bench = Bench::ejected(0);
        let trial = bench.trial(1_000);
        let (row, closed) = bench.breaker.succeeded(bench.at(1_000), trial);
        assert!(closed);
        let now = bench.at(1_001);
        assert!(bench.breaker.lost_early(now, row, &SETTINGS, true));
        assert_eq!(bench.breaker.ejected_until(), Some(bench.at(3_001)));
    }

    #[test]
    fn without_leave_to_eject_failures_are_counted_until_there_is_leave() {
        let mut bench = Bench::new();
        for _ in 0..5 {
            let now = bench.at(0);
            assert!(!bench.breaker.failed(now, None, &SETTINGS, false));
        }
        assert_eq!(bench.breaker.state(), BreakerState::Closed { failures: 5 });
        assert!(bench.fail(1, None));
    }

    #[test]
    fn news_of_a_recovery_let_a_trial_through_at_once() {
        let mut bench = Bench::ejected(0);
        assert!(bench.breaker.end_ejection());
        assert!(!bench.breaker.end_ejection());
        let trial = bench.trial(1);
        assert!(!bench.breaker.admits(bench.at(1)));
        assert!(bench.fail(2, trial));
        assert_eq!(bench.breaker.ejected_until(), Some(bench.at(2_002)));
    }
}
