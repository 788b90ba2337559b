//! The promises of every [`Outbox`]: a function per promise, each on an outbox of its own.

mod limits; // at the bounds

use std::{
    sync::{Arc, mpsc::sync_channel},
    thread,
};

use bytes::Bytes;

use crate::{
    Append, AppendError, Appended, DeadLetter, EventBatch, EventKind, Mailbox, NewEvent, OnFull,
    OnOutbox, Outbox, OutboxConfig, OutboxError, SessionChange, StoredEvent, SubmitError,
    TargetCursor, TargetName, TargetRegistration, UserKey, contract::blocking,
};

pub use limits::*;

/// An outbox that can be opened, and opened again as after a crash or a stop, with the mailboxes whose appends bring events.
pub trait OutboxAdapter: Sized {
    /// Opens an empty one.
    fn open(config: OutboxConfig) -> Self;
    /// Stops it, and opens it again.
    #[must_use]
    fn reopen(self) -> Self;
    /// The outbox.
    fn outbox(&self) -> Arc<dyn Outbox>;
    /// The mailboxes.
    fn mailbox(&self) -> Arc<dyn Mailbox>;
}

/// Makes a module of tests, one per promise, for an [`OutboxAdapter`].
#[macro_export]
macro_rules! outbox_contract {
    ($module:ident, $adapter:ty) => {
        $crate::outbox_contract! { $module, $adapter:
            events_are_read_in_the_order_in_which_they_were_stored,
            the_numbers_of_a_key_rise_by_one_across_restarts,
            without_a_target_nothing_is_kept,
            an_event_stays_until_every_target_has_passed_it,
            a_cursor_survives_a_restart_and_a_new_target_begins_at_the_end,
            a_target_that_is_gone_holds_nothing,
            the_events_of_an_append_are_there_when_and_only_when_the_message_is,
            a_full_outbox_drops_the_oldest_of_those_who_may_miss_some,
            a_full_outbox_refuses_for_a_target_that_may_miss_nothing,
            an_event_larger_than_the_outbox_is_taken_alone,
            a_session_that_was_open_in_a_crash_is_lost_and_one_that_ended_is_not,
            a_dead_letter_stays_until_it_is_removed,
            dead_letters_are_bounded_and_the_oldest_go,
            a_message_that_expires_is_told_with_its_body,
            forgotten_keys_go_on_above_every_number_that_was_given,
            who_waits_for_events_is_told_after_they_are_stored,
        }
    };
    ($module:ident, $adapter:ty: $($promise:ident),* $(,)?) => {
        mod $module {
            $(#[test]
            fn $promise() {
                $crate::contract::outbox::$promise::<$adapter>();
            })*
        }
    };
}

fn ask<T: Send + 'static>(
    submit: impl FnOnce(OnOutbox<T>) -> Result<(), SubmitError>,
) -> Result<T, OutboxError> {
    let (sender, receiver) = sync_channel(1);
    submit(Box::new(move |answer| drop(sender.send(answer)))).expect("taken");
    receiver.recv().expect("every command is answered")
}

fn append_message(store: &dyn Mailbox, message: Append) -> Result<Appended, AppendError> {
    let answer = blocking::submit(store, message);
    answer.recv().expect("the append completes")
}

fn event(key: &str, body: &str) -> NewEvent {
    NewEvent {
        kind: EventKind::Message,
        key: UserKey::from(key),
        time_ms: 7,
        body: Bytes::copy_from_slice(body.as_bytes()),
        session: None,
    }
}

fn append(outbox: &dyn Outbox, events: Vec<NewEvent>) -> Result<(), OutboxError> {
    ask(|done| outbox.append_events(events, done))
}

fn read(outbox: &dyn Outbox, after: u64) -> EventBatch {
    ask(|done| outbox.read_events(after, 1000, 1 << 20, done)).expect("the outbox works")
}

fn bodies(batch: &EventBatch) -> Vec<&str> {
    batch
        .events
        .iter()
        .map(|event| str::from_utf8(&event.body).expect("text"))
        .collect()
}

fn register(outbox: &dyn Outbox, names: &[(&str, OnFull)]) -> Vec<TargetCursor> {
    let targets = names
        .iter()
        .map(|(name, on_full)| TargetRegistration {
            name: TargetName::from(*name),
            on_full: *on_full,
        })
        .collect();
    ask(|done| outbox.register_targets(targets, done)).expect("the outbox works")
}

fn one_target(outbox: &dyn Outbox) {
    register(outbox, &[("a", OnFull::DropOldest)]);
}

fn advance(outbox: &dyn Outbox, name: &str, up_to: u64) {
    outbox
        .advance(&TargetName::from(name), up_to)
        .expect("taken");
}

pub fn events_are_read_in_the_order_in_which_they_were_stored<A: OutboxAdapter>() {
    let adapter = A::open(OutboxConfig::default());
    let outbox = adapter.outbox();
    one_target(&*outbox);
    append(&*outbox, vec![event("x", "1"), event("y", "2")]).expect("stored");
    append(&*outbox, vec![event("x", "3")]).expect("stored");
    let batch = read(&*outbox, 0);
    assert_eq!(bodies(&batch), ["1", "2", "3"]);
    assert!(!batch.more);
    let numbers: Vec<_> = batch.events.iter().map(|event| event.sequence).collect();
    assert_eq!(numbers, [1, 2, 3]);
    let first: EventBatch = ask(|done| outbox.read_events(0, 1, 1, done)).expect("works");
    assert_eq!(
        (bodies(&first), first.more, first.read_up_to),
        (vec!["1"], true, 1)
    );
    assert_eq!(bodies(&read(&*outbox, 2)), ["3"]);
}

pub fn the_numbers_of_a_key_rise_by_one_across_restarts<A: OutboxAdapter>() {
    let adapter = A::open(OutboxConfig::default());
    one_target(&*adapter.outbox());
    let events = vec![event("x", "1"), event("y", "1"), event("x", "2")];
    append(&*adapter.outbox(), events).expect("stored");
    advance(&*adapter.outbox(), "a", 3);
    let adapter = adapter.reopen();
    let outbox = adapter.outbox();
    one_target(&*outbox);
    append(&*outbox, vec![event("x", "3")]).expect("stored");
    append(&*outbox, vec![event("y", "2"), event("x", "4")]).expect("stored");
    for event in read(&*outbox, 3).events {
        assert_eq!(event.body, event.key_sequence.to_string().as_bytes());
    }
}

pub fn without_a_target_nothing_is_kept<A: OutboxAdapter>() {
    let adapter = A::open(OutboxConfig::default());
    let outbox = adapter.outbox();
    append(&*outbox, vec![event("x", "1")]).expect("done");
    assert!(read(&*outbox, 0).events.is_empty());
    one_target(&*outbox);
    assert!(read(&*outbox, 0).events.is_empty());
}

pub fn an_event_stays_until_every_target_has_passed_it<A: OutboxAdapter>() {
    let adapter = A::open(OutboxConfig::default());
    let outbox = adapter.outbox();
    register(
        &*outbox,
        &[("a", OnFull::DropOldest), ("b", OnFull::DropOldest)],
    );
    append(&*outbox, vec![event("x", "1"), event("x", "2")]).expect("stored");
    advance(&*outbox, "a", 2);
    assert_eq!(bodies(&read(&*outbox, 0)), ["1", "2"]);
    advance(&*outbox, "b", 1);
    assert_eq!(bodies(&read(&*outbox, 0)), ["2"]);
    advance(&*outbox, "b", 1000);
    assert!(read(&*outbox, 0).events.is_empty());
    append(&*outbox, vec![event("x", "3")]).expect("stored");
    assert_eq!(
        bodies(&read(&*outbox, 0)),
        ["3"],
        "no cursor is beyond what there is"
    );
}

pub fn a_cursor_survives_a_restart_and_a_new_target_begins_at_the_end<A: OutboxAdapter>() {
    let adapter = A::open(OutboxConfig::default());
    one_target(&*adapter.outbox());
    append(&*adapter.outbox(), vec![event("x", "1"), event("x", "2")]).expect("stored");
    advance(&*adapter.outbox(), "a", 1);
    // Behind it, so that it is on the disk.
    append(&*adapter.outbox(), vec![event("x", "3")]).expect("stored");
    let adapter = adapter.reopen();
    let outbox = adapter.outbox();
    let cursors = register(
        &*outbox,
        &[("a", OnFull::DropOldest), ("new", OnFull::DropOldest)],
    );
    let cursors: Vec<_> = cursors.iter().map(|known| known.cursor).collect();
    assert_eq!(cursors, [1, 3]);
    assert_eq!(bodies(&read(&*outbox, 1)), ["2", "3"]);
}

pub fn a_target_that_is_gone_holds_nothing<A: OutboxAdapter>() {
    let adapter = A::open(OutboxConfig::default());
    register(
        &*adapter.outbox(),
        &[("a", OnFull::DropOldest), ("b", OnFull::DropOldest)],
    );
    append(&*adapter.outbox(), vec![event("x", "1"), event("x", "2")]).expect("stored");
    advance(&*adapter.outbox(), "a", 1);
    append(&*adapter.outbox(), vec![event("x", "3")]).expect("stored");
    let adapter = adapter.reopen();
    let outbox = adapter.outbox();
    one_target(&*outbox);
    assert_eq!(bodies(&read(&*outbox, 0)), ["2", "3"]);
}

pub fn the_events_of_an_append_are_there_when_and_only_when_the_message_is<A: OutboxAdapter>() {
    let adapter = A::open(OutboxConfig::default());
    let (outbox, mailbox) = (adapter.outbox(), adapter.mailbox());
    one_target(&*outbox);
    let with_event = |body: &str, ttl: Option<u64>| {
        let mut message = blocking::message(&["u"], body.as_bytes(), ttl);
        message.events = vec![event("x", body)];
        message
    };
    append_message(&*mailbox, with_event("1", None)).expect("stored");
    // A body that is larger than any mailbox may be.
    let too_large = "x".repeat(2 << 20);
    let refused = append_message(&*mailbox, with_event(&too_large, None));
    assert!(
        matches!(refused, Err(AppendError::NoMailbox { .. })),
        "{refused:?}"
    );
    assert_eq!(bodies(&read(&*outbox, 0)), ["1"]);
    drop((outbox, mailbox));
    let adapter = adapter.reopen();
    assert_eq!(bodies(&read(&*adapter.outbox(), 0)), ["1"]);
}

pub fn a_session_that_was_open_in_a_crash_is_lost_and_one_that_ended_is_not<A: OutboxAdapter>() {
    let adapter = A::open(OutboxConfig::default());
    one_target(&*adapter.outbox());
    let session = |number, body: &str, change: fn(u64) -> SessionChange| NewEvent {
        kind: EventKind::Connected,
        session: Some(change(number)),
        ..event("u", body)
    };
    append(
        &*adapter.outbox(),
        vec![
            session(1, "one", SessionChange::Began),
            session(2, "two", SessionChange::Began),
            session(1, "one ends", SessionChange::Ended),
        ],
    )
    .expect("stored");
    let adapter = adapter.reopen();
    one_target(&*adapter.outbox());
    let batch = read(&*adapter.outbox(), 3);
    assert_eq!(bodies(&batch), ["two"]);
    let kinds: Vec<_> = batch.events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Lost]);
    // Once only.
    let adapter = adapter.reopen();
    one_target(&*adapter.outbox());
    assert_eq!(read(&*adapter.outbox(), 3).events.len(), 1);
}

fn letter(event: StoredEvent, reason: &str) -> DeadLetter {
    DeadLetter {
        id: 0,
        target: TargetName::from("a"),
        epoch: 5,
        event,
        reason: reason.to_owned(),
        attempts: 3,
        died_ms: 11,
    }
}

pub fn a_dead_letter_stays_until_it_is_removed<A: OutboxAdapter>() {
    let adapter = A::open(OutboxConfig::default());
    one_target(&*adapter.outbox());
    append(&*adapter.outbox(), vec![event("x", "1")]).expect("stored");
    let stored = read(&*adapter.outbox(), 0).events.remove(0);
    let buried = letter(stored.clone(), "why");
    ask(|done| adapter.outbox().bury(buried, done)).expect("stored");
    advance(&*adapter.outbox(), "a", 1);
    let adapter = adapter.reopen();
    let outbox = adapter.outbox();
    let letters = ask(|done| outbox.dead_letters(0, 10, done)).expect("works");
    let [found] = letters.as_slice() else {
        panic!("{letters:?}");
    };
    assert_eq!(
        found,
        &DeadLetter {
            id: found.id,
            ..letter(stored, "why")
        }
    );
    assert!(found.id > 0);
    let removed = ask(|done| outbox.remove_dead_letters(vec![found.id, 999], done));
    assert_eq!(removed, Ok(1));
    let letters = ask(|done| outbox.dead_letters(0, 10, done)).expect("works");
    assert!(letters.is_empty());
}

pub fn a_message_that_expires_is_told_with_its_body<A: OutboxAdapter>() {
    let adapter = A::open(OutboxConfig {
        expired: true,
        ..OutboxConfig::default()
    });
    let (outbox, mailbox) = (adapter.outbox(), adapter.mailbox());
    one_target(&*outbox);
    let short = blocking::message(&["u", "v"], b"short", Some(1));
    append_message(&*mailbox, short).expect("stored");
    let long = blocking::message(&["u"], b"long", None);
    append_message(&*mailbox, long).expect("stored");
    let batch = loop {
        let batch = read(&*outbox, 0);
        if batch.events.len() == 2 {
            break batch;
        }
        thread::yield_now();
    };
    assert_eq!(bodies(&batch), ["short", "short"]);
    let mut keys: Vec<_> = batch.events.iter().map(|event| &*event.key).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["u", "v"]);
    assert!(
        batch
            .events
            .iter()
            .all(|event| event.kind == EventKind::Expired)
    );
    drop((outbox, mailbox));
    let adapter = adapter.reopen();
    one_target(&*adapter.outbox());
    assert_eq!(read(&*adapter.outbox(), 0).events.len(), 2, "told once");
}

pub fn who_waits_for_events_is_told_after_they_are_stored<A: OutboxAdapter>() {
    let adapter = A::open(OutboxConfig::default());
    let outbox = adapter.outbox();
    one_target(&*outbox);
    let (sender, receiver) = sync_channel(16);
    outbox.on_new_events(Arc::new(move || {
        // Full means that it is told already.
        sender.try_send(()).unwrap_or_default();
    }));
    append(&*outbox, vec![event("x", "1")]).expect("stored");
    receiver.recv().expect("told");
    assert_eq!(bodies(&read(&*outbox, 0)), ["1"]);
}
