//! What is stored, read and acknowledged.

use super::{Limits, MailboxAdapter};
use crate::contract::blocking::{
    ack, append, listed, offsets, pending, read, shown, try_append, try_read,
};

pub fn messages_are_read_back_in_order_with_offsets_from_one<A: MailboxAdapter>() {
    let adapter = A::open(Limits::default());
    let store = &*adapter.mailbox();
    for payload in ["a", "", "c"] {
        append(store, "ann", payload.as_bytes());
    }
    assert_eq!(
        pending(store, "ann"),
        listed(&[(1, "a"), (2, ""), (3, "c")])
    );
    assert_eq!(shown(&read(store, "ann", 1)), listed(&[(2, ""), (3, "c")]));
    assert_eq!(shown(&read(store, "ann", 3)), []);
}

pub fn a_message_for_several_users_reaches_every_mailbox<A: MailboxAdapter>() {
    let adapter = A::open(Limits::default());
    let store = &*adapter.mailbox();
    append(store, "bob", b"first");
    let appended = try_append(store, &["ann", "bob"], b"both").expect("stored");
    assert_eq!(offsets(&appended), [1, 2]);
    assert_eq!(pending(store, "ann"), listed(&[(1, "both")]));
    assert_eq!(pending(store, "bob"), listed(&[(1, "first"), (2, "both")]));
    assert_eq!(read(store, "ann", 0).epoch, appended.epoch);
}

pub fn a_user_named_twice_gets_the_message_twice<A: MailboxAdapter>() {
    let adapter = A::open(Limits::default());
    let store = &*adapter.mailbox();
    let appended = try_append(store, &["ann", "bob", "ann"], b"x").expect("stored");
    assert_eq!(offsets(&appended), [1, 1, 2]);
    assert_eq!(pending(store, "ann"), listed(&[(1, "x"), (2, "x")]));
}

pub fn an_empty_mailbox_reads_as_nothing_gone_and_nothing_more<A: MailboxAdapter>() {
    let adapter = A::open(Limits::default());
    let batch = read(&*adapter.mailbox(), "nobody", 0);
    assert_eq!(
        (batch.messages, batch.gone_up_to, batch.more),
        (Vec::new(), 0, false)
    );
}

pub fn a_read_respects_both_bounds_and_says_whether_there_is_more<A: MailboxAdapter>() {
    let adapter = A::open(Limits::default());
    let store = &*adapter.mailbox();
    for _ in 0..5 {
        append(store, "ann", b"0123456789");
    }
    let sizes = |after, messages_max, bytes_max| {
        let batch = try_read(store, "ann", after, messages_max, bytes_max).expect("read");
        (batch.messages.len(), batch.more)
    };
    assert_eq!(sizes(0, 4, usize::MAX), (4, true));
    assert_eq!(sizes(0, 5, usize::MAX), (5, false));
    assert_eq!(sizes(0, usize::MAX, 30), (3, true));
    assert_eq!(sizes(0, usize::MAX, 50), (5, false));
    assert_eq!(sizes(4, 1, 10), (1, false));
    assert_eq!(sizes(9, 1, 10), (0, false));
}

pub fn a_read_returns_one_message_however_small_its_byte_bound<A: MailboxAdapter>() {
    let adapter = A::open(Limits::default());
    let store = &*adapter.mailbox();
    append(store, "ann", b"long");
    append(store, "ann", b"next");
    let batch = try_read(store, "ann", 0, 10, 0).expect("read");
    assert_eq!((shown(&batch), batch.more), (listed(&[(1, "long")]), true));
}

pub fn an_ack_is_cumulative_and_moves_gone_up_to<A: MailboxAdapter>() {
    let adapter = A::open(Limits::default());
    let store = &*adapter.mailbox();
    for payload in ["a", "b", "c", "d"] {
        append(store, "ann", payload.as_bytes());
    }
    ack(store, "ann", 2);
    ack(store, "ann", 1);
    let batch = read(store, "ann", 0);
    assert_eq!(
        (shown(&batch), batch.gone_up_to),
        (listed(&[(3, "c"), (4, "d")]), 2)
    );
    ack(store, "ann", 4);
    let batch = read(store, "ann", 0);
    assert_eq!(
        (batch.messages, batch.gone_up_to, batch.more),
        (Vec::new(), 4, false)
    );
    ack(store, "nobody", 7);
    assert_eq!(append(store, "ann", b"e"), 5);
    assert_eq!(pending(store, "ann"), listed(&[(5, "e")]));
}

pub fn an_ack_of_offsets_not_given_out_removes_only_what_there_is<A: MailboxAdapter>() {
    let adapter = A::open(Limits::default());
    let store = &*adapter.mailbox();
    append(store, "ann", b"a");
    ack(store, "ann", u64::MAX);
    assert_eq!(pending(store, "ann"), []);
    assert_eq!(append(store, "ann", b"b"), 2);
    assert_eq!(pending(store, "ann"), listed(&[(2, "b")]));
}

pub fn an_ack_takes_effect_before_a_later_read<A: MailboxAdapter>() {
    let adapter = A::open(Limits::default());
    let store = &*adapter.mailbox();
    for offset in 1..=50 {
        append(store, "ann", b"x");
        ack(store, "ann", offset);
        let batch = read(store, "ann", 0);
        assert_eq!((batch.messages.len(), batch.gone_up_to), (0, offset));
    }
}

pub fn an_append_tells_which_offset_was_given_before_it<A: MailboxAdapter>() {
    let adapter = A::open(Limits::default());
    let store = &*adapter.mailbox();
    let place = |users: &[&str]| -> Vec<(u64, Option<u64>)> {
        let appended = try_append(store, users, b"x").expect("stored");
        let placed = appended.outcomes.iter().map(|outcome| {
            let placed = outcome.expect("there is room");
            (placed.offset, placed.previous)
        });
        placed.collect()
    };
    assert_eq!(place(&["ann"]), [(1, Some(0))]);
    assert_eq!(
        place(&["ann", "bob", "ann"]),
        [(2, Some(1)), (1, Some(0)), (3, Some(2))]
    );
    let adapter = adapter.restart();
    let store = &*adapter.mailbox();
    let appended = try_append(store, &["ann"], b"x").expect("stored");
    let placed = appended.outcomes[0].expect("there is room");
    assert_eq!((placed.offset, placed.previous), (4, Some(3)));
    ack(store, "ann", 4);
    let next = try_append(store, &["ann"], b"x").expect("stored").outcomes[0];
    let next = next.expect("there is room");
    assert!(next.offset > 4 && next.previous.is_none_or(|previous| previous == 4));
}
