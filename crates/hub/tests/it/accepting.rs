//! What is accepted, what is refused, and who learns it how.

use tidewire_dialect::{Classic, Dialect as _};
use tidewire_engine::{AppendError, Mailbox, MailboxRefusal};
use tidewire_hub::UserId;

use crate::desk::{Desk, message};

/// Sends as connection 1 and expects the close reason.
fn check_close(payload: &str, reason: &str) {
    let desk = Desk::new();
    let end = desk.online("1").submit(payload.as_bytes()).unwrap_err();
    assert_eq!((end.code, &*end.reason), (4001, reason));
    assert_eq!(desk.mailbox.queued(), 0);
    assert_eq!(desk.hub.totals().invalid, 1);
}

/// S-20.
#[test]
fn an_invalid_payload_closes_with_4001_and_the_reason() {
    check_close("", "Invalid payload. Empty message");
    check_close("{}", "Invalid payload. $.type must be a string");
}

#[test]
fn a_foreign_sender_closes_and_so_does_the_administrators_id() {
    let reason = "Invalid payload. $.sender must be the id of this connection";
    for sender in ["2", "0"] {
        check_close(&message(&sender.parse().unwrap(), &["3"], "hi"), reason);
    }
    // A connection with id 0 is an ordinary one (S-06): it may not write as administrator.
    let desk = Desk::new();
    let payload = message(&"0".parse().unwrap(), &["3"], "hi");
    assert_eq!(
        desk.online("0")
            .submit(payload.as_bytes())
            .unwrap_err()
            .reason,
        reason
    );
}

#[test]
fn a_quoted_number_is_the_same_sender() {
    let desk = Desk::new();
    let anna = desk.online("1");
    let payload = r#"{"type":"x","sender":"1","recipients":["2"]}"#;
    anna.submit(payload.as_bytes()).unwrap();
    desk.mailbox.pump();
    assert_eq!(desk.online("2").receive()[0]["sender"], 1);
}

#[test]
fn the_check_of_the_sender_can_be_turned_off() {
    let desk = Desk::with(|config| config.check_sender = false);
    let anna = desk.online("1");
    for sender in ["7", "0"] {
        let payload = message(&sender.parse().unwrap(), &["2"], sender);
        anna.submit(payload.as_bytes()).unwrap();
    }
    desk.mailbox.pump();
    assert_eq!(desk.online("2").texts(), ["7", "0"]);
}

/// S-25, S-26.
#[test]
fn a_message_for_the_bot_is_counted_and_goes_nowhere() {
    let desk = Desk::with(|config| config.send_back = true);
    let (mut anna, mut bot) = (desk.online("1"), desk.online("0"));
    anna.send(&["0"], "hi");
    assert_eq!(desk.mailbox.queued(), 0);
    assert!(anna.receive().is_empty() && bot.receive().is_empty());
    assert_eq!(
        (desk.hub.totals().for_bot, desk.hub.totals().accepted),
        (1, 0)
    );
    assert_eq!(desk.hub.stat(&"1".parse().unwrap()).sent_messages, 1);
}

#[test]
fn a_refused_message_is_told_to_the_session_that_sent_it() {
    let cases = [
        (
            AppendError::NoMailbox {
                refusals: vec![MailboxRefusal::Full],
            },
            "mailbox_full",
        ),
        (
            AppendError::NoMailbox {
                refusals: vec![MailboxRefusal::SenderShare],
            },
            "sender_quota",
        ),
        (AppendError::SenderFull, "sender_quota"),
        (AppendError::StoreFull, "store_full"),
        (AppendError::DiskFull, "disk_full"),
        (
            AppendError::Failed {
                reason: "test".into(),
            },
            "store_failed",
        ),
    ];
    for (error, code) in cases {
        let desk = Desk::with(|config| config.send_back = true);
        let (mut anna, mut other, mut bob) = (desk.online("1"), desk.online("1"), desk.online("2"));
        desk.mailbox.refuse_next(error);
        anna.send(&["2"], "hi");
        desk.mailbox.pump();
        let received = anna.receive();
        assert_eq!(received.len(), 1, "{code}");
        assert_eq!(received[0]["type"], "notification_refused");
        assert_eq!(received[0]["sender"], 0);
        assert_eq!(received[0]["recipients"].to_string(), "[1]");
        assert_eq!(received[0]["data"]["code"], code);
        assert_eq!(received[0]["data"]["message"], received[0]["text"]);
        assert!(other.receive().is_empty() && bob.receive().is_empty());
        // Refusals are no messages of the mailbox: nothing to confirm.
        anna.confirm();
        assert_eq!(desk.mailbox.queued(), 0);
    }
}

#[test]
fn a_refusal_after_the_sender_left_is_only_counted() {
    let desk = Desk::new();
    let anna = desk.online("1");
    desk.mailbox.refuse_next(AppendError::DiskFull);
    anna.send(&["2"], "hi");
    drop(anna);
    desk.mailbox.pump();
    assert_eq!(desk.hub.totals().refused_disk_full, 1);
}

#[test]
fn a_busy_store_refuses_and_holds_the_sessions_back_until_it_has_room() {
    let desk = Desk::new();
    let (mut anna, bob) = (desk.online("1"), desk.online("2"));
    desk.mailbox.set_queue_max(2);
    for text in ["a", "b", "c"] {
        anna.send(&["9"], text);
    }
    assert_eq!(anna.receive()[0]["data"]["code"], "busy");
    assert!(!anna.is_ready_to_submit() && !bob.is_ready_to_submit());
    let wakes = (anna.wakes(), bob.wakes());
    desk.mailbox.step();
    assert!(anna.wakes() > wakes.0 && bob.wakes() > wakes.1);
    assert!(anna.is_ready_to_submit() && bob.is_ready_to_submit());
    desk.mailbox.pump();
    assert_eq!(desk.mailbox.pending("9").len(), 2);
    assert_eq!(desk.hub.totals().refused_busy, 1);
}

#[test]
fn a_session_that_connects_while_the_store_is_busy_catches_up_later() {
    let desk = Desk::new();
    let anna = desk.online("1");
    desk.mailbox.set_queue_max(1);
    anna.send(&["2"], "hi");
    let mut bobs: Vec<_> = (0..5).map(|_| desk.connect("2")).collect();
    desk.mailbox.pump();
    for bob in &mut bobs {
        assert_eq!(
            (bob.texts(), bob.end.clone()),
            (vec!["hi".to_owned()], None)
        );
    }
}

#[test]
fn the_api_may_send_as_anybody_and_learns_the_id() {
    let desk = Desk::new();
    let mut bob = desk.online("2");
    let answer = desk.send_api(&message(&"0".parse().unwrap(), &["2"], "hi"));
    assert_eq!(answer.get(), None);
    desk.mailbox.pump();
    let received = bob.receive();
    let accepted = answer.get().unwrap().unwrap();
    assert_eq!(received[0]["id"], accepted.id.to_string());
    assert_eq!(received[0]["sender"], 0);
}

#[test]
fn the_api_answers_errors_in_the_old_words() {
    let desk = Desk::new();
    for (payload, expected) in [
        ("", "Empty message"),
        ("{}", "Invalid payload: $.type must be a string"),
    ] {
        let error =
            Classic::decode(payload.as_bytes(), &UserId::BOT, desk.hub.settings()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let for_bot = message(&"1".parse().unwrap(), &["0"], "hi");
    let answer = desk.send_api(&for_bot).get().unwrap();
    assert_eq!(
        answer.unwrap_err().to_string(),
        "Can't send message to bot through the api"
    );
}

#[test]
fn the_api_learns_of_refusals() {
    let desk = Desk::new();
    let payload = message(&"1".parse().unwrap(), &["2"], "hi");
    desk.mailbox.refuse_next(AppendError::StoreFull);
    let full = desk.send_api(&payload);
    desk.mailbox.pump();
    assert_eq!(
        full.get().unwrap().unwrap_err().to_string(),
        "the message store is full"
    );
    desk.mailbox.set_queue_max(0);
    let busy = desk.send_api(&payload).get().unwrap();
    assert_eq!(
        busy.unwrap_err().to_string(),
        "the server is busy, try again"
    );
    // Nothing is outstanding that could end the wait, so nobody waits.
    assert!(desk.hub.connect("5".parse::<UserId>().unwrap()).is_ok());
}

#[test]
fn after_the_stop_nothing_is_accepted_and_sessions_drain() {
    let desk = Desk::new();
    let (mut anna, mut bob) = (desk.online("1"), desk.online("2"));
    anna.send(&["2"], "before");
    desk.hub.stop_accepting();
    anna.send(&["2"], "after");
    assert!(desk.hub.connect("3".parse::<UserId>().unwrap()).is_err());
    let api = desk
        .send_api(&message(&"1".parse().unwrap(), &["2"], "hi"))
        .get()
        .unwrap();
    assert!(api.is_err());
    desk.mailbox.pump();
    assert_eq!(bob.texts(), ["before"]);
    assert_eq!(anna.receive()[0]["data"]["code"], "stopping");
    desk.mailbox.stop();
    bob.confirm();
    assert_eq!(desk.hub.totals().refused_stopping, 2);
}

#[test]
fn a_closed_store_refuses_connections_and_messages() {
    let desk = Desk::new();
    let mut anna = desk.online("1");
    desk.mailbox.stop();
    anna.send(&["2"], "hi");
    assert_eq!(anna.receive()[0]["data"]["code"], "store_failed");
    assert!(desk.hub.connect("3".parse::<UserId>().unwrap()).is_err());
    assert!(!desk.is_online("3"));
}

#[test]
fn a_large_message_to_many_is_refused() {
    let desk = Desk::with(|config| config.fanout_bytes_max = 10_000);
    let mut anna = desk.online("1");
    let many = ["2", "3", "4", "5", "6", "7", "8", "9"];
    anna.send(&many, &"x".repeat(2000));
    assert_eq!(anna.receive()[0]["data"]["code"], "fanout_too_large");
    anna.send(&many[..4], &"x".repeat(2000));
    // A set: one recipient, however often he is named.
    anna.send(&["2"; 8], &"x".repeat(2000));
    desk.mailbox.pump();
    assert!(anna.receive().is_empty());
    assert_eq!(desk.mailbox.pending("2").len(), 2);
}
