//! What the machine wants, step by step.

use super::{
    super::supervision::{Action, Phase},
    *,
};

/// The most jitter, so the shortest wait.
const MOST: u32 = u32::MAX;

const MS: Duration = Duration::from_millis(1);

impl Bench {
    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.machine.poll_action()).collect()
    }

    /// Lets time pass, and asserts that nothing is due before.
    fn pass(&mut self, duration: Duration) -> Vec<Action> {
        let due = self.now + duration;
        self.now = due.checked_sub(MS).unwrap();
        self.machine.handle_timeout(self.now);
        assert_eq!(self.actions(), [], "just before");
        self.now = due;
        self.machine.handle_timeout(self.now);
        self.actions()
    }

    /// It was asked to start, and does.
    fn starts(&mut self) {
        assert_eq!(self.actions(), [Action::Start]);
        self.machine.handle_started(self.now);
        assert_eq!(self.machine.phase(), Phase::Starting);
    }

    fn runs(&mut self) {
        self.starts();
        self.machine.handle_ready(self.now);
        assert_eq!(self.machine.phase(), Phase::Ready { since: self.now });
    }

    /// It ends, by itself or as asked. Gives what was wanted.
    fn ends(&mut self, random: u32) -> Vec<Action> {
        self.machine.handle_exited(self.now);
        let actions = self.actions();
        assert_eq!(self.machine.phase(), Phase::Ending);
        self.machine.handle_gone(self.now, random);
        actions
    }

    /// The wait that it is in.
    fn wait(&self) -> Duration {
        let Phase::Waiting { until: Some(until) } = self.machine.phase() else {
            panic!("{:?}", self.machine.phase());
        };
        until - self.now
    }

    /// Ends `count` times as soon as it is ready. Gives the waits.
    fn crashes(&mut self, count: usize, random: u32) -> Vec<Duration> {
        let crash = |_| {
            self.runs();
            self.ends(random);
            let wait = self.wait();
            self.now += wait;
            self.machine.handle_timeout(self.now);
            wait
        };
        (0..count).map(crash).collect()
    }
}

fn without_crash_loop() -> Bench {
    Bench::new(Process {
        crash_loop: 0,
        ..Process::new(["x"])
    })
}

#[test]
fn waits_double_from_100_ms_to_30_s() {
    let waits = without_crash_loop().crashes(12, 0);
    let expected = [
        100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000, 30_000,
    ];
    assert_eq!(waits, expected.map(Duration::from_millis));
}

#[test]
fn jitter_takes_up_to_half_of_a_wait() {
    let most = without_crash_loop().crashes(40, MOST);
    let none = without_crash_loop().crashes(40, 0);
    for (most, none) in most.into_iter().zip(none) {
        assert!(most >= none / 2 && most < none / 2 + none / 100, "{most:?}");
    }
}

#[test]
fn a_time_of_being_ready_lets_the_waits_begin_anew() {
    for (ready_for, expected) in [(9_999, 1600 * MS), (10_000, 100 * MS)] {
        let mut bench = without_crash_loop();
        bench.crashes(4, 0);
        bench.runs();
        bench.now += ready_for * MS;
        assert_eq!(bench.ends(0), [Action::Terminate]);
        assert_eq!(bench.wait(), expected, "after {ready_for} ms");
    }
}

#[test]
fn being_alive_without_being_ready_is_no_success() {
    let mut bench = Bench::new(Process {
        ready_timeout: Duration::from_hours(1),
        ..Process::new(["x"])
    });
    bench.crashes(3, 0);
    bench.starts();
    bench.now += Duration::from_mins(10);
    bench.ends(0);
    assert_eq!(bench.wait(), 800 * MS);
}

#[test]
fn five_ends_within_a_minute_are_reported_once_and_wait_the_longest() {
    let mut bench = Bench::new(Process::new(["x"]));
    bench.crashes(4, 0);
    assert!(!bench.machine.in_crash_loop());
    bench.runs();
    assert_eq!(
        bench.ends(MOST),
        [Action::ReportCrashLoop, Action::Terminate]
    );
    assert!(bench.machine.in_crash_loop());
    for _ in 0..20 {
        assert_eq!(bench.wait(), Duration::from_secs(30));
        assert_eq!(bench.pass(Duration::from_secs(30)), [Action::Start]);
        bench.machine.handle_started(bench.now);
        assert_eq!(bench.ends(MOST), [Action::Terminate], "reported again");
    }
}

#[test]
fn ends_that_are_further_apart_are_no_crash_loop() {
    for (ready_for, is_loop) in [(14_900, true), (14_901, false)] {
        let mut bench = Bench::new(Process::new(["x"]));
        for _ in 0..20 {
            bench.runs();
            bench.now += ready_for * MS; // and 100 ms of wait: four times that are a minute
            bench.ends(0);
            bench.now += bench.wait();
            bench.machine.handle_timeout(bench.now);
        }
        assert_eq!(bench.machine.in_crash_loop(), is_loop, "{ready_for} ms");
    }
}

#[test]
fn a_crash_loop_is_over_after_a_window_without_ends() {
    let mut bench = Bench::new(Process::new(["x"]));
    bench.crashes(5, 0);
    bench.runs();
    assert_eq!(
        bench.pass(Duration::from_mins(1)),
        [Action::ReportRecovered]
    );
    assert!(!bench.machine.in_crash_loop());
    assert_eq!(bench.machine.poll_timeout(), None);
    bench.ends(0);
    assert_eq!(bench.wait(), 100 * MS);
    bench.pass(100 * MS);
}

#[test]
fn an_end_just_before_the_crash_loop_is_over_keeps_it() {
    let mut bench = Bench::new(Process::new(["x"]));
    bench.crashes(5, 0);
    bench.runs();
    bench.now += Duration::from_millis(59_999);
    assert_eq!(bench.ends(0), [Action::Terminate]);
    assert_eq!(bench.wait(), Duration::from_secs(30));
}

#[test]
fn what_cannot_be_started_counts_as_an_end() {
    let mut bench = Bench::new(Process::new(["x"]));
    for wait in [100, 200, 400, 800] {
        assert_eq!(bench.actions(), [Action::Start]);
        bench.machine.handle_start_failed(bench.now, 0);
        assert_eq!(bench.wait(), wait * MS);
        bench.now += bench.wait();
        bench.machine.handle_timeout(bench.now);
    }
    assert_eq!(bench.actions(), [Action::Start]);
    bench.machine.handle_start_failed(bench.now, 0);
    assert_eq!(bench.actions(), [Action::ReportCrashLoop]);
    assert_eq!(bench.wait(), Duration::from_secs(30));
}

#[test]
fn what_is_not_ready_in_time_is_ended_and_started_again() {
    let mut bench = Bench::new(Process::new(["x"]));
    bench.starts();
    let wanted = [Action::ReportNotReady, Action::Terminate];
    assert_eq!(bench.pass(Duration::from_secs(30)), wanted);
    bench.machine.handle_ready(bench.now); // too late
    assert_eq!(bench.machine.phase(), Phase::Ending);
    assert_eq!(bench.ends(0), []);
    assert_eq!(bench.wait(), 100 * MS);
    assert_eq!(bench.pass(100 * MS), [Action::Start]);
}

#[test]
fn what_does_not_end_is_killed_and_then_its_output_given_up() {
    let mut bench = Bench::new(Process::new(["x"]));
    bench.runs();
    bench.machine.stop(bench.now);
    assert_eq!(bench.actions(), [Action::Terminate]);
    assert_eq!(bench.pass(Duration::from_secs(10)), [Action::Kill]);
    assert_eq!(bench.pass(Duration::from_secs(1)), [Action::Abandon]);
    assert_eq!(bench.machine.poll_timeout(), None);
    assert_eq!(bench.ends(0), []);
    assert_eq!(bench.machine.phase(), Phase::Stopped);
}

#[test]
fn what_is_left_of_a_crashed_process_is_ended_before_the_next_start() {
    let mut bench = Bench::new(Process::new(["x"]));
    bench.runs();
    bench.machine.handle_exited(bench.now);
    assert_eq!(bench.actions(), [Action::Terminate]);
    assert_eq!(bench.pass(Duration::from_secs(10)), [Action::Kill]);
    assert_eq!(bench.machine.phase(), Phase::Ending);
    bench.machine.handle_gone(bench.now, 0);
    assert_eq!(bench.pass(100 * MS), [Action::Start]);
}

#[test]
fn an_asked_restart_is_graceful_without_wait_and_no_failure() {
    let mut bench = Bench::new(Process::new(["x"]));
    for _ in 0..10 {
        bench.runs();
        bench.machine.restart(bench.now);
        assert_eq!(bench.actions(), [Action::Terminate]);
        assert_eq!(bench.ends(0), []);
    }
    bench.crashes(4, 0);
    assert!(!bench.machine.in_crash_loop());
}

#[test]
fn an_asked_restart_ends_a_wait_and_forgets_the_crash_loop() {
    let mut bench = Bench::new(Process::new(["x"]));
    bench.crashes(4, 0);
    bench.runs();
    bench.ends(0);
    assert!(bench.machine.in_crash_loop());
    bench.machine.restart(bench.now);
    assert!(!bench.machine.in_crash_loop());
    bench.runs();
    bench.ends(0);
    assert_eq!(bench.wait(), 100 * MS);
}

#[test]
fn a_restart_asked_for_while_it_ends_spares_the_wait() {
    let mut bench = Bench::new(Process::new(["x"]));
    bench.runs();
    bench.machine.handle_exited(bench.now);
    assert_eq!(bench.actions(), [Action::Terminate]);
    bench.machine.restart(bench.now);
    bench.machine.handle_gone(bench.now, 0);
    bench.starts();
}

#[test]
fn a_stop_wins_over_everything_from_everywhere() {
    type Way = fn(&mut Bench);
    let ways: [(&str, Way, &[Action]); 5] = [
        ("running", Bench::runs, &[Action::Terminate]),
        ("not ready", Bench::starts, &[Action::Terminate]),
        (
            "restarting",
            |bench| {
                bench.runs();
                bench.machine.restart(bench.now);
            },
            &[Action::Terminate],
        ),
        (
            "ended",
            |bench| {
                bench.runs();
                bench.machine.handle_exited(bench.now);
            },
            &[Action::Terminate],
        ),
        (
            "waiting",
            |bench| {
                bench.runs();
                bench.ends(0);
            },
            &[],
        ),
    ];
    for (name, way, actions) in ways {
        let mut bench = Bench::new(Process::new(["x"]));
        way(&mut bench);
        bench.machine.stop(bench.now);
        assert_eq!(bench.actions(), actions, "{name}");
        bench.machine.restart(bench.now);
        bench.machine.handle_exited(bench.now);
        bench.machine.handle_gone(bench.now, 0);
        bench.machine.restart(bench.now);
        assert_eq!(bench.machine.phase(), Phase::Stopped, "{name}");
        assert_eq!(bench.actions(), [], "{name}");
        assert_eq!(bench.machine.poll_timeout(), None, "{name}");
    }
}

#[test]
fn a_stop_between_the_wish_to_start_and_the_start_ends_it() {
    let mut bench = Bench::new(Process::new(["x"]));
    bench.machine.stop(bench.now);
    assert_eq!(bench.actions(), [Action::Start]);
    bench.machine.handle_started(bench.now);
    assert_eq!(bench.actions(), [Action::Terminate]);
    bench.ends(0);
    assert_eq!(bench.machine.phase(), Phase::Stopped);

    let mut bench = Bench::new(Process::new(["x"]));
    bench.machine.stop(bench.now);
    bench.machine.handle_start_failed(bench.now, 0);
    assert_eq!(bench.machine.phase(), Phase::Stopped);
}

#[test]
fn durations_without_end_overflow_nothing() {
    let mut bench = Bench::new(Process {
        ready_timeout: Duration::MAX,
        backoff_min: Duration::MAX,
        backoff_max: Duration::MAX,
        crash_window: Duration::MAX,
        stop_timeout: Duration::MAX,
        ..Process::new(["x"])
    });
    bench.runs();
    bench.ends(MOST);
    bench.machine.restart(bench.now);
    bench.runs();
    bench.machine.stop(bench.now);
    assert_eq!(bench.machine.poll_timeout(), None);
}
