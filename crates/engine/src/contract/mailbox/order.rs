//! Restarts, completions and many submitters at once.

use std::sync::{
    Arc,
    mpsc::{Receiver, SyncSender, sync_channel},
};

use parking_lot::Mutex;
use std::thread;

use super::{Limits, MailboxAdapter};
use crate::{
    AppendError, Appended, Batch, Mailbox, SubmitError, UserKey,
    contract::blocking::{
        ack, append, listed, message, offsets, pending, read, submit, try_append, user,
    },
};

pub fn appends_queued_together_see_each_others_reservations<A: MailboxAdapter>() {
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

pub fn a_restart_keeps_everything_in_order_and_the_epoch<A: MailboxAdapter>() {
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
pub fn offsets_continue_after_an_emptied_mailbox_and_a_restart<A: MailboxAdapter>() {
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

pub fn an_ack_survives_a_restart<A: MailboxAdapter>() {
    let adapter = A::open(Limits::default());
    for _ in 0..5 {
        append(&*adapter.mailbox(), "ann", b"x");
    }
    ack(&*adapter.mailbox(), "ann", 3);
    let adapter = adapter.restart();
    let batch = read(&*adapter.mailbox(), "ann", 0);
    assert_eq!((batch.messages.len(), batch.gone_up_to), (2, 3));
}

pub fn stop_completes_what_was_taken_and_closes<A: MailboxAdapter>() {
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

pub fn a_completion_may_submit_further_commands<A: MailboxAdapter>() {
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

pub fn a_completion_may_stop_the_store<A: MailboxAdapter>() {
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
    std::mem::take(&mut *seen.log.lock())
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
            log.lock().push(event);
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

pub fn completions_of_one_user_come_in_the_order_of_submission<A: MailboxAdapter>() {
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

pub fn a_read_sees_exactly_what_was_completed_before_it<A: MailboxAdapter>() {
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

pub fn what_was_appended_is_acked_or_pending<A: MailboxAdapter>() {
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
