//! The contract of [`Mailbox`], for every adapter: implement [`Adapter`] and add one line with
//! [`contract_suite!`].

use std::{
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use tidewire_engine::{
    AppendError, Appended, Batch, Mailbox, MailboxRefusal, Purge, SubmitError, UserKey,
};

use crate::blocking::{
    ack, append, from, listed, message, offsets, pending, purge, read, shown, submit, try_append,
    try_read, user,
};

/// A store that can be opened, stopped and opened again with what it kept.
pub(crate) trait Adapter: Sized {
    fn open(limits: Limits) -> Self;
    fn mailbox(&self) -> Arc<dyn Mailbox>;
    /// Stops the store and opens it again.
    fn restart(self) -> Self;
}

#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_field_names, reason = "named as in the configuration")]
pub(crate) struct Limits {
    pub(crate) user_messages_max: u64,
    pub(crate) user_bytes_max: u64,
    pub(crate) messages_max: u64,
    pub(crate) bytes_max: u64,
    pub(crate) sender_messages_max: u64,
    pub(crate) sender_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            user_messages_max: 1000,
            user_bytes_max: 1 << 20,
            messages_max: 100_000,
            bytes_max: 1 << 30,
            sender_messages_max: 100_000,
            sender_bytes_max: 1 << 30,
        }
    }
}

/// Makes a module of tests, one per promise, for an adapter.
macro_rules! contract_suite {
    ($module:ident, $adapter:ty: $($promise:ident),* $(,)?) => {
        mod $module {
            $(#[test]
            fn $promise() {
                super::$promise::<$adapter>();
            })*
        }
    };
    ($module:ident, $adapter:ty) => {
        contract_suite! { $module, $adapter:
            messages_are_read_back_in_order_with_offsets_from_one,
            a_message_for_several_users_reaches_every_mailbox,
            a_user_named_twice_gets_the_message_twice,
            an_empty_mailbox_reads_as_nothing_gone_and_nothing_more,
            a_read_respects_both_bounds_and_says_whether_there_is_more,
            a_read_returns_one_message_however_small_its_byte_bound,
            an_ack_is_cumulative_and_moves_gone_up_to,
            an_ack_of_offsets_not_given_out_removes_only_what_there_is,
            an_ack_takes_effect_before_a_later_read,
            a_full_mailbox_keeps_the_message_from_nobody_else,
            a_message_that_no_mailbox_takes_is_refused_until_an_ack,
            a_sender_has_a_budget_over_all_mailboxes_that_a_restart_keeps,
            a_sender_fills_only_his_share_of_a_mailbox,
            a_purge_removes_what_it_names_and_says_how_many,
            a_purge_sees_exactly_what_was_completed_before_it,
            a_full_store_shows_in_the_statistics_until_something_leaves,
            a_full_mailbox_is_full_by_bytes_as_well,
            an_empty_mailbox_takes_a_message_of_exactly_the_byte_limit,
            a_full_store_refuses_and_an_ack_makes_room,
            appends_queued_together_see_each_others_reservations,
            a_restart_keeps_everything_in_order_and_the_epoch,
            offsets_continue_after_an_emptied_mailbox_and_a_restart,
            an_ack_survives_a_restart,
            stop_completes_what_was_taken_and_closes,
            a_completion_may_submit_further_commands,
            a_completion_may_stop_the_store,
            completions_of_one_user_come_in_the_order_of_submission,
            a_read_sees_exactly_what_was_completed_before_it,
            what_was_appended_is_acked_or_pending,
        }
    };
}

contract_suite!(sqlite, crate::sqlite::Sqlite);

fn messages_are_read_back_in_order_with_offsets_from_one<A: Adapter>() {
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

fn a_message_for_several_users_reaches_every_mailbox<A: Adapter>() {
    let adapter = A::open(Limits::default());
    let store = &*adapter.mailbox();
    append(store, "bob", b"first");
    let appended = try_append(store, &["ann", "bob"], b"both").expect("stored");
    assert_eq!(offsets(&appended), [1, 2]);
    assert_eq!(pending(store, "ann"), listed(&[(1, "both")]));
    assert_eq!(pending(store, "bob"), listed(&[(1, "first"), (2, "both")]));
    assert_eq!(read(store, "ann", 0).epoch, appended.epoch);
}

fn a_user_named_twice_gets_the_message_twice<A: Adapter>() {
    let adapter = A::open(Limits::default());
    let store = &*adapter.mailbox();
    let appended = try_append(store, &["ann", "bob", "ann"], b"x").expect("stored");
    assert_eq!(offsets(&appended), [1, 1, 2]);
    assert_eq!(pending(store, "ann"), listed(&[(1, "x"), (2, "x")]));
}

fn an_empty_mailbox_reads_as_nothing_gone_and_nothing_more<A: Adapter>() {
    let adapter = A::open(Limits::default());
    let batch = read(&*adapter.mailbox(), "nobody", 0);
    assert_eq!(
        (batch.messages, batch.gone_up_to, batch.more),
        (Vec::new(), 0, false)
    );
}

fn a_read_respects_both_bounds_and_says_whether_there_is_more<A: Adapter>() {
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

fn a_read_returns_one_message_however_small_its_byte_bound<A: Adapter>() {
    let adapter = A::open(Limits::default());
    let store = &*adapter.mailbox();
    append(store, "ann", b"long");
    append(store, "ann", b"next");
    let batch = try_read(store, "ann", 0, 10, 0).expect("read");
    assert_eq!((shown(&batch), batch.more), (listed(&[(1, "long")]), true));
}

fn an_ack_is_cumulative_and_moves_gone_up_to<A: Adapter>() {
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

fn an_ack_of_offsets_not_given_out_removes_only_what_there_is<A: Adapter>() {
    let adapter = A::open(Limits::default());
    let store = &*adapter.mailbox();
    append(store, "ann", b"a");
    ack(store, "ann", u64::MAX);
    assert_eq!(pending(store, "ann"), []);
    assert_eq!(append(store, "ann", b"b"), 2);
    assert_eq!(pending(store, "ann"), listed(&[(2, "b")]));
}

fn an_ack_takes_effect_before_a_later_read<A: Adapter>() {
    let adapter = A::open(Limits::default());
    let store = &*adapter.mailbox();
    for offset in 1..=50 {
        append(store, "ann", b"x");
        ack(store, "ann", offset);
        let batch = read(store, "ann", 0);
        assert_eq!((batch.messages.len(), batch.gone_up_to), (0, offset));
    }
}

fn no_mailbox() -> Result<Appended, AppendError> {
    let refusals = vec![MailboxRefusal::Full];
    Err(AppendError::NoMailbox { refusals })
}

fn a_full_mailbox_keeps_the_message_from_nobody_else<A: Adapter>() {
    let adapter = A::open(Limits {
        user_messages_max: 2,
        ..Limits::default()
    });
    let store = &*adapter.mailbox();
    append(store, "ann", b"a");
    append(store, "ann", b"b");
    let appended = try_append(store, &["bob", "ann", "eve"], b"c").expect("two have room");
    let full = Err(MailboxRefusal::Full);
    assert_eq!(appended.outcomes, [Ok(1), full, Ok(1)]);
    assert_eq!(pending(store, "bob"), listed(&[(1, "c")]));
    assert_eq!(pending(store, "ann"), listed(&[(1, "a"), (2, "b")]));
    assert_eq!(store.stats().refused, 0);
    // One place is left for two.
    ack(store, "ann", 1);
    let appended = try_append(store, &["ann", "bob", "ann"], b"d").expect("some have room");
    assert_eq!(appended.outcomes, [Ok(3), Ok(2), full]);
}

fn a_message_that_no_mailbox_takes_is_refused_until_an_ack<A: Adapter>() {
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

fn a_full_mailbox_is_full_by_bytes_as_well<A: Adapter>() {
    let adapter = A::open(Limits {
        user_bytes_max: 10,
        ..Limits::default()
    });
    let store = &*adapter.mailbox();
    append(store, "ann", b"123456");
    assert_eq!(try_append(store, &["ann"], b"12345"), no_mailbox());
    assert_eq!(append(store, "ann", b"1234"), 2);
}

fn an_empty_mailbox_takes_a_message_of_exactly_the_byte_limit<A: Adapter>() {
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

fn a_sender_has_a_budget_over_all_mailboxes_that_a_restart_keeps<A: Adapter>() {
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

fn a_sender_fills_only_his_share_of_a_mailbox<A: Adapter>() {
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

fn a_purge_removes_what_it_names_and_says_how_many<A: Adapter>() {
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

fn a_purge_sees_exactly_what_was_completed_before_it<A: Adapter>() {
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

fn a_full_store_shows_in_the_statistics_until_something_leaves<A: Adapter>() {
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

fn a_full_store_refuses_and_an_ack_makes_room<A: Adapter>() {
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

fn appends_queued_together_see_each_others_reservations<A: Adapter>() {
    let adapter = A::open(Limits {
        user_messages_max: 10,
        ..Limits::default()
    });
    let store = &*adapter.mailbox();
    let results: Vec<_> = (0..25)
        .map(|_| submit(store, message(&["ann"], b"x", None)))
        .collect();
    let stored = results
        .iter()
        .filter(|result| result.recv().expect("completes").is_ok());
    assert_eq!(stored.count(), 10);
    assert_eq!(store.stats().pending_messages, 10);
}

fn a_restart_keeps_everything_in_order_and_the_epoch<A: Adapter>() {
    let adapter = A::open(Limits::default());
    for number in 0..100_u32 {
        append(
            &*adapter.mailbox(),
            ["ann", "bob"][number as usize % 2],
            &number.to_be_bytes(),
        );
    }
    let before = [
        read(&*adapter.mailbox(), "ann", 0),
        read(&*adapter.mailbox(), "bob", 0),
    ];
    let adapter = adapter.restart();
    let after = [
        read(&*adapter.mailbox(), "ann", 0),
        read(&*adapter.mailbox(), "bob", 0),
    ];
    assert_eq!(before, after);
    assert_eq!(append(&*adapter.mailbox(), "ann", b"next"), 51);
}

/// Also with others in between, and for those who never had anything: a reader may know an
/// offset from any time of the epoch.
fn offsets_continue_after_an_emptied_mailbox_and_a_restart<A: Adapter>() {
    let mut adapter = A::open(Limits::default());
    let names = ["ann", "bob", "eve"];
    let epoch = read(&*adapter.mailbox(), "ann", 0).epoch;
    let mut given = [0; 3];
    for round in 0..12 {
        let store = adapter.mailbox();
        let at = [0, 1, 1, 2, 1, 0][round % 6];
        let offset = append(&*store, names[at], b"x");
        assert!(
            offset > given[at],
            "{offset} after {} in round {round}",
            given[at]
        );
        given[at] = offset;
        let next = append(&*store, names[at], b"x");
        assert_eq!(next, offset + 1, "no gap while something waits");
        given[at] = next;
        ack(&*store, names[at], next);
        drop(store);
        adapter = adapter.restart();
        for (name, given) in names.iter().zip(given) {
            let batch = read(&*adapter.mailbox(), name, 0);
            assert!(batch.gone_up_to >= given && batch.messages.is_empty());
            assert_eq!(batch.epoch, epoch);
        }
    }
}

fn an_ack_survives_a_restart<A: Adapter>() {
    let adapter = A::open(Limits::default());
    for _ in 0..5 {
        append(&*adapter.mailbox(), "ann", b"x");
    }
    ack(&*adapter.mailbox(), "ann", 3);
    let adapter = adapter.restart();
    let batch = read(&*adapter.mailbox(), "ann", 0);
    assert_eq!((batch.messages.len(), batch.gone_up_to), (2, 3));
}

fn stop_completes_what_was_taken_and_closes<A: Adapter>() {
    let adapter = A::open(Limits::default());
    let store = &*adapter.mailbox();
    let results: Vec<_> = (0..100)
        .map(|_| submit(store, message(&["ann"], b"x", None)))
        .collect();
    store.stop();
    for (at, result) in (1..).zip(results) {
        let appended = result
            .try_recv()
            .expect("completed before stop returned")
            .expect("stored");
        assert_eq!(offsets(&appended), [at]);
    }
    let none = || Box::new(|_| panic!("a refused command is never completed"));
    let closed = Err(SubmitError::Closed);
    assert_eq!(store.append(message(&["ann"], b"x", None), none()), closed);
    let none = Box::new(|_| panic!("a refused command is never completed"));
    assert_eq!(store.read(user("ann"), 0, 1, 1, none), closed);
    assert_eq!(store.ack(&user("ann"), 1), closed);
    store.stop();
}

fn a_completion_may_submit_further_commands<A: Adapter>() {
    let adapter = A::open(Limits::default());
    let store = adapter.mailbox();
    let (sender, receiver) = sync_channel(1);
    let inner = Arc::clone(&store);
    let done = Box::new(move |result: Result<Appended, AppendError>| {
        let up_to = offsets(&result.expect("stored"))[0];
        let done = Box::new(move |result| drop(sender.send(result)));
        inner.read(user("ann"), 0, 10, 100, done).expect("taken");
        inner.ack(&user("ann"), up_to).expect("taken");
    });
    store
        .append(message(&["ann"], b"x", None), done)
        .expect("taken");
    let batch = receiver.recv().expect("completes").expect("read");
    assert!(!batch.more);
    assert_eq!(pending(&*store, "ann"), []);
}

fn a_completion_may_stop_the_store<A: Adapter>() {
    let adapter = A::open(Limits::default());
    let store = adapter.mailbox();
    let (sender, receiver) = sync_channel(1);
    let inner = Arc::clone(&store);
    let done = Box::new(move |_| {
        inner.stop();
        sender.send(()).expect("the test waits");
    });
    store
        .append(message(&["ann"], b"x", None), done)
        .expect("taken");
    receiver.recv().expect("the completion returns");
    store.stop();
    assert_eq!(
        pending(&*adapter.restart().mailbox(), "ann"),
        listed(&[(1, "x")])
    );
}

/// What eight submitters see of two mailboxes, in the order of the completions.
struct Seen {
    log: Arc<Mutex<Vec<Event>>>,
    done: (SyncSender<()>, Receiver<()>),
}

#[derive(Debug)]
enum Event {
    Append {
        submitter: u32,
        number: u32,
        user: UserKey,
        offset: u64,
    },
    Read {
        user: UserKey,
        batch: Batch,
    },
}

const SUBMITTERS: u32 = 8;
const COMMANDS_EACH: u32 = 200;

fn run_submitters(store: &Arc<dyn Mailbox>) -> Vec<Event> {
    let commands = (SUBMITTERS * COMMANDS_EACH) as usize;
    let seen = Seen {
        log: Arc::default(),
        done: sync_channel(commands),
    };
    thread::scope(|scope| {
        for submitter in 0..SUBMITTERS {
            let (log, finished) = (&seen.log, &seen.done.0);
            scope.spawn(move || submit_mixed(&**store, submitter, log, finished));
        }
    });
    for _ in 0..commands {
        seen.done.1.recv().expect("every command completes");
    }
    std::mem::take(&mut *seen.log.lock().expect("no completion panicked"))
}

fn submit_mixed(
    store: &dyn Mailbox,
    submitter: u32,
    log: &Arc<Mutex<Vec<Event>>>,
    finished: &SyncSender<()>,
) {
    for number in 0..COMMANDS_EACH {
        let name = user(["ann", "bob"][((submitter + number / 3) % 2) as usize]);
        let (log, finished) = (Arc::clone(log), finished.clone());
        let record = move |event| {
            log.lock().expect("no completion panicked").push(event);
            finished.send(()).expect("the test waits");
        };
        let submitted = if number % 3 == 2 {
            let reader = UserKey::clone(&name);
            let done = Box::new(move |result: Result<Batch, _>| {
                record(Event::Read {
                    user: reader,
                    batch: result.expect("read"),
                });
            });
            store.read(name, 0, usize::MAX, usize::MAX, done)
        } else {
            let append = message(&[&name], format!("{submitter}:{number}").as_bytes(), None);
            let done = Box::new(move |result: Result<Appended, _>| {
                let offset = offsets(&result.expect("stored"))[0];
                record(Event::Append {
                    submitter,
                    number,
                    user: name,
                    offset,
                });
            });
            store.append(append, done)
        };
        submitted.expect("the queue is long enough");
    }
}

fn completions_of_one_user_come_in_the_order_of_submission<A: Adapter>() {
    let adapter = A::open(Limits::default());
    let mut last_numbers = [None; SUBMITTERS as usize];
    for event in run_submitters(&adapter.mailbox()) {
        if let Event::Append {
            submitter, number, ..
        } = event
        {
            let last = last_numbers[submitter as usize].replace(number);
            assert!(
                last < Some(number),
                "submitter {submitter}: {number} after {last:?}"
            );
        }
    }
}

fn a_read_sees_exactly_what_was_completed_before_it<A: Adapter>() {
    let adapter = A::open(Limits::default());
    let mut last_offsets = [0, 0];
    for event in run_submitters(&adapter.mailbox()) {
        match event {
            Event::Append { user, offset, .. } => {
                let last = &mut last_offsets[usize::from(&*user == "bob")];
                *last += 1;
                assert_eq!(offset, *last, "offsets of {user} rise by one, in order");
            }
            Event::Read { user, batch } => {
                let last = last_offsets[usize::from(&*user == "bob")];
                let offsets: Vec<u64> = batch.messages.iter().map(|read| read.offset).collect();
                assert_eq!(offsets, (1..=last).collect::<Vec<_>>());
                assert!(!batch.more);
            }
        }
    }
}

fn what_was_appended_is_acked_or_pending<A: Adapter>() {
    let adapter = A::open(Limits::default());
    let store = &*adapter.mailbox();
    for _ in 0..10 {
        try_append(store, &["ann", "bob"], b"four").expect("stored");
    }
    ack(store, "ann", 10);
    ack(store, "bob", 4);
    assert_eq!(read(store, "bob", 0).messages.len(), 6);
    assert_eq!(read(store, "ann", 0).messages.len(), 0);
    let stats = store.stats();
    assert_eq!((stats.appended, stats.acked), (20, 14));
    assert_eq!(
        (
            stats.pending_messages,
            stats.pending_bytes,
            stats.pending_users
        ),
        (6, 24, 1)
    );
    assert_eq!((stats.expired, stats.corrupt, stats.refused), (0, 0, 0));
}
