//! Messages that are passed on to live sessions and never stored.

use crate::desk::{Desk, message};

const TYPING: &str = r#"{"type":"User_Typing","sender":1,"recipients":[2,901]}"#;

fn desk() -> Desk {
    Desk::with(|config| config.live_only_types = vec!["user_typing".to_owned()])
}

#[test]
fn a_live_only_message_reaches_who_is_there_and_no_mailbox() {
    let desk = desk();
    desk.mailbox.set_user_messages_max(0);
    let (mut anna, mut bob) = (desk.online("1"), desk.online("2"));
    anna.submit(TYPING.as_bytes()).unwrap();
    assert_eq!(desk.mailbox.queued(), 0);
    let received = bob.receive();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0]["type"], "User_Typing");
    assert_eq!(received[0]["recipients"].to_string(), "[2,901]");
    bob.confirm();
    assert_eq!(desk.mailbox.queued(), 0, "there is nothing to acknowledge");
    assert!(
        anna.receive().is_empty(),
        "nothing is said about who is absent"
    );
    assert!(desk.online("901").receive().is_empty());
    let totals = desk.hub.totals();
    assert_eq!((totals.live_only, totals.accepted), (1, 0));
    assert_eq!(desk.hub.stat(&"1".parse().unwrap()).sent_messages, 1);
    // Other types are stored as ever, and refused as ever.
    anna.send(&["2"], "hi");
    desk.mailbox.pump();
    assert_eq!(anna.receive()[0]["data"]["code"], "mailbox_full");
}

#[test]
fn the_sender_gets_his_copy_of_a_live_only_message() {
    let desk = Desk::with(|config| {
        config.send_back = true;
        config.live_only_types = vec!["text".to_owned()];
    });
    let (mut anna, mut other) = (desk.online("1"), desk.online("1"));
    anna.send(&["2"], "hi");
    assert_eq!(
        (anna.texts(), other.texts()),
        (vec!["hi".into()], vec!["hi".into()])
    );
}

#[test]
fn the_api_may_send_live_only_messages() {
    let desk = desk();
    let mut bob = desk.online("2");
    let answer = desk.send_api(TYPING).get().unwrap().unwrap();
    assert_eq!(bob.receive()[0]["id"], answer.id.to_string());
    assert!(answer.refused.is_empty());
}

#[test]
fn a_session_that_reads_nothing_misses_live_only_messages_and_holds_nobody_back() {
    let desk = Desk::with(|config| {
        config.live_only_types = vec!["text".to_owned()];
        config.outbox_messages_max = 2;
    });
    let (anna, mut bob) = (desk.online("1"), desk.online("2"));
    for text in ["a", "b", "c", "d"] {
        assert!(anna.is_ready_to_submit());
        anna.send(&["2"], text);
    }
    assert_eq!(bob.texts(), ["a", "b"]);
    assert_eq!(desk.hub.totals().ephemeral_dropped, 2);
    assert_eq!(bob.end, None);
}

#[test]
fn a_session_that_still_catches_up_gets_live_only_messages() {
    let desk = desk();
    desk.send_api(&message(&"0".parse().unwrap(), &["2"], "waiting"));
    desk.mailbox.pump();
    let mut bob = desk.connect("2");
    desk.online("1").submit(TYPING.as_bytes()).unwrap();
    desk.mailbox.pump();
    assert_eq!(bob.receive().len(), 2);
}

#[test]
fn without_a_queue_everything_is_live_only_and_what_waits_is_delivered() {
    let desk = Desk::with(|config| config.stores = false);
    desk.mailbox.plant(
        "2",
        br#"5A32EA72-38F4D5DC-3541-00000008 1
{"data":null,"id":"5A32EA72-38F4D5DC-3541-00000008","recipients":[2],"sender":1,"text":"old","timestamp":"","type":"text"}"#,
    );
    let (mut anna, mut bob) = (desk.online("1"), desk.online("2"));
    anna.send(&["2", "3"], "hi");
    let answer = desk.send_api(&message(&"0".parse().unwrap(), &["3"], "api"));
    assert!(answer.get().unwrap().is_ok());
    assert_eq!(bob.texts(), ["old", "hi"]);
    assert!(anna.receive().is_empty());
    desk.mailbox.pump();
    assert!(desk.online("3").receive().is_empty());
}
