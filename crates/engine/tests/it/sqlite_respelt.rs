//! Mailboxes under earlier spellings of their users' keys come under the present one, and nothing is lost or comes back.
//!
//! Kinds: one spelling alone, several at once, a present spelling with and without messages, messages to several
//! users and to two spellings of one, senders, messages that were acknowledged, a crash or a full disk in between
//! (the transaction is whole or not there), a second start.

use std::sync::Arc;

use tidewire_engine::{
    Mailbox as _, Purge, SqliteMailbox,
    contract::blocking::{ack, append, from, listed, message, pending, purge, read, submit, user},
    embedded::Config,
};

use crate::sqlite::{fresh, open};

/// `old-1` and `old-2` are spellings of `new`, and so on.
fn respell(key: &str) -> Option<String> {
    key.starts_with("old-").then(|| "new".to_owned())
}

fn reopen(config: &Config, store: &SqliteMailbox) -> Arc<SqliteMailbox> {
    store.stop();
    SqliteMailbox::open_respelt(config.clone(), respell).expect("opens")
}

fn offsets(store: &SqliteMailbox, name: &str) -> Vec<u64> {
    let batch = read(store, name, 0);
    batch.messages.iter().map(|stored| stored.offset).collect()
}

fn texts(store: &SqliteMailbox, name: &str) -> Vec<String> {
    let batch = read(store, name, 0);
    let texts = batch.messages.iter().map(|stored| stored.body.clone());
    texts
        .map(|body| String::from_utf8(body.to_vec()).expect("text"))
        .collect()
}

#[test]
fn the_messages_of_all_spellings_are_one_mailbox_in_the_order_of_storing() {
    let (_dir, config) = fresh();
    let store = open(&config);
    append(&*store, "old-1", b"a");
    append(&*store, "new", b"b");
    append(&*store, "old-2", b"c");
    append(&*store, "other", b"x");
    append(&*store, "old-1", b"d");
    for names in [["old-1", "other"], ["old-1", "new"], ["other", "old-2"]] {
        submit(&*store, message(&names, names[0].as_bytes(), None))
            .recv()
            .expect("completes")
            .expect("stored");
    }
    ack(&*store, "old-1", 1);
    let other = pending(&*store, "other");
    let epoch = read(&*store, "other", 0).epoch;
    let store = reopen(&config, &store);
    let expected = ["b", "c", "d", "old-1", "old-1", "other"];
    assert_eq!(texts(&store, "new"), expected);
    let rising = offsets(&store, "new");
    assert!(rising.is_sorted() && rising[0] > 4, "{rising:?}");
    assert_eq!(pending(&*store, "other"), other);
    for old in ["old-1", "old-2"] {
        assert_eq!(texts(&store, old), Vec::<String>::new());
    }
    assert_eq!(read(&*store, "new", 0).epoch, epoch);
    assert_eq!(store.stats().pending_messages, 9);
    assert_eq!(store.stats().corrupt, 0);
    // What follows goes on above, and a further start changes nothing.
    let last = append(&*store, "new", b"next");
    assert!(last > *rising.last().expect("some"));
    let store = reopen(&config, &store);
    assert_eq!(offsets(&store, "new"), [rising, vec![last]].concat());
    ack(&*store, "new", u64::MAX);
    ack(&*store, "other", u64::MAX);
    let store = reopen(&config, &store);
    assert_eq!(store.stats().pending_messages, 0);
    assert!(append(&*store, "new", b"later") > last);
}

#[test]
fn what_has_left_under_any_spelling_does_not_come_back() {
    let (_dir, config) = fresh();
    let store = open(&config);
    for name in ["old-1", "new"] {
        for text in [b"1", b"2", b"3"] {
            submit(&*store, message(&[name, "other"], text, None))
                .recv()
                .expect("completes")
                .expect("stored");
        }
    }
    // The rows stay, because the other one has not read them.
    ack(&*store, "old-1", 3);
    ack(&*store, "new", 2);
    let store = reopen(&config, &store);
    assert_eq!(texts(&store, "new"), ["3"]);
    assert_eq!(texts(&store, "other").len(), 6);
    ack(&*store, "new", u64::MAX);
    let store = reopen(&config, &store);
    assert_eq!(texts(&store, "new"), Vec::<String>::new());
    assert_eq!(texts(&store, "other").len(), 6);
}

#[test]
fn a_sender_is_renamed_so_that_a_purge_finds_what_he_has_sent() {
    let (_dir, config) = fresh();
    let store = open(&config);
    for sender in ["old-1", "new", "else"] {
        submit(&*store, from(sender, &["ann"], sender.as_bytes()))
            .recv()
            .expect("completes")
            .expect("stored");
    }
    let before = offsets(&store, "ann");
    let store = reopen(&config, &store);
    assert_eq!(offsets(&store, "ann"), before, "nothing else changes");
    assert_eq!(purge(&*store, Purge::Sender(user("new"))), 2);
    assert_eq!(pending(&*store, "ann"), listed(&[(3, "else")]));
}
