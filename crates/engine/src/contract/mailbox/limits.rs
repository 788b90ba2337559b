//! What is refused, and when there is room again.

use std::sync::mpsc::sync_channel;

use super::{Limits, MailboxAdapter};
use crate::{
    AppendError, Appended, Mailbox, MailboxRefusal, Purge,
    contract::blocking::{
        ack, append, from, given, listed, message, pending, purge, read, submit, try_append, user,
    },
};

fn no_mailbox() -> Result<Appended, AppendError> {
    let refusals = vec![MailboxRefusal::Full];
    Err(AppendError::NoMailbox { refusals })
}

pub fn a_full_mailbox_keeps_the_message_from_nobody_else<A: MailboxAdapter>() {
    let adapter = A::open(Limits {
        user_messages_max: 2,
        ..Limits::default()
    });
    let store = &*adapter.mailbox();
    append(store, "ann", b"a");
    append(store, "ann", b"b");
    let appended = try_append(store, &["bob", "ann", "eve"], b"c").expect("two have room");
    let full = Err(MailboxRefusal::Full);
    assert_eq!(given(&appended), [Ok(1), full, Ok(1)]);
    assert_eq!(pending(store, "bob"), listed(&[(1, "c")]));
    assert_eq!(pending(store, "ann"), listed(&[(1, "a"), (2, "b")]));
    assert_eq!(store.stats().refused, 0);
    // One place is left for two.
    ack(store, "ann", 1);
    let appended = try_append(store, &["ann", "bob", "ann"], b"d").expect("some have room");
    assert_eq!(given(&appended), [Ok(3), Ok(2), full]);
}

pub fn a_message_that_no_mailbox_takes_is_refused_until_an_ack<A: MailboxAdapter>() {
    let adapter = A::open(Limits {
        user_messages_max: 1,
        ..Limits::default()
    });
    let store = &*adapter.mailbox();
    try_append(store, &["ann", "bob"], b"a").expect("stored");
    let refusals = vec![MailboxRefusal::Full; 2];
    assert_eq!(
        try_append(store, &["bob", "ann"], b"b"),
        Err(AppendError::NoMailbox { refusals })
    );
    assert_eq!(store.stats().refused, 1);
    ack(store, "ann", 1);
    assert_eq!(append(store, "ann", b"b"), 2);
}

pub fn a_full_mailbox_is_full_by_bytes_as_well<A: MailboxAdapter>() {
    let adapter = A::open(Limits {
        user_bytes_max: 10,
        ..Limits::default()
    });
    let store = &*adapter.mailbox();
    append(store, "ann", b"123456");
    assert_eq!(try_append(store, &["ann"], b"12345"), no_mailbox());
    assert_eq!(append(store, "ann", b"1234"), 2);
}

pub fn an_empty_mailbox_takes_a_message_of_exactly_the_byte_limit<A: MailboxAdapter>() {
    let adapter = A::open(Limits {
        user_bytes_max: 10,
        ..Limits::default()
    });
    let store = &*adapter.mailbox();
    assert_eq!(append(store, "ann", b"0123456789"), 1);
    assert_eq!(try_append(store, &["bob"], b"0123456789a"), no_mailbox());
}

/// Submits as a limited sender and waits.
fn try_from(
    store: &dyn Mailbox,
    sender: &str,
    users: &[&str],
    payload: &[u8],
) -> Result<Appended, AppendError> {
    let result = submit(store, from(sender, users, payload)).recv();
    result.expect("completes")
}

pub fn a_sender_has_a_budget_over_all_mailboxes_that_a_restart_keeps<A: MailboxAdapter>() {
    let adapter = A::open(Limits {
        sender_messages_max: 4,
        sender_bytes_max: 20,
        ..Limits::default()
    });
    let store = &*adapter.mailbox();
    try_from(store, "eve", &["ann", "bob"], b"x").expect("stored");
    try_from(store, "eve", &["ann"], b"x").expect("stored");
    // All of a message or nothing of it: his budget is no recipient's trouble.
    let full = Err(AppendError::SenderFull);
    assert_eq!(try_from(store, "eve", &["ann", "bob"], b"x"), full);
    assert_eq!(try_from(store, "eve", &["ann"], &[b'x'; 18]), full);
    try_from(store, "bob", &["ann", "eve"], b"x").expect("others have budgets of their own");
    let mut trusted = from("eve", &["ann", "ann"], b"x");
    if let Some(sender) = &mut trusted.sender {
        sender.limited = false;
    }
    let stored = submit(store, trusted).recv().expect("completes");
    stored.expect("a trusted caller has no budget");
    assert_eq!(try_from(store, "eve", &["bob"], b"x"), full);
    let adapter = adapter.restart();
    let store = &*adapter.mailbox();
    assert_eq!(try_from(store, "eve", &["bob"], b"x"), full);
    ack(store, "ann", 1);
    assert_eq!(try_from(store, "eve", &["bob"], b"x"), full);
    ack(store, "ann", 2);
    try_from(store, "eve", &["bob"], b"x").expect("what has left makes room");
}

pub fn a_sender_fills_only_his_share_of_a_mailbox<A: MailboxAdapter>() {
    let adapter = A::open(Limits {
        user_messages_max: 400,
        user_bytes_max: 10_000,
        ..Limits::default()
    });
    let store = &*adapter.mailbox();
    // One by one, and queued together: more than are looked through, fewer, by bytes.
    for _ in 0..50 {
        try_from(store, "eve", &["ann"], b"x").expect("stored");
    }
    let rest: Vec<_> = (0..160)
        .map(|_| submit(store, from("eve", &["ann", "bob"], b"x")))
        .collect();
    let outcomes = rest.iter().map(|result| {
        result
            .recv()
            .expect("completes")
            .expect("bob has room")
            .outcomes
    });
    let taken = outcomes.filter(|outcomes| outcomes[0].is_ok()).count();
    assert_eq!(taken, 150);
    let share = |store: &dyn Mailbox, name: &str| {
        let refusals = vec![MailboxRefusal::SenderShare];
        let refused = Err(AppendError::NoMailbox { refusals });
        assert_eq!(try_from(store, "eve", &[name], b"x"), refused);
    };
    share(store, "ann");
    let adapter = adapter.restart();
    let store = &*adapter.mailbox();
    share(store, "ann");
    for _ in 0..200 {
        try_from(store, "bob", &["ann"], b"x").expect("half is left to others");
    }
    let refusals = vec![MailboxRefusal::Full];
    let full = Err(AppendError::NoMailbox { refusals });
    assert_eq!(try_from(store, "bob", &["ann"], b"x"), full);
    try_from(store, "eve", &["kim"], &[b'x'; 6000]).expect("the first one, whatever its size");
    share(store, "kim");
    ack(store, "kim", 1);
    try_from(store, "eve", &["kim"], b"x").expect("his share is free again");
}

pub fn a_purge_removes_what_it_names_and_says_how_many<A: MailboxAdapter>() {
    let adapter = A::open(Limits::default());
    let store = &*adapter.mailbox();
    let fill = || {
        for (sender, payload) in [("eve", "e1"), ("bob", "b1"), ("eve", "e2"), ("bob", "b2")] {
            try_from(store, sender, &["ann", "kim"], payload.as_bytes()).expect("stored");
        }
    };
    fill();
    let between = |recipient: &str, sender: &str| Purge::Between {
        recipient: user(recipient),
        sender: user(sender),
    };
    assert_eq!(purge(store, between("ann", "eve")), 2);
    assert_eq!(pending(store, "ann"), listed(&[(2, "b1"), (4, "b2")]));
    assert_eq!(pending(store, "kim").len(), 4);
    assert_eq!(purge(store, Purge::Sender(user("bob"))), 4);
    assert_eq!(pending(store, "ann"), []);
    assert_eq!(pending(store, "kim"), listed(&[(1, "e1"), (3, "e2")]));
    assert_eq!(purge(store, Purge::Recipient(user("kim"))), 2);
    for nothing in [
        Purge::Recipient(user("kim")),
        Purge::Sender(user("nobody")),
        between("nobody", "eve"),
    ] {
        assert_eq!(purge(store, nothing), 0);
    }
    let stats = store.stats();
    assert_eq!((stats.purged, stats.pending_messages), (8, 0));
    assert_eq!((stats.pending_bytes, stats.pending_users), (0, 0));
    fill();
    assert_eq!(purge(store, Purge::Sender(user("eve"))), 4);
    let adapter = adapter.restart();
    let store = &*adapter.mailbox();
    assert_eq!(pending(store, "kim"), listed(&[(6, "b1"), (8, "b2")]));
    assert_eq!(read(store, "kim", 0).gone_up_to, 5);
    assert_eq!(purge(store, Purge::Sender(user("bob"))), 4);
}

pub fn a_read_tells_the_last_offset_although_that_message_has_left<A: MailboxAdapter>() {
    let adapter = A::open(Limits::default());
    let store = &*adapter.mailbox();
    assert_eq!(read(store, "ann", 0).last_offset, 0);
    for sender in ["bob", "eve"] {
        try_from(store, sender, &["ann"], b"x").expect("stored");
    }
    assert_eq!(purge(store, Purge::Sender(user("eve"))), 1);
    let batch = read(store, "ann", 0);
    assert_eq!(
        (pending(store, "ann"), batch.last_offset),
        (listed(&[(1, "x")]), 2)
    );
    let adapter = adapter.restart();
    let store = &*adapter.mailbox();
    assert_eq!(read(store, "ann", 0).last_offset, 2);
    assert_eq!(append(store, "ann", b"y"), 3);
}

pub fn a_purge_sees_exactly_what_was_completed_before_it<A: MailboxAdapter>() {
    let adapter = A::open(Limits::default());
    let store = &*adapter.mailbox();
    let before = submit(store, message(&["ann"], b"before", None));
    let (sender, receiver) = sync_channel(1);
    let done = Box::new(move |result| drop(sender.send(result)));
    store
        .purge(Purge::Recipient(user("ann")), done)
        .expect("taken");
    let after = submit(store, message(&["ann"], b"after", None));
    for stored in [before, after] {
        stored.recv().expect("completes").expect("stored");
    }
    assert_eq!(receiver.recv().expect("completes").expect("purged"), 1);
    assert_eq!(pending(store, "ann"), listed(&[(2, "after")]));
}

pub fn a_full_store_shows_in_the_statistics_until_something_leaves<A: MailboxAdapter>() {
    let adapter = A::open(Limits {
        messages_max: 2,
        ..Limits::default()
    });
    let store = &*adapter.mailbox();
    try_append(store, &["ann", "bob"], b"x").expect("stored");
    assert!(!store.stats().store_full, "nobody has been refused yet");
    let refused = try_append(store, &["ann"], b"x");
    assert_eq!(refused, Err(AppendError::StoreFull));
    assert!(store.stats().store_full);
    ack(store, "ann", 1);
    read(store, "ann", 0);
    assert!(!store.stats().store_full);
}

pub fn a_full_store_refuses_and_an_ack_makes_room<A: MailboxAdapter>() {
    let adapter = A::open(Limits {
        messages_max: 3,
        bytes_max: 100,
        ..Limits::default()
    });
    let store = &*adapter.mailbox();
    append(store, "ann", &[b'x'; 60]);
    assert_eq!(
        try_append(store, &["bob"], &[b'x'; 41]),
        Err(AppendError::StoreFull)
    );
    append(store, "bob", b"1");
    append(store, "eve", b"2");
    assert_eq!(
        try_append(store, &["bob"], b"3"),
        Err(AppendError::StoreFull)
    );
    ack(store, "ann", 1);
    assert_eq!(append(store, "bob", &[b'x'; 60]), 2);
}
