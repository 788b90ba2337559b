//! Recipients are a set, and the trouble of one is nobody else's.

use serde_json::{Value, json};
use tidewire_engine::Sender;

use crate::desk::{Desk, message, text};

fn code_of(refused: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.to_string().replace('"', "");
    let list = refused.as_array().unwrap();
    list.iter()
        .map(|one| (text(&one["recipient"]), text(&one["code"])))
        .collect()
}

/// 1000 waiting typing notices of user 901 silenced every group with him.
#[test]
fn a_full_mailbox_keeps_a_message_from_nobody_else() {
    let desk = Desk::with(|config| config.send_back = true);
    desk.mailbox.set_user_messages_max(1000);
    let (mut anna, mut other) = (desk.online("1"), desk.online("1"));
    for _ in 0..1000 {
        let typing = r#"{"type":"user_typing","sender":3,"recipients":[901]}"#;
        desk.send_api(typing);
    }
    desk.mailbox.pump();
    let mut bob = desk.online("2");
    let payload =
        r#"{"type":"text","sender":1,"recipients":[2,901],"text":"hi","data":{"ref":"r1"}}"#;
    anna.submit(payload.as_bytes()).unwrap();
    desk.mailbox.pump();
    let received = bob.receive();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0]["recipients"], json!([2, 901]), "as written");
    // First the copy, which says that it was accepted; then who misses it.
    let answers = anna.receive();
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0], received[0]);
    let data = &answers[1]["data"];
    assert_eq!(answers[1]["type"], "notification_refused");
    assert_eq!(data["code"], "mailbox_full");
    assert_eq!(data["message"], answers[1]["text"]);
    assert_eq!(
        (&data["id"], &data["ref"]),
        (&received[0]["id"], &json!("r1"))
    );
    let expected = [("901".to_owned(), "mailbox_full".to_owned())];
    assert_eq!(code_of(&data["refused"]), expected);
    assert_eq!(
        other.receive(),
        received,
        "a refusal is for the session that asked"
    );
    let totals = desk.hub.totals();
    assert_eq!(
        (totals.refused_recipients, totals.refused_mailbox_full),
        (1, 0)
    );
    assert!(anna.is_ready_to_submit(), "nothing is pending any more");
}

#[test]
fn a_message_nobody_can_take_is_refused_in_the_old_shape() {
    let desk = Desk::new();
    desk.mailbox.set_user_messages_max(0);
    let mut anna = desk.online("1");
    anna.send(&["2", "3"], "hi");
    desk.mailbox.pump();
    assert_eq!(
        anna.receive()[0]["data"],
        json!({"code": "mailbox_full", "message": "the mailbox of a recipient is full"})
    );
    assert_eq!(desk.hub.totals().refused_mailbox_full, 1);
}

#[test]
fn the_api_learns_who_misses_a_message() {
    let desk = Desk::new();
    desk.mailbox.set_user_messages_max(1);
    desk.send_api(&message(&"0".parse().unwrap(), &["901"], "first"));
    let answer = desk.send_api(&message(&"0".parse().unwrap(), &["901", "2"], "second"));
    desk.mailbox.pump();
    let accepted = answer.get().unwrap().unwrap();
    let refused: Vec<_> = accepted
        .refused
        .iter()
        .map(|refused| (refused.recipient.to_string(), refused.refusal.code()))
        .collect();
    assert_eq!(refused, [("901".to_owned(), "mailbox_full")]);
    assert_eq!(desk.online("2").texts(), ["second"]);
}

/// Four frames of 2.2 KB in all shut a stranger's mailbox for a day.
#[test]
fn a_recipient_named_many_times_counts_once() {
    let desk = Desk::new();
    desk.mailbox.set_user_messages_max(1000);
    let (anna, mut victim) = (desk.online("1"), desk.online("7"));
    for _ in 0..4 {
        anna.send(&["7"; 256], "x");
    }
    desk.mailbox.pump();
    assert_eq!(desk.mailbox.pending("7").len(), 4);
    let received = victim.receive();
    assert_eq!(received.len(), 4);
    assert_eq!(received[0]["recipients"], json!([7]));
}

/// Whether in the order of naming, in a long list, or beside the administrator.
#[test]
fn recipients_are_a_set_in_the_order_of_their_first_naming() {
    let desk = Desk::with(|config| config.recipients_max = 20);
    let (mut anna, mut bob) = (desk.online("1"), desk.online("2"));
    let mut check = |recipients: &[&str], listed: Value| {
        anna.send(recipients, "x");
        desk.mailbox.pump();
        let received = bob.receive();
        assert_eq!(received.len(), 1, "{recipients:?}");
        assert_eq!(received[0]["recipients"], listed);
        bob.confirm();
        desk.mailbox.pump();
        assert!(anna.receive().is_empty());
    };
    check(&["3", "2", "3", "bob", "2", "bob"], json!([3, 2, "bob"]));
    check(&["0", "2", "0", "2"], json!([0, 2]));
    let many: Vec<String> = (2..22).map(|id| id.to_string()).collect();
    let thrice: Vec<&str> = many.iter().cycle().take(60).map(String::as_str).collect();
    check(&thrice, (2..22).collect::<Vec<_>>().into());
    assert_eq!(desk.mailbox.pending("21").len(), 1);
    assert_eq!(desk.mailbox.pending("0").len(), 0);
}

#[test]
fn a_message_to_the_administrator_named_twice_is_for_him_alone() {
    let desk = Desk::new();
    desk.online("1").send(&["0", "0"], "x");
    assert_eq!(desk.hub.totals().for_bot, 1);
}

/// As from old servers, on request.
#[test]
fn a_repeated_recipient_gets_the_message_as_often_where_that_is_configured() {
    let desk = Desk::with(|config| {
        config.repeat_recipients = true;
        config.recipients_max = 3;
    });
    let (mut anna, mut bob) = (desk.online("1"), desk.online("2"));
    anna.send(&["2", "3", "2"], "x");
    desk.mailbox.pump();
    let received = bob.receive();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0]["recipients"], json!([2, 3, 2]));
    let four = message(&anna.user(), &["2"; 4], "x");
    anna.submit(four.as_bytes()).unwrap();
    let refused = anna.receive().remove(0);
    assert_eq!(refused["data"]["code"], "too_many_recipients");
    assert!(text(&refused).contains("at most 3"), "{refused}");
    assert_eq!(desk.hub.totals().refused_beyond_bounds, 1);
}

/// What the original had no bound for costs nobody the connection.
#[test]
fn a_message_to_too_many_is_refused_and_its_sender_goes_on() {
    let desk = Desk::with(|config| config.recipients_max = 3);
    let (mut anna, mut bob) = (desk.online("1"), desk.online("2"));
    anna.send(&["2", "3", "4", "5"], "to four");
    let refused = anna.receive().remove(0);
    assert_eq!(refused["data"]["code"], "too_many_recipients");
    // A set: these are three.
    anna.send(&["2", "3", "2", "4", "3", "2"], "to three");
    desk.mailbox.pump();
    assert_eq!(bob.texts(), ["to three"]);
    assert_eq!(anna.end, None);
}

/// All mailboxes share one record; who catches up sees only himself among the recipients.
#[test]
fn one_who_catches_up_is_the_only_recipient_he_sees() {
    let desk = Desk::new();
    let anna = desk.online("1");
    let payload = r#"{"type":"text","sender":1,"recipients":[2,"bob",3],"text":"[]","data":{"recipients":[]}}"#;
    anna.submit(payload.as_bytes()).unwrap();
    desk.mailbox.pump();
    assert_eq!(desk.mailbox.pending("2"), desk.mailbox.pending("bob"));
    let mut seen = Vec::new();
    for (user, listed) in [
        ("2", json!([2])),
        ("bob", json!(["bob"])),
        ("3", json!([3])),
    ] {
        let mut received = desk.online(user).receive();
        assert_eq!(received[0]["recipients"], listed);
        assert_eq!(received[0]["data"], json!({"recipients": []}));
        received[0]["recipients"].take();
        seen.push(received.remove(0));
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[1], seen[2]);
}

/// Whatever a client writes as sender, its own budget is used.
#[test]
fn the_user_of_the_connection_answers_for_a_message() {
    let desk = Desk::with(|config| config.check_sender = false);
    let sender = |user: &str, limited| {
        Some(Sender {
            user: user.into(),
            limited,
        })
    };
    let anna = desk.online("1");
    let payload = message(&"2".parse().unwrap(), &["3"], "x");
    anna.submit(payload.as_bytes()).unwrap();
    desk.mailbox.pump();
    assert_eq!(desk.mailbox.last_sender(), sender("1", true));
    desk.send_api(&payload);
    desk.mailbox.pump();
    assert_eq!(desk.mailbox.last_sender(), sender("2", false));
}

/// 200 messages of 118 KB to 256 users each filled the memory.
#[test]
fn a_session_is_held_back_by_the_bytes_it_has_pending() {
    let desk = Desk::with(|config| config.submissions_bytes_max = 300_000);
    let mut anna = desk.online("1");
    let text = "x".repeat(118_000);
    let mut taken = 0;
    while anna.is_ready_to_submit() {
        anna.send(&["2", "3"], &text);
        taken += 1;
    }
    assert_eq!(taken, 3);
    anna.send(&["2"], "x");
    assert_eq!(anna.receive()[0]["data"]["code"], "busy");
    let wakes = anna.wakes();
    desk.mailbox.step();
    assert_eq!(anna.wakes(), wakes, "more than half is pending");
    desk.mailbox.pump();
    assert_eq!(anna.wakes(), wakes + 1);
    assert!(anna.is_ready_to_submit());
    // Many recipients count too, however short the message.
    let many: Vec<String> = (2..258).map(|id| id.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut taken = 0;
    while anna.is_ready_to_submit() {
        anna.send(&many, "");
        taken += 1;
    }
    assert!(taken < 12, "{taken}");
    desk.mailbox.pump();
    assert!(anna.is_ready_to_submit());
}

#[test]
fn one_message_is_taken_whatever_its_size() {
    let desk = Desk::with(|config| config.submissions_bytes_max = 1);
    let anna = desk.online("1");
    assert!(anna.is_ready_to_submit());
    anna.send(&["2"], "hello");
    assert!(!anna.is_ready_to_submit());
    desk.mailbox.pump();
    assert!(anna.is_ready_to_submit());
    assert_eq!(desk.online("2").texts(), ["hello"]);
}
