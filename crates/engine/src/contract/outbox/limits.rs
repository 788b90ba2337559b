//! The promises of an outbox at its bounds.

use std::thread;

use super::{
    OutboxAdapter, advance, append, append_message, ask, event, letter, one_target, read, register,
};
use crate::{AppendError, OnFull, OutboxConfig, OutboxError, contract::blocking};

fn of_bytes(bytes_max: u64) -> OutboxConfig {
    OutboxConfig {
        bytes_max,
        ..OutboxConfig::default()
    }
}

pub fn a_full_outbox_drops_the_oldest_of_those_who_may_miss_some<A: OutboxAdapter>() {
    let adapter = A::open(of_bytes(10_000));
    let outbox = adapter.outbox();
    register(
        &*outbox,
        &[("quick", OnFull::Refuse), ("slow", OnFull::DropOldest)],
    );
    let body = "x".repeat(900);
    for at in 1..=100 {
        append(&*outbox, vec![event("x", &body)]).expect("stored");
        advance(&*outbox, "quick", at);
    }
    let batch = read(&*outbox, 0);
    assert!(
        (5..=11).contains(&batch.events.len()),
        "{}",
        batch.events.len()
    );
    let last = batch.events.last().expect("some");
    assert_eq!(
        (last.sequence, last.key_sequence),
        (100, 100),
        "the gap shows"
    );
    let dropped = 100 - batch.events.len() as u64;
    loop {
        let stats = outbox.outbox_stats();
        let slow = stats.targets.iter().find(|target| *target.name == *"slow");
        if slow.is_some_and(|slow| slow.dropped == dropped) {
            break;
        }
        thread::yield_now();
    }
}

pub fn a_full_outbox_refuses_for_a_target_that_may_miss_nothing<A: OutboxAdapter>() {
    let adapter = A::open(of_bytes(10_000));
    let (outbox, mailbox) = (adapter.outbox(), adapter.mailbox());
    register(&*outbox, &[("audit", OnFull::Refuse)]);
    let with_event = || {
        let mut message = blocking::message(&["u"], b"body", None);
        message.events = vec![event("x", &"x".repeat(900))];
        message
    };
    let taken = (0..100)
        .take_while(|_| append_message(&*mailbox, with_event()).is_ok())
        .count() as u64;
    assert!((5..=11).contains(&taken), "{taken}");
    let refused = append_message(&*mailbox, with_event());
    assert_eq!(refused, Err(AppendError::OutboxFull));
    // What nobody can refuse has some room beyond, and then is lost.
    let lifecycle = || append(&*outbox, vec![event("x", &"x".repeat(900))]);
    lifecycle().expect("an eighth beyond");
    assert_eq!(lifecycle(), Err(OutboxError::Full));
    assert_eq!(
        read(&*outbox, 0).events.len() as u64,
        taken + 1,
        "none is missing"
    );
    advance(&*outbox, "audit", taken + 1);
    append_message(&*mailbox, with_event()).expect("there is room again");
}

pub fn an_event_larger_than_the_outbox_is_taken_alone<A: OutboxAdapter>() {
    let adapter = A::open(of_bytes(1000));
    let outbox = adapter.outbox();
    register(&*outbox, &[("a", OnFull::Refuse)]);
    append(&*outbox, vec![event("x", &"x".repeat(5000))]).expect("stored");
    assert_eq!(
        append(&*outbox, vec![event("x", "y")]),
        Err(OutboxError::Full)
    );
    advance(&*outbox, "a", 1);
    append(&*outbox, vec![event("x", "y")]).expect("stored");
}

pub fn dead_letters_are_bounded_and_the_oldest_go<A: OutboxAdapter>() {
    let adapter = A::open(OutboxConfig {
        dead_letters_max: 3,
        ..OutboxConfig::default()
    });
    let outbox = adapter.outbox();
    one_target(&*outbox);
    append(&*outbox, vec![event("x", "1")]).expect("stored");
    let stored = read(&*outbox, 0).events.remove(0);
    for reason in ["1", "2", "3", "4", "5"] {
        let buried = letter(stored.clone(), reason);
        ask(|done| outbox.bury(buried, done)).expect("stored");
    }
    let letters = ask(|done| outbox.dead_letters(0, 10, done)).expect("works");
    let reasons: Vec<_> = letters
        .iter()
        .map(|letter| letter.reason.as_str())
        .collect();
    assert_eq!(reasons, ["3", "4", "5"]);
}

pub fn forgotten_keys_go_on_above_every_number_that_was_given<A: OutboxAdapter>() {
    let adapter = A::open(OutboxConfig {
        keys_max: 10,
        ..OutboxConfig::default()
    });
    let outbox = adapter.outbox();
    one_target(&*outbox);
    for _ in 0..5 {
        append(&*outbox, vec![event("early", "x")]).expect("stored");
    }
    for at in 0..200 {
        append(&*outbox, vec![event(&format!("other-{at}"), "x")]).expect("stored");
    }
    append(&*outbox, vec![event("early", "again")]).expect("stored");
    let batch = read(&*outbox, 205);
    let [again] = batch.events.as_slice() else {
        panic!("{batch:?}");
    };
    assert!(again.key_sequence > 5, "{again:?}");
}
