//! What the embedded store makes of wall clocks that are wrong, and of time it was off.

use std::{sync::Arc, time::Duration};

use tempfile::TempDir;
use tidewire_engine::{Mailbox, SqliteMailbox, embedded::Config};

use crate::{clock::TestClock, sqlite::fresh};
use tidewire_engine::contract::blocking::{append, listed, message, pending, read, submit};

const HOUR: u64 = 60 * 60 * 1000;
const DAY: u64 = 24 * HOUR;
const YEAR: u64 = 365 * DAY;

/// A store with messages of 1, 7 and 30 days, stopped.
struct Desk {
    _dir: TempDir,
    config: Config,
    clock: Arc<TestClock>,
    store: Option<Arc<SqliteMailbox>>,
}

impl Desk {
    fn new() -> Self {
        let (dir, config) = fresh();
        let mut desk = Self {
            _dir: dir,
            config,
            clock: Arc::new(TestClock::new()),
            store: None,
        };
        desk.start();
        for (payload, days) in [("day", 1), ("week", 7), ("month", 30)] {
            desk.append(payload, days * DAY);
        }
        desk.stop();
        desk
    }

    fn start(&mut self) {
        let clock = Arc::clone(&self.clock);
        let store = SqliteMailbox::open_with_clock(self.config.clone(), clock).expect("opens");
        self.store = Some(store);
    }

    fn stop(&mut self) {
        self.store().stop();
        self.store = None;
    }

    fn restart(&mut self) {
        self.stop();
        self.start();
    }

    fn store(&self) -> &SqliteMailbox {
        self.store.as_ref().expect("it runs")
    }

    fn append(&self, payload: &str, ttl_ms: u64) {
        let append = message(&["ann"], payload.as_bytes(), Some(ttl_ms));
        let result = submit(self.store(), append);
        result.recv().expect("completes").expect("stored");
    }

    fn check(&self, expected: &[&str]) {
        let messages = read(self.store(), "ann", 0).messages;
        let payloads: Vec<_> = messages.iter().map(|read| read.body.to_vec()).collect();
        let payloads: Vec<_> = payloads
            .iter()
            .map(|bytes| str::from_utf8(bytes).expect("text"))
            .collect();
        assert_eq!(payloads, expected);
    }

    fn gap(&self) -> u64 {
        self.store().stats().clock_gap_ms
    }

    /// Runs for so long, a restart and a commit every hour.
    fn run_with_restarts(&mut self, hours: u64) {
        for _ in 0..hours {
            self.clock.advance(HOUR);
            self.restart();
        }
    }
}

#[test]
fn one_start_with_a_clock_ahead_expires_nothing() {
    for ahead in [2 * DAY, 10 * YEAR] {
        let mut desk = Desk::new();
        desk.clock.set_wall(|wall| wall + ahead);
        desk.start();
        desk.check(&["day", "week", "month"]);
        assert_eq!(desk.gap(), ahead);
        desk.clock.advance(HOUR);
        desk.check(&["day", "week", "month"]);
        desk.stop();
        desk.clock.set_wall(|wall| wall - ahead);
        desk.start();
        desk.check(&["day", "week", "month"]);
        assert_eq!(desk.gap(), 0, "taken back");
        desk.clock.advance(23 * HOUR);
        desk.check(&["week", "month"]);
        assert_eq!(desk.store().stats().expired, 1, "in its time");
    }
}

#[test]
fn a_clock_set_right_while_the_store_runs_takes_the_gap_back() {
    let mut desk = Desk::new();
    desk.clock.set_wall(|wall| wall + 20 * DAY);
    desk.start();
    desk.clock.advance(HOUR);
    desk.clock.set_wall(|wall| wall - 20 * DAY);
    append(desk.store(), "bob", b"a commit");
    assert_eq!(desk.gap(), 0);
    desk.clock.advance(22 * HOUR);
    desk.check(&["day", "week", "month"]);
    desk.clock.advance(3 * DAY);
    desk.check(&["week", "month"]);
}

#[test]
fn a_clock_set_right_just_before_the_gap_is_confirmed_expires_nothing() {
    let mut desk = Desk::new();
    desk.config.clock_confirm_after = Duration::from_millis(2 * HOUR);
    desk.clock.set_wall(|wall| wall + 20 * DAY);
    desk.start();
    desk.clock.advance(2 * HOUR - 1);
    desk.clock.set_wall(|wall| wall - 20 * DAY);
    desk.clock.advance(1);
    desk.check(&["day", "week", "month"]);
    assert_eq!(desk.store().stats().expired, 0);
}

#[test]
fn what_was_off_for_three_days_expires_when_running_time_has_confirmed_it() {
    let mut desk = Desk::new();
    desk.config.clock_confirm_after = Duration::from_millis(6 * HOUR);
    desk.clock.advance(3 * DAY);
    desk.start();
    desk.check(&["day", "week", "month"]);
    desk.append("new", DAY);
    desk.clock.advance(6 * HOUR - 1);
    desk.check(&["day", "week", "month", "new"]);
    desk.clock.advance(1);
    desk.check(&["week", "month", "new"]);
    assert_eq!((desk.store().stats().expired, desk.gap()), (1, 0));
    // What came during the wait has its whole time.
    desk.clock.advance(DAY - 6 * HOUR - 1);
    desk.check(&["week", "month", "new"]);
    desk.clock.advance(1);
    desk.check(&["week", "month"]);
    desk.restart();
    desk.check(&["week", "month"]);
}

#[test]
fn restarts_neither_confirm_a_gap_sooner_nor_forget_it() {
    let mut desk = Desk::new();
    desk.config.clock_confirm_after = Duration::from_millis(6 * HOUR);
    desk.clock.advance(3 * DAY);
    desk.start();
    desk.append("new", DAY);
    for _ in 0..5 {
        desk.clock.advance(HOUR);
        // Off for less than an hour: that counts at once, but confirms nothing.
        desk.stop();
        desk.clock.advance(HOUR / 2);
        desk.start();
        desk.check(&["day", "week", "month", "new"]);
        assert_eq!(desk.gap(), 3 * DAY);
    }
    desk.clock.advance(HOUR);
    desk.check(&["week", "month", "new"]);
}

#[test]
fn a_second_gap_begins_the_wait_again_and_spares_what_came_in_between() {
    let mut desk = Desk::new();
    desk.config.clock_confirm_after = Duration::from_millis(6 * HOUR);
    desk.clock.advance(3 * DAY);
    desk.start();
    desk.append("between", 2 * DAY);
    desk.clock.advance(5 * HOUR);
    desk.stop();
    desk.clock.advance(5 * DAY);
    desk.start();
    assert_eq!(desk.gap(), 8 * DAY);
    desk.clock.advance(5 * HOUR);
    desk.check(&["day", "week", "month", "between"]);
    desk.clock.advance(HOUR);
    desk.check(&["month", "between"]);
}

#[test]
fn a_clock_behind_expires_nothing_early_and_revives_nothing() {
    for behind in [2 * DAY, 10 * YEAR] {
        let mut desk = Desk::new();
        desk.clock.set_wall(|wall| wall - behind);
        desk.start();
        desk.check(&["day", "week", "month"]);
        desk.clock.advance(DAY);
        desk.check(&["week", "month"]);
        desk.stop();
        desk.clock.set_wall(|wall| wall + behind);
        desk.start();
        desk.check(&["week", "month"]);
        assert_eq!(desk.gap(), 0, "the store knew better all the time");
    }
}

#[test]
fn a_clock_that_steps_while_the_store_runs_is_no_gap_at_the_next_start() {
    let mut desk = Desk::new();
    desk.config.clock_confirm_after = Duration::from_millis(HOUR);
    desk.start();
    desk.clock.set_wall(|wall| wall + 3 * DAY);
    desk.run_with_restarts(20);
    assert_eq!(desk.gap(), 0);
    desk.check(&["day", "week", "month"]);
    desk.clock.set_wall(|wall| wall - 3 * DAY);
    desk.run_with_restarts(3);
    desk.clock.set_wall(|wall| wall + 3 * DAY);
    desk.restart();
    assert_eq!(desk.gap(), 0);
    desk.check(&["day", "week", "month"]);
    desk.clock.advance(HOUR);
    desk.check(&["week", "month"]);
}

#[test]
fn an_hour_off_counts_at_once_and_a_bit_more_does_not() {
    for (off, expected) in [(HOUR, &["long"][..]), (HOUR + 1, &["short", "long"])] {
        let mut desk = Desk::new();
        desk.start();
        desk.clock.advance(40 * DAY);
        desk.append("short", HOUR);
        desk.append("long", DAY);
        desk.stop();
        desk.clock.advance(off);
        desk.start();
        desk.check(expected);
    }
}

#[test]
fn a_new_store_takes_the_clock_as_it_is() {
    let (_dir, config) = fresh();
    let clock = Arc::new(TestClock::new());
    clock.set_wall(|_| 0);
    let open = || SqliteMailbox::open_with_clock(config.clone(), clock.clone()).expect("opens");
    let store = open();
    append(&*store, "ann", b"before there was a clock");
    store.stop();
    clock.set_wall(|_| 1_800_000_000_000);
    let store = open();
    let expected = listed(&[(1, "before there was a clock")]);
    assert_eq!(pending(&*store, "ann"), expected);
}
