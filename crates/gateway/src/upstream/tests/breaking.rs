//! One breaker, state by state.

use super::*;
use crate::upstream::breaker::{Breaker, Trial};

const SETTINGS: Ejection = Ejection {
    enabled: true,
    failures: 3,
    ejected_for: Duration::from_secs(1),
    ejected_max: Duration::from_secs(5),
    percent_max: 50,
};

/// A breaker under test, and its time in milliseconds.
struct Machine {
    breaker: Breaker,
    start: Instant,
}

impl Machine {
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
        let mut machine = Self::new();
        assert!(!machine.fail(ms, None));
        assert!(!machine.fail(ms, None));
        assert!(machine.fail(ms, None));
        machine
    }
}

#[test]
fn failures_in_a_row_eject_and_a_success_between_begins_a_new_row() {
    let mut machine = Machine::new();
    for outcome in [false, false, true, false, false] {
        if outcome {
            machine.breaker.succeeded(machine.at(0), None);
        } else {
            assert!(!machine.fail(0, None));
        }
    }
    assert!(machine.fail(0, None));
    assert!(machine.breaker.is_ejected());
}

#[test]
fn an_ejection_ends_with_one_trial_at_a_time() {
    let mut machine = Machine::ejected(0);
    assert!(!machine.breaker.admits(machine.at(999)));
    let first = machine.trial(1_000);
    assert!(first.is_some());
    assert!(!machine.breaker.admits(machine.at(1_000)));
    assert!(machine.breaker.give_up(first));
    let second = machine.trial(1_000);
    assert!(!machine.fail(1_001, first), "the old trial is over");
    assert!(!machine.breaker.give_up(first));
    assert!(!machine.breaker.succeeded(machine.at(1_002), first).1);
    assert!(!machine.breaker.admits(machine.at(1_002)));
    assert!(machine.breaker.succeeded(machine.at(1_003), second).1);
    assert_eq!(
        machine.breaker.state(),
        BreakerState::Closed { failures: 0 }
    );
}

#[test]
fn ejections_double_up_to_the_longest() {
    let mut machine = Machine::ejected(0);
    let mut now = 0;
    for lasting in [1_000, 2_000, 4_000, 5_000, 5_000] {
        assert!(!machine.breaker.admits(machine.at(now + lasting - 1)));
        now += lasting;
        let trial = machine.trial(now);
        assert!(machine.fail(now, trial));
    }
}

#[test]
fn who_was_back_as_long_as_it_was_away_begins_with_a_short_ejection_again() {
    for (back_for, lasting) in [(999, 2_000), (1_000, 1_000)] {
        let mut machine = Machine::ejected(0);
        let trial = machine.trial(1_000);
        machine.breaker.succeeded(machine.at(1_000), trial);
        let again = 1_000 + back_for;
        machine.fail(again, None);
        machine.fail(again, None);
        assert!(machine.fail(again, None));
        assert_eq!(
            machine.breaker.ejected_until(),
            Some(machine.at(again + lasting)),
            "back for {back_for} ms"
        );
    }
}

#[test]
fn outcomes_of_openings_from_before_the_ejection_change_nothing() {
    let mut machine = Machine::ejected(0);
    let until = machine.breaker.ejected_until();
    assert!(!machine.fail(500, None));
    machine.breaker.succeeded(machine.at(600), None);
    assert_eq!(machine.breaker.ejected_until(), until);
    let trial = machine.trial(1_000);
    machine.breaker.succeeded(machine.at(1_001), None);
    assert!(!machine.fail(1_002, None));
    assert_eq!(
        machine.breaker.state(),
        BreakerState::HalfOpen { trying: true }
    );
    assert!(machine.breaker.succeeded(machine.at(1_003), trial).1);
}

#[test]
fn connections_lost_early_go_on_counting_behind_the_openings_that_succeeded() {
    let mut machine = Machine::new();
    for round in 1..=3 {
        let (row, _) = machine.breaker.succeeded(machine.at(round), None);
        let ejected = machine
            .breaker
            .lost_early(machine.at(round), row, &SETTINGS, true);
        assert_eq!(ejected, round == 3, "round {round}");
    }
}

#[test]
fn a_connection_that_lasts_ends_the_row_of_early_losses() {
    let mut machine = Machine::new();
    let (row, _) = machine.breaker.succeeded(machine.at(0), None);
    machine
        .breaker
        .lost_early(machine.at(0), row, &SETTINGS, true);
    let (row, _) = machine.breaker.succeeded(machine.at(1), None);
    machine
        .breaker
        .lost_early(machine.at(1), row, &SETTINGS, true);
    machine.breaker.succeeded(machine.at(2), None); // and is not lost
    let (row, _) = machine.breaker.succeeded(machine.at(3), None);
    assert!(
        !machine
            .breaker
            .lost_early(machine.at(3), row, &SETTINGS, true)
    );
}

#[test]
fn a_trial_whose_connection_is_lost_early_ejects_again_for_longer() {
    let mut machine = Machine::ejected(0);
    let trial = machine.trial(1_000);
    let (row, closed) = machine.breaker.succeeded(machine.at(1_000), trial);
    assert!(closed);
    let now = machine.at(1_001);
    assert!(machine.breaker.lost_early(now, row, &SETTINGS, true));
    assert_eq!(machine.breaker.ejected_until(), Some(machine.at(3_001)));
}

#[test]
fn without_leave_to_eject_failures_are_counted_until_there_is_leave() {
    let mut machine = Machine::new();
    for _ in 0..5 {
        let now = machine.at(0);
        assert!(!machine.breaker.failed(now, None, &SETTINGS, false));
    }
    assert_eq!(
        machine.breaker.state(),
        BreakerState::Closed { failures: 5 }
    );
    assert!(machine.fail(1, None));
}

#[test]
fn news_of_a_recovery_let_a_trial_through_at_once() {
    let mut machine = Machine::ejected(0);
    assert!(machine.breaker.end_ejection());
    assert!(!machine.breaker.end_ejection());
    let trial = machine.trial(1);
    assert!(!machine.breaker.admits(machine.at(1)));
    assert!(machine.fail(2, trial));
    assert_eq!(machine.breaker.ejected_until(), Some(machine.at(2_002)));
}
