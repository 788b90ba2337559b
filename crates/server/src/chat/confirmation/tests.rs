//! Single steps: what proves, what does not, and when what is due.

use super::*;

const PONG_TIMEOUT: Duration = Duration::from_secs(10);
const SEED: u32 = 0x7469_6465;

pub(super) fn beginning() -> Beginning {
    Beginning {
        by_pong: true,
        timing: Arc::new(Timing {
            pong_timeout: PONG_TIMEOUT,
            ping_interval: Some(Duration::from_secs(25)),
            acknowledged_timeout: Duration::from_secs(21),
            unproven_kept: Duration::from_mins(10),
        }),
        unproven_sessions: 0,
        is_waiting: false,
        window_max: Window {
            messages: 1024,
            bytes: 1 << 20,
        },
        seed: SEED,
    }
}

/// A confirmation, its clock and the pings it has sent.
struct Desk {
    confirmation: Confirmation,
    now: Instant,
    pings: Vec<[u8; 8]>,
    actions: Vec<Action>,
}

impl Desk {
    fn new(beginning: Beginning) -> Self {
        let now = Instant::now();
        let mut desk = Self {
            confirmation: Confirmation::new(beginning, now),
            now,
            pings: Vec::new(),
            actions: Vec::new(),
        };
        desk.act();
        desk
    }

    /// One whose peer has echoed the first ping.
    fn echoing() -> Self {
        let mut desk = Self::new(beginning());
        desk.echo(0);
        desk.actions.clear();
        desk
    }

    fn act(&mut self) {
        while let Some(action) = self.confirmation.poll_action() {
            if let Action::Ping(payload) = action {
                self.pings.push(payload);
            } else {
                self.actions.push(action);
            }
        }
    }

    fn queue(&mut self, mark: u64, unwritten: usize) {
        let queued = Queued {
            mark: Mark::from(mark),
            bytes: mark * 100,
            unwritten,
        };
        self.confirmation.handle_queued(queued, self.now);
        self.act();
    }

    fn pong(&mut self, payload: &[u8]) {
        self.confirmation.handle_pong(payload, self.now);
        self.act();
    }

    fn echo(&mut self, ping: usize) {
        let payload = self.pings[ping];
        self.pong(&payload);
    }

    /// Lets time pass, every deadline handled when it is due.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(deadline) = self.confirmation.deadline()
            && deadline <= end
        {
            self.now = self.now.max(deadline);
            self.confirmation.handle_timeout(self.now);
            self.act();
            if self.actions.contains(&Action::GiveUp) {
                break;
            }
        }
        self.now = end;
    }

    fn confirmed(&self) -> Vec<Mark> {
        let mut confirmed = Vec::new();
        for action in &self.actions {
            if let Action::Confirm(mark) = action {
                confirmed.push(*mark);
            }
        }
        confirmed
    }

    fn gave_up(&self) -> bool {
        self.actions.contains(&Action::GiveUp)
    }
}

fn marks(numbers: &[u64]) -> Vec<Mark> {
    numbers.iter().copied().map(Mark::from).collect()
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Idle connections are the many: what each costs is a decision.
#[test]
fn the_state_of_an_idle_connection_is_small() {
    let size = size_of::<Confirmation>();
    assert!(size <= 264, "{size} bytes");
}

#[test]
fn the_first_ping_goes_out_before_any_message() {
    let desk = Desk::new(beginning());
    assert_eq!(desk.pings.len(), 1);
    assert_eq!(desk.actions, [Action::SetWindow(Window::START)]);
}

#[test]
fn a_pong_confirms_what_was_queued_before_its_ping_and_one_ping_is_unanswered_at_a_time() {
    let mut desk = Desk::echoing();
    desk.queue(3, 0);
    desk.queue(5, 0);
    assert_eq!(desk.pings.len(), 2);
    desk.echo(1);
    assert_eq!(desk.confirmed(), marks(&[3]));
    assert_eq!(desk.pings.len(), 3, "behind what came meanwhile");
    desk.echo(1);
    assert_eq!(
        desk.confirmed(),
        marks(&[3]),
        "an old pong proves nothing new"
    );
    desk.echo(2);
    assert_eq!(desk.confirmed(), marks(&[3, 5]));
}

#[test]
fn a_peer_that_answers_pings_and_then_only_talks_confirms_nothing_and_is_not_closed() {
    let mut desk = Desk::echoing();
    desk.queue(20, 0);
    for _ in 0..100 {
        desk.pass(seconds(5));
        desk.confirmation.handle_received(desk.now);
    }
    assert!(desk.actions.is_empty(), "{:?}", desk.actions);
    desk.echo(1);
    assert_eq!(desk.confirmed(), marks(&[20]), "a late pong counts");
}

#[test]
fn a_peer_that_answers_pings_and_then_stands_still_is_given_up_unconfirmed() {
    let mut desk = Desk::echoing();
    desk.queue(20, 0);
    desk.pass(seconds(9));
    assert!(!desk.gave_up());
    desk.pass(seconds(1));
    assert!(desk.gave_up());
    assert!(desk.confirmed().is_empty());
}

#[test]
fn an_idle_peer_is_asked_for_a_sign_of_life_and_given_up_without_one() {
    let mut desk = Desk::echoing();
    desk.pass(seconds(34));
    assert_eq!(desk.pings.len(), 2);
    assert!(!desk.gave_up());
    desk.pass(seconds(1));
    assert!(desk.gave_up());
}

#[test]
fn bytes_that_the_system_takes_renew_the_patience() {
    let mut desk = Desk::echoing();
    desk.queue(1, 4 << 20);
    for _ in 0..30 {
        desk.pass(seconds(9));
        desk.confirmation.handle_written(desk.now);
    }
    assert!(!desk.gave_up());
    desk.pass(seconds(10));
    assert!(desk.gave_up());
}

#[test]
fn a_peer_that_never_answers_is_mute_after_the_patience_and_kept() {
    let mut desk = Desk::new(beginning());
    desk.queue(4, 0);
    desk.pass(seconds(10));
    let widened = Action::SetWindow(beginning().window_max);
    assert!(desk.actions.contains(&widened), "{:?}", desk.actions);
    desk.pass(seconds(3600));
    assert!(desk.actions.contains(&Action::Forget(Mark::from(4))));
    let releases = |action: &Action| matches!(action, Action::Release);
    assert!(!desk.actions.iter().any(releases), "not a word came since");
    desk.confirmation.handle_received(desk.now);
    desk.pass(seconds(1));
    desk.queue(300, 0);
    desk.pass(seconds(3600));
    desk.confirmation.handle_received(desk.now);
    desk.pass(seconds(1));
    assert!(!desk.gave_up() && desk.confirmed().is_empty());
    let released = desk.actions.iter().filter(|action| releases(action));
    assert_eq!(released.count(), 2, "it has talked since");
}

#[test]
fn a_mute_peer_whose_system_takes_nothing_is_given_up() {
    let mut desk = Desk::new(beginning());
    desk.pass(seconds(10));
    desk.queue(4, 100);
    desk.pass(seconds(40));
    assert!(desk.gave_up() && desk.confirmed().is_empty());
}

#[test]
fn a_late_pong_ends_muteness_and_what_came_meanwhile_is_to_be_proved() {
    let mut desk = Desk::new(beginning());
    desk.pass(seconds(10));
    desk.queue(300, 0);
    desk.actions.clear();
    desk.echo(0);
    let begun = [Action::Answers, Action::SetWindow(Window::START)];
    assert_eq!(desk.actions, begun);
    desk.echo(1);
    assert_eq!(desk.confirmed(), marks(&[300]));
}

#[test]
fn bytes_around_our_payload_do_no_harm() {
    let mut desk = Desk::echoing();
    desk.queue(3, 0);
    let prefixed = [&[0, 0][..], &desk.pings[1]].concat();
    desk.pong(&prefixed);
    assert_eq!(desk.confirmed(), marks(&[3]));
}

#[test]
fn two_empty_pongs_for_two_pings_prove() {
    let mut desk = Desk::new(beginning());
    desk.pong(b"");
    assert_eq!(
        desk.pings.len(),
        3,
        "two at once tell answers from heartbeats"
    );
    desk.pong(b"");
    desk.pong(b"");
    desk.actions.clear();
    desk.queue(3, 0);
    assert_eq!(desk.pings.len(), 5);
    desk.pong(b"");
    assert!(desk.confirmed().is_empty());
    desk.pong(b"");
    assert_eq!(desk.confirmed(), marks(&[3]));
    desk.queue(4, 0);
    assert_eq!(desk.pings.len(), 7);
}

#[test]
fn empty_heartbeats_of_a_peer_that_reads_nothing_prove_nothing() {
    for is_known in [false, true] {
        let mut desk = if is_known {
            Desk::echoing()
        } else {
            Desk::new(beginning())
        };
        desk.queue(3, 0);
        for _ in 0..300 {
            desk.pass(seconds(1));
            desk.confirmation.handle_received(desk.now);
            desk.pong(b"");
        }
        assert!(desk.confirmed().is_empty());
        assert!(!desk.gave_up());
        let last = desk.pings.len() - 1;
        desk.echo(last);
        assert_eq!(desk.confirmed(), marks(&[3]));
    }
}

#[test]
fn a_pong_that_answers_no_ping_of_ours_proves_nothing() {
    let mut desk = Desk::echoing();
    desk.queue(3, 0);
    let mut future = desk.pings[1];
    future[7] += 1;
    let mut foreign = desk.pings[1];
    foreign[0] ^= 1;
    for payload in [&future[..], &foreign, b".", b"pong", &[0; 125]] {
        desk.pong(payload);
    }
    assert!(desk.confirmed().is_empty());
}

#[test]
fn a_peer_whose_every_pong_comes_after_the_patience_is_waited_for_once_that_is_known() {
    let mut desk = Desk::new(beginning());
    desk.pass(seconds(15));
    desk.echo(0);
    for mark in 1..20 {
        desk.queue(mark, 0);
        desk.pass(seconds(15));
        assert!(!desk.gave_up());
        let last = desk.pings.len() - 1;
        desk.echo(last);
    }
    assert_eq!(desk.confirmed().len(), 19);
}

#[test]
fn written_confirms_when_the_system_has_everything_and_still_finds_the_dead() {
    let beginning = Beginning {
        by_pong: false,
        ..beginning()
    };
    let mut desk = Desk::new(beginning);
    assert!(desk.pings.is_empty());
    desk.queue(3, 1);
    assert!(desk.confirmed().is_empty());
    desk.queue(3, 0);
    assert_eq!(desk.confirmed(), marks(&[3]));
    desk.pass(seconds(25));
    desk.echo(0);
    desk.pass(seconds(60));
    assert!(desk.gave_up());
    assert!(
        !desk
            .actions
            .iter()
            .any(|action| matches!(action, Action::SetWindow(_)))
    );
}

#[test]
fn each_session_in_vain_doubles_the_patience_and_halves_the_window() {
    let beginning = Beginning {
        unproven_sessions: 2,
        ..beginning()
    };
    let mut desk = Desk::new(beginning);
    let window = Window {
        messages: 1,
        bytes: 4 << 10,
    };
    assert_eq!(desk.actions, [Action::SetWindow(window)]);
    desk.echo(0);
    desk.queue(1, 0);
    desk.pass(seconds(9));
    assert!(!desk.gave_up());
    desk.echo(1);
    assert_eq!(desk.confirmed(), marks(&[1]));
}

#[test]
fn a_session_that_waits_begins_with_the_first_pong_or_after_two_seconds() {
    let beginning = Beginning {
        is_waiting: true,
        ..beginning()
    };
    let mut answers = Desk::new(beginning.clone());
    answers.echo(0);
    assert!(answers.actions.contains(&Action::Answers));
    answers.pass(seconds(3));
    assert!(!answers.actions.contains(&Action::BeginUnanswered));
    let mut silent = Desk::new(beginning);
    silent.pass(seconds(2));
    assert!(silent.actions.contains(&Action::BeginUnanswered));
    silent.echo(0);
    assert!(silent.actions.contains(&Action::Answers));
}
