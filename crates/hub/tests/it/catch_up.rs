//! Every session gets every message of its user once and in order.

use crate::desk::Desk;

#[test]
fn a_message_to_a_live_session_arrives_in_full_form() {
    let desk = Desk::new();
    let (anna, mut bob) = (desk.online("1"), desk.online("2"));
    anna.send(&["2", "carl"], "hi");
    desk.mailbox.pump();
    let received = bob.receive();
    assert_eq!(received.len(), 1);
    let id = received[0]["id"].as_str().unwrap().to_owned();
    let expected = format!(
        r#"{{"data":null,"id":"{id}","recipients":[2,"carl"],"sender":1,"text":"hi","timestamp":"2018-11-27 19:53:30.000000+00:00","type":"text"}}"#
    );
    assert_eq!(received[0].to_string(), expected);
    // S-21: what is redelivered is reduced to the one recipient.
    let mut carl = desk.online("carl");
    let received = carl.receive();
    assert_eq!(
        received[0].to_string(),
        expected.replace(r#"[2,"carl"]"#, r#"["carl"]"#)
    );
}

#[test]
fn nothing_is_delivered_before_it_is_on_disk() {
    let desk = Desk::new();
    let (anna, mut bob) = (desk.online("1"), desk.online("2"));
    anna.send(&["2"], "hi");
    assert!(bob.texts().is_empty());
    desk.mailbox.pump();
    assert_eq!(bob.texts(), ["hi"]);
}

/// S-30, S-32.
#[test]
fn messages_for_an_absent_user_wait_in_order() {
    let desk = Desk::new();
    let anna = desk.online("1");
    for text in ["a", "b", "c"] {
        anna.send(&["2"], text);
    }
    desk.mailbox.pump();
    assert_eq!(desk.online("2").texts(), ["a", "b", "c"]);
}

#[test]
fn a_message_stored_between_looking_offline_and_connecting_arrives_once() {
    let desk = Desk::new();
    let anna = desk.online("1");
    anna.send(&["2"], "before");
    // The append is queued, then the first read; another append is queued behind it.
    let mut bob = desk.connect("2");
    anna.send(&["2"], "after");
    desk.mailbox.pump();
    assert_eq!(bob.texts(), ["before", "after"]);
}

#[test]
fn every_device_gets_every_message() {
    let desk = Desk::new();
    let (anna, mut phone, mut laptop) = (desk.online("1"), desk.online("2"), desk.online("2"));
    anna.send(&["2"], "hi");
    desk.mailbox.pump();
    assert_eq!(
        (phone.texts(), laptop.texts()),
        (vec!["hi".to_owned()], vec!["hi".to_owned()])
    );
}

#[test]
fn unconfirmed_messages_come_again_and_confirmed_ones_do_not() {
    let desk = Desk::new();
    let (anna, mut bob) = (desk.online("1"), desk.online("2"));
    for text in ["a", "b", "c"] {
        anna.send(&["2"], text);
    }
    desk.mailbox.pump();
    assert_eq!(bob.poll_once(1).len(), 1);
    let first = bob.session().mark();
    assert_eq!(bob.texts(), ["b", "c"]);
    bob.session().confirm(first);
    drop(bob);
    desk.mailbox.pump();
    let mut bob = desk.online("2");
    assert_eq!(bob.texts(), ["b", "c"]);
    bob.confirm();
    drop(bob);
    desk.mailbox.pump();
    assert!(desk.mailbox.pending("2").is_empty());
    assert!(desk.online("2").texts().is_empty());
    let totals = desk.hub.totals();
    assert_eq!(
        (totals.delivered, totals.caught_up, totals.confirmed),
        (5, 2, 3)
    );
}

#[test]
fn a_slow_consumer_falls_back_to_its_mailbox_and_loses_nothing() {
    let desk = Desk::with(|config| config.outbox_messages_max = 4);
    let (anna, mut bob) = (desk.online("1"), desk.online("2"));
    let sent: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    for text in &sent {
        anna.send(&["2"], text);
        desk.mailbox.pump();
    }
    let mut received = Vec::new();
    loop {
        let texts = bob.texts();
        assert!(texts.len() <= 4, "the outbox is bounded: {texts:?}");
        if texts.is_empty() && desk.mailbox.queued() == 0 {
            break;
        }
        received.extend(texts);
        bob.confirm();
        desk.mailbox.pump();
    }
    assert_eq!(received, sent);
    anna.send(&["2"], "live again");
    desk.mailbox.pump();
    let reads = desk.mailbox.reads();
    assert_eq!(bob.texts(), ["live again"]);
    assert_eq!(desk.mailbox.reads(), reads);
}

#[test]
fn a_message_larger_than_the_outbox_is_delivered_alone() {
    let desk = Desk::with(|config| config.outbox_bytes_max = 300);
    let (anna, mut bob) = (desk.online("1"), desk.online("2"));
    let large = "x".repeat(1000);
    for text in ["a", &large, &large, "b"] {
        anna.send(&["2"], text);
    }
    let mut received = Vec::new();
    for _ in 0..20 {
        desk.mailbox.pump();
        let texts = bob.texts();
        assert!(texts.len() < 2 || !texts.contains(&large), "{texts:?}");
        received.extend(texts);
    }
    assert_eq!(received, ["a", &large, &large, "b"]);
}

#[test]
fn a_device_overtaken_by_another_is_ended_with_1013() {
    let desk = Desk::with(|config| config.outbox_messages_max = 2);
    let (anna, mut slow, mut fast) = (desk.online("1"), desk.online("2"), desk.online("2"));
    for text in ["a", "b", "c", "d"] {
        anna.send(&["2"], text);
        desk.mailbox.pump();
        fast.receive();
        fast.confirm();
    }
    desk.mailbox.pump();
    assert_eq!(slow.texts(), ["a", "b"]);
    desk.mailbox.pump();
    assert!(slow.receive().is_empty());
    let end = slow.end.clone().unwrap();
    assert_eq!(end.code, 1013);
    assert!(end.reason.starts_with("slow consumer"), "{}", end.reason);
    assert_eq!(slow.submit(b"{}").unwrap_err().code, 4001);
    let payload = crate::desk::message(&slow.user(), &["1"], "x");
    assert_eq!(slow.submit(payload.as_bytes()).unwrap_err(), end);
    assert!(fast.end.is_none());
}

#[test]
fn what_was_delivered_before_is_the_start_of_a_new_session() {
    let desk = Desk::new();
    let (anna, mut bob) = (desk.online("1"), desk.online("2"));
    anna.send(&["2"], "a");
    desk.mailbox.pump();
    bob.receive();
    bob.confirm();
    drop(bob);
    desk.mailbox.pump();
    let mut bob = desk.online("2");
    anna.send(&["2"], "b");
    desk.mailbox.pump();
    assert_eq!(bob.texts(), ["b"]);
    assert!(bob.end.is_none());
}

#[test]
fn no_more_is_handed_out_than_may_be_in_flight() {
    let desk = Desk::with(|config| config.in_flight_messages_max = 2);
    let (anna, mut bob) = (desk.online("1"), desk.online("2"));
    for text in ["a", "b", "c"] {
        anna.send(&["2"], text);
    }
    desk.mailbox.pump();
    assert_eq!(bob.texts(), ["a", "b"]);
    let wakes = bob.wakes();
    bob.confirm();
    assert_eq!(bob.wakes(), wakes + 1);
    assert_eq!(bob.texts(), ["c"]);
}

#[test]
fn a_record_that_is_no_message_is_skipped() {
    let desk = Desk::new();
    desk.mailbox.plant("2", b"garbage");
    let anna = desk.online("1");
    anna.send(&["2"], "hi");
    desk.mailbox.pump();
    let mut bob = desk.online("2");
    assert_eq!(bob.texts(), ["hi"]);
    assert_eq!(desk.hub.totals().undecodable, 1);
    bob.confirm();
    desk.mailbox.pump();
    assert!(desk.mailbox.pending("2").is_empty());
}

#[test]
fn a_failed_read_and_a_reset_store_end_the_session() {
    let desk = Desk::new();
    let mut bob = desk.connect("2");
    desk.mailbox.fail_reads();
    desk.mailbox.pump();
    bob.receive();
    assert_eq!(bob.end.unwrap().code, 1011);

    let desk = Desk::new();
    let (anna, mut bob) = (desk.online("1"), desk.online("2"));
    desk.mailbox.set_epoch(8);
    anna.send(&["2"], "hi");
    desk.mailbox.pump();
    bob.receive();
    assert_eq!(bob.end.unwrap().code, 1013);
}

/// The new session's cursor begins where the mailbox does, even before its first message: the
/// outbox is full of copies when that one comes.
#[test]
fn a_session_that_falls_back_before_its_first_message_was_not_overtaken() {
    let desk = Desk::with(|config| {
        config.outbox_messages_max = 2;
        config.send_back = true;
    });
    let anna = desk.online("1");
    let mut bob = desk.online("2");
    anna.send(&["2"], "a");
    desk.mailbox.pump();
    bob.receive();
    bob.confirm();
    drop(bob);
    desk.mailbox.pump();
    let mut bob = desk.online("2");
    bob.send(&["3"], "copy 1");
    bob.send(&["3"], "copy 2");
    anna.send(&["2"], "b");
    desk.mailbox.pump();
    assert_eq!(bob.texts(), ["copy 1", "copy 2"]);
    desk.mailbox.pump();
    assert_eq!((bob.texts(), bob.end), (vec!["b".to_owned()], None));
}
