//! A message to several users is one row: how it lies in the file, and how it leaves.

use std::{fs, sync::Arc};

use rusqlite::Connection;
use tempfile::TempDir;
use tidewire_engine::{AppendError, Mailbox, Purge, SqliteMailbox, embedded::Config};

use crate::{
    clock::TestClock,
    sqlite::{fresh, open},
};
use tidewire_engine::contract::blocking::{
    ack, append, from, listed, message, offsets, pending, purge, read, submit, try_append, user,
};

fn names(count: usize) -> Vec<String> {
    (0..count).map(|at| format!("user-{at}")).collect()
}

/// Stores for all of them; their mailboxes are empty so far.
fn append_to(store: &dyn Mailbox, names: &[String], payload: &[u8]) {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let appended = try_append(store, &names, payload).expect("stored");
    assert!(appended.outcomes.iter().all(Result::is_ok));
}

/// Rows of messages, their payload bytes, and rows of users in the file of a stopped store.
fn rows(config: &Config) -> (i64, i64, i64) {
    let connection = Connection::open(config.dir.join("mailbox.db")).expect("opens");
    let sql = "SELECT count(*), coalesce(sum(length(payload)), 0), (SELECT count(*) FROM user) FROM message";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    connection
        .query_row(sql, [], read)
        .expect("there are such tables")
}

#[test]
fn a_body_for_many_lies_in_the_file_once() {
    let (_dir, config) = fresh();
    let store = open(&config);
    append_to(&*store, &names(256), &[b'x'; 1000]);
    append(&*store, "ann", b"for one");
    let stats = store.stats();
    assert_eq!(
        (stats.pending_messages, stats.pending_bytes),
        (257, 256_007)
    );
    store.stop();
    assert_eq!(rows(&config), (2, 1007, 0));
    let store = open(&config);
    let stats = store.stats();
    assert_eq!(
        (stats.pending_messages, stats.pending_bytes),
        (257, 256_007)
    );
    for name in names(256) {
        assert_eq!(read(&*store, &name, 0).messages[0].body.len(), 1000);
    }
}

#[test]
fn a_body_leaves_the_file_with_its_last_recipient_and_an_ack_stays_known_till_then() {
    // Longer than what may be listed in vain, and shorter.
    for len in [100_000, 10] {
        let (_dir, config) = fresh();
        let names = names(20);
        let mut store = open(&config);
        append_to(&*store, &names, &vec![b'x'; len]);
        for gone in 0..names.len() {
            ack(&*store, &names[gone], u64::MAX);
            store.stop();
            store = open(&config);
            for (at, name) in names.iter().enumerate() {
                let batch = read(&*store, name, 0);
                assert_eq!(
                    batch.messages.len(),
                    usize::from(at > gone),
                    "{name}, {gone}"
                );
                assert!(batch.gone_up_to >= u64::from(at <= gone));
            }
            assert_eq!(
                store.stats().pending_messages,
                (names.len() - gone - 1) as u64
            );
        }
        store.stop();
        assert_eq!(rows(&config), (0, 0, 0));
        let store = open(&config);
        assert!(append(&*store, &names[0], b"next") > 1);
        assert_eq!(store.stats().corrupt, 0);
    }
}

#[test]
fn expiry_and_purges_take_a_body_away_too() {
    let (_dir, config) = fresh();
    let clock = Arc::new(TestClock::new());
    let open = || SqliteMailbox::open_with_clock(config.clone(), clock.clone()).expect("opens");
    let store = open();
    let all = ["ann", "bob", "eve"];
    let short = submit(&*store, message(&all, b"short", Some(1000)));
    let sent = submit(&*store, from("kim", &all, b"of kim"));
    let long = submit(&*store, message(&all, b"long", None));
    for stored in [short, sent, long] {
        stored.recv().expect("completes").expect("stored");
    }
    ack(&*store, "ann", 1);
    clock.advance(1000);
    assert_eq!(
        pending(&*store, "bob"),
        listed(&[(2, "of kim"), (3, "long")])
    );
    store.stop();
    assert_eq!(rows(&config).0, 2);
    let store = open();
    assert_eq!(purge(&*store, Purge::Sender(user("kim"))), 3);
    store.stop();
    assert_eq!(rows(&config).0, 1);
    let store = open();
    for name in all {
        assert_eq!(pending(&*store, name), listed(&[(3, "long")]));
        assert_eq!(purge(&*store, Purge::Recipient(user(name))), 1);
    }
    store.stop();
    assert_eq!(rows(&config), (0, 0, 0));
}

#[test]
fn what_a_purge_took_from_the_middle_of_one_mailbox_stays_in_the_others() {
    let (_dir, config) = fresh();
    let store = open(&config);
    append(&*store, "ann", b"first");
    let sent = submit(&*store, from("kim", &["ann", "bob", "eve"], b"of kim")).recv();
    sent.expect("completes").expect("stored");
    append(&*store, "ann", b"last");
    let between = Purge::Between {
        recipient: user("ann"),
        sender: user("kim"),
    };
    assert_eq!(purge(&*store, between), 1);
    store.stop();
    let store = open(&config);
    assert_eq!(
        pending(&*store, "ann"),
        listed(&[(1, "first"), (3, "last")])
    );
    for name in ["bob", "eve"] {
        assert_eq!(pending(&*store, name), listed(&[(1, "of kim")]));
    }
}

#[test]
fn a_user_named_twice_shares_a_row_with_himself() {
    let (_dir, config) = fresh();
    let mut store = open(&config);
    let appended = try_append(&*store, &["ann", "bob", "ann"], b"x").expect("stored");
    assert_eq!(offsets(&appended), [1, 1, 2]);
    ack(&*store, "ann", 1);
    for _ in 0..2 {
        store.stop();
        store = open(&config);
        assert_eq!(pending(&*store, "ann"), listed(&[(2, "x")]));
        assert_eq!(pending(&*store, "bob"), listed(&[(1, "x")]));
    }
    ack(&*store, "ann", 2);
    ack(&*store, "bob", 1);
    store.stop();
    assert_eq!(rows(&config), (0, 0, 0));
}

#[test]
fn a_damaged_shared_row_is_set_aside_once_for_all_who_share_it() {
    for change in [
        "payload = x'63'",
        "recipients = x'03616e6e01'",
        "recipients = NULL",
        "user = 'ann', offset = 1",
        "sender = 'kim'",
        "expiry = expiry + 1",
    ] {
        let (_dir, config) = fresh();
        let store = open(&config);
        try_append(&*store, &["ann", "bob"], b"both").expect("stored");
        append(&*store, "bob", b"bob's");
        let epoch = read(&*store, "ann", 0).epoch;
        store.stop();
        let connection = Connection::open(config.dir.join("mailbox.db")).expect("opens");
        let sql = format!("UPDATE message SET {change} WHERE recipients NOT NULL");
        assert_eq!(connection.execute(&sql, []).expect("right"), 1, "{change}");
        drop(connection);
        let store = open(&config);
        assert_eq!(pending(&*store, "ann"), [], "{change}");
        assert_eq!(pending(&*store, "bob"), listed(&[(2, "bob's")]), "{change}");
        assert_eq!(store.stats().corrupt, 1, "{change}");
        assert_ne!(read(&*store, "ann", 0).epoch, epoch, "{change}");
        store.stop();
        let connection = Connection::open(config.dir.join("mailbox.db")).expect("opens");
        let kept = "SELECT count(*) FROM quarantine";
        let kept: i64 = connection
            .query_row(kept, [], |row| row.get(0))
            .expect("there");
        assert_eq!(kept, 1);
    }
}

#[test]
fn a_full_disk_drains_and_heals_with_shared_rows_as_well() {
    let (_dir, mut config) = fresh();
    config.file_bytes_max = Some(256 << 10);
    config.user_messages_max = 1 << 40;
    let names = names(100);
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let store = open(&config);
    let mut stored = 0;
    let refused = loop {
        match try_append(&*store, &all, b"short") {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, AppendError::DiskFull);
    for name in &names {
        assert_eq!(
            read(&*store, name, 0).messages.len(),
            stored,
            "all is readable"
        );
    }
    // Each acknowledgement may need room for the row that tells of it.
    for name in &names {
        ack(&*store, name, stored as u64 / 2);
    }
    while try_append(&*store, &all, b"short") == Err(AppendError::DiskFull) {}
    store.stop();
    let store = open(&config);
    for name in &names {
        let batch = read(&*store, name, 0);
        assert_eq!(batch.messages.len(), stored - stored / 2 + 1);
    }
    assert_eq!(store.stats().corrupt + store.stats().lost_commits, 0);
}

/// What lies on the disk at some moment is what a crash would leave.
fn crashed(config: &Config) -> (TempDir, Arc<SqliteMailbox>) {
    let dir = TempDir::new().expect("a temporary directory");
    // The number of commits first: it may be behind, never ahead.
    for file in ["commits", "mailbox.db", "mailbox.db-wal"] {
        fs::copy(config.dir.join(file), dir.path().join(file)).expect("copied");
    }
    let mut config = config.clone();
    config.dir = dir.path().into();
    let store = open(&config);
    (dir, store)
}

#[test]
fn a_crash_at_any_moment_loses_nothing_and_brings_nothing_back_that_was_gone_for_long() {
    let (_dir, config) = fresh();
    let store = open(&config);
    let names = names(6);
    for round in 0..8_u64 {
        append_to(&*store, &names, format!("round {round}").as_bytes());
        // Everybody lags behind by another number of messages.
        for (lag, name) in (0..).zip(&names) {
            ack(&*store, name, (round + 1_u64).saturating_sub(lag));
        }
        let commits = store.stats().commits;
        let (_crashed_dir, early) = crashed(&config);
        while store.stats().commits == commits {
            std::thread::yield_now();
        }
        let (_other_dir, late) = crashed(&config);
        for (lag, name) in (0..).zip(&names) {
            let first = (round + 1_u64).saturating_sub(lag) + 1;
            let waiting: Vec<u64> = (first..=round + 1).collect();
            let found = |store: &SqliteMailbox| -> Vec<u64> {
                let batch = read(store, name, 0);
                batch.messages.iter().map(|read| read.offset).collect()
            };
            assert!(found(&early).ends_with(&waiting), "{name}, round {round}");
            assert_eq!(found(&late), waiting, "{name}, round {round}");
        }
        assert_eq!(early.stats().lost_commits + late.stats().corrupt, 0);
    }
}
