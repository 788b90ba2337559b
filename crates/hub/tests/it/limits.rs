//! What happens when something is full.

use tidewire_engine::AppendError;
use tidewire_hub::{ConnectError, UserId};

use crate::desk::{Client, Desk};

#[test]
fn a_user_has_a_bounded_number_of_sessions() {
    let desk = Desk::with(|config| config.sessions_per_user_max = 2);
    let connect = || desk.hub.connect("1".parse::<UserId>().unwrap());
    let first = connect().unwrap();
    let _second = connect().unwrap();
    let error = connect().unwrap_err();
    assert_eq!(error, ConnectError::TooManySessionsOfUser);
    assert_eq!(crate::desk::close_of(error).0, 1013);
    assert_eq!(desk.hub.sessions_len(), 2);
    drop(first);
    assert!(connect().is_ok());
    assert_eq!(desk.hub.stat(&"1".parse().unwrap()).connected_times, 3);
}

#[test]
fn the_hub_has_a_bounded_number_of_sessions() {
    let desk = Desk::with(|config| config.sessions_max = 1);
    let session = desk.hub.connect("1".parse::<UserId>().unwrap()).unwrap();
    let error = desk
        .hub
        .connect("2".parse::<UserId>().unwrap())
        .unwrap_err();
    assert_eq!(error, ConnectError::TooManySessions);
    drop(session);
    assert!(desk.hub.connect("2".parse::<UserId>().unwrap()).is_ok());
}

#[test]
fn a_session_is_held_back_while_too_much_is_pending() {
    let desk = Desk::with(|config| config.submissions_max = 4);
    let mut anna = desk.online("1");
    for _ in 0..4 {
        assert!(anna.is_ready_to_submit());
        anna.send(&["2"], "hi");
    }
    assert!(!anna.is_ready_to_submit());
    let wakes = anna.wakes();
    desk.mailbox.step();
    assert_eq!(
        anna.wakes(),
        wakes,
        "woken when half is settled, not for each"
    );
    desk.mailbox.pump();
    assert_eq!(anna.wakes(), wakes + 1);
    assert!(anna.is_ready_to_submit());
    // Who submits all the same is refused, not queued without bound.
    for _ in 0..5 {
        anna.send(&["2"], "hi");
    }
    assert_eq!(anna.receive()[0]["data"]["code"], "busy");
}

#[test]
fn refusals_are_never_dropped_in_silence() {
    let desk = Desk::with(|config| {
        config.outbox_messages_max = 2;
        config.submissions_max = 3;
    });
    let refuse = |anna: &Client| {
        desk.mailbox.refuse_next(AppendError::DiskFull);
        anna.send(&["2"], "hi");
        desk.mailbox.pump();
    };
    let mut anna = desk.online("1");
    // Each submission may be owed a copy and a refusal.
    for _ in 0..2 + 2 * 3 {
        refuse(&anna);
    }
    // A server that ignores readiness loses the session rather than the news.
    refuse(&anna);
    assert_eq!(anna.receive().len(), 8);
    assert_eq!(anna.end.unwrap().code, 1013);
}
