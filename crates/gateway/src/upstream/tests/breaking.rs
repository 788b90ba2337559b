//! One breaker, state by state.

use super::*;
use crate::upstream::breaker::{Breaker, Change, Leave, Trial};

const SETTINGS: Ejection = Ejection {
    enabled: true,
    failures: 3,
    ejected_for: Duration::from_secs(1),
    ejected_max: Duration::from_secs(5),
    percent_max: 50,
};

/// Neither number nor loneliness forbids it.
const LEAVE: Leave = Leave {
    may_eject: true,
    has_sibling: true,
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
        self.fault(ms, trial, Fault::Unreachable) == Change::Ejected
    }

    fn fault(&mut self, ms: u64, trial: Option<Trial>, fault: Fault) -> Change {
        let now = self.at(ms);
        self.breaker.failed(now, trial, fault, &SETTINGS, LEAVE)
    }

    /// Asks, and hears this.
    fn ask(&mut self, ms: u64, evidence: Evidence, leave: Leave) -> Change {
        let now = self.at(ms);
        let probe = self.breaker.begin_probe(now).expect("it is due");
        self.breaker.probed(now, probe, evidence, &SETTINGS, leave)
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
            let _row = machine.breaker.succeeded(machine.at(0), None);
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
    assert_eq!(machine.breaker.give_up(first), Change::TrialFree);
    let second = machine.trial(1_000);
    assert!(!machine.fail(1_001, first), "the old trial is over");
    assert_eq!(machine.breaker.give_up(first), Change::Nothing);
    assert_eq!(
        machine.breaker.succeeded(machine.at(1_002), first).1,
        Change::Nothing
    );
    assert!(!machine.breaker.admits(machine.at(1_002)));
    assert_eq!(
        machine.breaker.succeeded(machine.at(1_003), second).1,
        Change::Closed
    );
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
        let _row = machine.breaker.succeeded(machine.at(1_000), trial);
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
    let _row = machine.breaker.succeeded(machine.at(600), None);
    assert_eq!(machine.breaker.ejected_until(), until);
    let trial = machine.trial(1_000);
    let _row = machine.breaker.succeeded(machine.at(1_001), None);
    assert!(!machine.fail(1_002, None));
    assert_eq!(
        machine.breaker.state(),
        BreakerState::HalfOpen { trying: true }
    );
    assert_eq!(
        machine.breaker.succeeded(machine.at(1_003), trial).1,
        Change::Closed
    );
}

#[test]
fn connections_lost_early_go_on_counting_behind_the_openings_that_succeeded() {
    let mut machine = Machine::new();
    for round in 1..=3 {
        let now = machine.at(round);
        let (row, _) = machine.breaker.succeeded(now, None);
        let change = machine.breaker.lost_early(now, row, &SETTINGS, LEAVE);
        let suspected = change == Change::Suspected;
        assert_eq!(suspected, round == 3, "round {round}: {change:?}");
    }
}

#[test]
fn a_connection_that_lasts_ends_the_row_of_early_losses() {
    let mut machine = Machine::new();
    for (ms, is_lost) in [(0, true), (1, true), (2, false), (3, true)] {
        let now = machine.at(ms);
        let (row, _) = machine.breaker.succeeded(now, None);
        if is_lost {
            let change = machine.breaker.lost_early(now, row, &SETTINGS, LEAVE);
            assert_eq!(change, Change::Nothing, "{ms}");
        }
    }
}

#[test]
fn a_trial_whose_connection_is_lost_early_is_asked_about_and_ejected_for_longer() {
    let mut machine = Machine::ejected(0);
    let trial = machine.trial(1_000);
    let (row, change) = machine.breaker.succeeded(machine.at(1_000), trial);
    assert_eq!(change, Change::Closed);
    let now = machine.at(1_001);
    let change = machine.breaker.lost_early(now, row, &SETTINGS, LEAVE);
    assert_eq!(change, Change::Suspected);
    assert!(machine.breaker.admits(now));
    let silent = Evidence::Fault(Fault::Unanswered);
    assert_eq!(machine.ask(1_002, silent, LEAVE), Change::Ejected);
    assert_eq!(machine.breaker.ejected_until(), Some(machine.at(3_002)));
}

/// A breaker that doubts have made suspect its upstream.
fn suspecting() -> Machine {
    let mut machine = Machine::new();
    for fault in [Fault::Unanswered, Fault::Unreachable] {
        assert_eq!(machine.fault(0, None, fault), Change::Nothing);
    }
    let change = machine.fault(0, None, Fault::Unanswered);
    assert_eq!(change, Change::Suspected);
    machine
}

#[test]
fn doubts_eject_nobody_by_themselves_and_the_gateway_asks_once() {
    let mut machine = suspecting();
    for ms in 0..100 {
        let change = machine.fault(ms, None, Fault::Unanswered);
        assert_eq!(change, Change::Nothing);
        assert!(machine.breaker.admits(machine.at(ms)) && !machine.breaker.is_ejected());
    }
    let probe = machine.breaker.begin_probe(machine.at(100));
    assert!(probe.is_some());
    assert_eq!(machine.breaker.begin_probe(machine.at(200)), None);
}

#[test]
fn what_the_gateway_hears_when_it_asks_decides_about_the_doubt() {
    let alone = Leave {
        has_sibling: false,
        ..LEAVE
    };
    let enough = Leave {
        may_eject: false,
        ..LEAVE
    };
    let silent = Evidence::Fault(Fault::Unanswered);
    let unreachable = Evidence::Fault(Fault::Unreachable);
    for (evidence, leave, ejected) in [
        (Evidence::Answered, LEAVE, false),
        (Evidence::Nothing, LEAVE, false),
        (silent, LEAVE, true),
        (silent, alone, false),
        (silent, enough, false),
        (unreachable, LEAVE, true),
        (unreachable, alone, true),
        (unreachable, enough, false),
    ] {
        let mut machine = suspecting();
        let change = machine.ask(1, evidence, leave);
        assert_eq!(change == Change::Ejected, ejected, "{evidence:?} {leave:?}");
        if !ejected {
            let cleared = BreakerState::Closed { failures: 0 };
            assert_eq!(machine.breaker.state(), cleared, "{evidence:?} {leave:?}");
        }
    }
}

#[test]
fn failures_eject_a_suspect_without_waiting_for_the_answer() {
    let mut machine = suspecting();
    let probe = machine.breaker.begin_probe(machine.at(1)).unwrap();
    assert!(!machine.fail(2, None));
    assert!(machine.fail(3, None));
    let until = machine.breaker.ejected_until();
    let late = machine
        .breaker
        .probed(machine.at(4), probe, Evidence::Answered, &SETTINGS, LEAVE);
    assert_eq!(late, Change::Nothing, "it was asked before it failed");
    assert_eq!(machine.breaker.ejected_until(), until);
}

#[test]
fn an_ejected_upstream_is_asked_when_a_trial_is_due_and_an_answer_brings_it_back() {
    let mut machine = Machine::ejected(0);
    assert_eq!(machine.breaker.probe_due(), Some(machine.at(1_000)));
    assert_eq!(machine.breaker.begin_probe(machine.at(999)), None);
    // A client holds up its trial.
    let trial = machine.trial(1_000);
    assert!(!machine.breaker.admits(machine.at(1_000)));
    assert_eq!(
        machine.ask(1_001, Evidence::Answered, LEAVE),
        Change::Closed
    );
    assert!(machine.breaker.admits(machine.at(1_001)));
    // And spoils it.
    let change = machine.fault(1_002, trial, Fault::Unanswered);
    assert_eq!(change, Change::Nothing);
}

#[test]
fn a_trial_without_answer_leaves_its_place_to_the_next_and_lengthens_nothing() {
    let mut machine = Machine::ejected(0);
    for ms in 1_000..1_010 {
        let trial = machine.trial(ms);
        let change = machine.fault(ms, trial, Fault::Unanswered);
        assert_eq!(change, Change::TrialFree);
    }
    assert_eq!(machine.breaker.probe_due(), Some(machine.at(1_000)));
}

#[test]
fn a_probe_that_fails_for_sure_ejects_for_longer_and_one_in_doubt_leaves_the_trial() {
    let mut machine = Machine::ejected(0);
    let silent = Evidence::Fault(Fault::Unanswered);
    assert_eq!(machine.ask(1_000, silent, LEAVE), Change::Nothing);
    assert!(machine.breaker.admits(machine.at(1_000)));
    assert_eq!(machine.breaker.probe_due(), Some(machine.at(2_000)));
    let unreachable = Evidence::Fault(Fault::Unreachable);
    assert_eq!(machine.ask(2_000, unreachable, LEAVE), Change::Ejected);
    assert_eq!(machine.breaker.ejected_until(), Some(machine.at(4_000)));
}

#[test]
fn without_leave_to_eject_failures_are_counted_until_there_is_leave() {
    let mut machine = Machine::new();
    for _ in 0..5 {
        let now = machine.at(0);
        let enough = Leave {
            may_eject: false,
            ..LEAVE
        };
        let fault = Fault::Unreachable;
        let change = machine.breaker.failed(now, None, fault, &SETTINGS, enough);
        assert_eq!(change, Change::Nothing);
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
    let now = machine.at(0);
    assert_eq!(machine.breaker.end_ejection(now), Change::TrialFree);
    assert_eq!(machine.breaker.end_ejection(now), Change::Nothing);
    let trial = machine.trial(1);
    assert!(!machine.breaker.admits(machine.at(1)));
    assert!(machine.fail(2, trial));
    assert_eq!(machine.breaker.ejected_until(), Some(machine.at(2_002)));
}
