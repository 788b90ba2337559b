//! A message to many sessions is delivered by the executor, in order per user and within bounds, and holds up
//! nobody else's commit.

use crate::desk::{Client, Desk, message};

fn names(count: usize) -> Vec<String> {
    (0..count).map(|at| format!("user-{at}")).collect()
}

#[test]
fn one_message_to_ten_thousand_sessions_does_not_hold_up_the_commit_of_another() {
    const USERS: usize = 256;
    const SESSIONS: usize = 40;
    let desk = Desk::new();
    let names = names(USERS);
    let mut clients: Vec<Client> = names
        .iter()
        .flat_map(|name| std::iter::repeat_n(name, SESSIONS))
        .map(|name| desk.connect(name))
        .collect();
    desk.settle();
    let sender = desk.online("sender");
    let mut other = desk.online_with_receipts("other");
    let mut friend = desk.online("friend");
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    sender.send(&all, "to all");
    other.send(&["friend"], "to one");
    let wakes: usize = clients.iter().map(Client::wakes).sum();

    assert!(desk.mailbox.step());
    assert!(clients.iter_mut().all(|client| client.receive().is_empty()));
    let jobs = desk.executor.queued();
    assert!((1..=64).contains(&jobs), "{jobs} jobs");
    assert!(desk.mailbox.step());
    let notices = other.receive();
    assert_eq!(notices[0]["type"], "notification_accepted");

    desk.executor.pump();
    for client in &mut clients {
        assert_eq!(client.texts(), ["to all"]);
    }
    assert_eq!(friend.texts(), ["to one"]);
    let woken = clients.iter().map(Client::wakes).sum::<usize>() - wakes;
    assert!(woken <= USERS * SESSIONS, "{woken}");
}

#[test]
fn a_message_to_few_sessions_is_delivered_in_the_completion() {
    let desk = Desk::with(|config| config.fanout_inline_max = 3);
    let sender = desk.online("1");
    let mut few = [desk.online("2"), desk.online("2"), desk.online("3")];
    sender.send(&["2", "3", "absent"], "now");
    desk.mailbox.pump();
    assert_eq!(desk.executor.queued(), 0);
    for client in &mut few {
        assert_eq!(client.texts(), ["now"]);
    }
}

/// The second one would fit into its completion, but may not overtake.
#[test]
fn what_comes_behind_a_large_message_waits_for_it() {
    let desk = Desk::with(|config| config.fanout_inline_max = 1);
    let sender = desk.online("1");
    let mut devices = [desk.online("2"), desk.online("2")];
    let mut one = desk.online("3");
    sender.send(&["2", "3"], "first");
    sender.send(&["3"], "second");
    desk.mailbox.pump();
    // A device that comes in between reads both, once.
    let mut late = desk.connect("3");
    desk.mailbox.pump();
    assert_eq!(one.texts(), [""; 0]);
    desk.settle();
    assert_eq!(one.texts(), ["first", "second"]);
    assert_eq!(late.texts(), ["first", "second"]);
    for device in &mut devices {
        assert_eq!(device.texts(), ["first"]);
    }
    sender.send(&["3"], "third");
    desk.settle();
    assert_eq!(
        (one.texts(), late.texts()),
        (vec!["third".into()], vec!["third".into()])
    );
}

#[test]
fn the_outcome_comes_when_everybody_has_been_served() {
    let desk = Desk::with(|config| config.fanout_inline_max = 0);
    let _one = desk.online("2");
    let answer = desk.send_api(&message(&"1".parse().unwrap(), &["2", "3"], "x"));
    desk.mailbox.pump();
    assert!(answer.get().is_none());
    desk.executor.pump();
    assert!(answer.get().unwrap().is_ok());
    let absent = desk.send_api(&message(&"1".parse().unwrap(), &["3"], "x"));
    desk.mailbox.pump();
    assert!(absent.get().unwrap().is_ok(), "nobody is to be served");
}

#[test]
fn above_the_bound_of_what_is_outstanding_nothing_more_is_taken_until_it_is_made() {
    let desk = Desk::with(|config| {
        config.fanout_inline_max = 0;
        config.fanout_pending_max = 2;
    });
    let sender = desk.online("1");
    let mut receivers = [desk.online("2"), desk.online("3")];
    desk.settle();
    sender.send(&["2", "3"], "first");
    desk.mailbox.pump();
    let refused = desk.send_api(&message(&"1".parse().unwrap(), &["2"], "too much"));
    assert!(refused.get().unwrap().is_err());
    assert!(!sender.is_ready_to_submit());
    let wakes = sender.wakes();
    desk.settle();
    assert_eq!(sender.wakes(), wakes + 1);
    assert!(sender.is_ready_to_submit());
    sender.send(&["2", "3"], "second");
    desk.settle();
    for receiver in &mut receivers {
        assert_eq!(receiver.texts(), ["first", "second"]);
    }
}

/// Wakers come from the caller, so they may do anything.
#[test]
fn a_delivery_that_panics_holds_up_nothing_behind_it() {
    struct Panics;
    impl std::task::Wake for Panics {
        fn wake(self: std::sync::Arc<Self>) {
            panic!("this waker is broken");
        }
    }
    let desk = Desk::with(|config| config.fanout_inline_max = 0);
    let sender = desk.online("1");
    let mut broken = desk.online("2");
    let mut behind = desk.online("2");
    broken.wake_with(std::sync::Arc::new(Panics).into());
    assert_eq!(broken.texts(), [""; 0]);
    sender.send(&["2"], "first");
    desk.settle();
    let mut texts = behind.texts();
    sender.send(&["2"], "second");
    desk.settle();
    texts.extend(behind.texts());
    assert_eq!(texts, ["first", "second"]);
    assert_eq!(broken.texts(), ["first", "second"]);
    let answer = desk.send_api(&message(&"1".parse().unwrap(), &["2"], "third"));
    desk.settle();
    assert!(answer.get().unwrap().is_ok());
}
