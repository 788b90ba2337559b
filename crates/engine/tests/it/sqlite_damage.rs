//! What the embedded store does with a file that is not what it wrote.

use std::{fs, path::PathBuf};

use rusqlite::Connection;
use tidewire_engine::{
    Mailbox, Purge, SqliteMailbox,
    embedded::{Config, OpenError},
};

use crate::sqlite::{fresh, open};
use tidewire_engine::contract::blocking::{
    ack, append, from, listed, pending, purge, read, submit, user,
};

fn file(config: &Config) -> PathBuf {
    config.dir.join("mailbox.db")
}

/// Changes the file of a stopped store behind its back; returns the rows changed.
fn tamper(config: &Config, sql: &str) -> usize {
    let connection = Connection::open(file(config)).expect("the database opens");
    connection.execute(sql, []).expect("the statement is right")
}

/// Stores three messages for ann, damages what `sql` says, and opens again: ann must read
/// `expected` in a new epoch.
fn check_damaged_message(sql: &str, expected: &[(u64, &str)]) {
    let (_dir, config) = fresh();
    let store = open(&config);
    for payload in ["a", "b", "c"] {
        append(&*store, "ann", payload.as_bytes());
    }
    append(&*store, "bob", b"d");
    let epoch = read(&*store, "ann", 0).epoch;
    store.stop();
    drop(store);
    assert_eq!(tamper(&config, sql), 1);

    let store = open(&config);
    assert_eq!(pending(&*store, "ann"), listed(expected));
    assert_eq!(pending(&*store, "bob"), listed(&[(1, "d")]));
    let new_epoch = read(&*store, "ann", 0).epoch;
    assert_ne!(new_epoch, epoch);
    assert_eq!(store.stats().corrupt, 1);
    store.stop();
    drop(store);
    let kept = "SELECT count(*) FROM quarantine";
    let connection = Connection::open(file(&config)).expect("the database opens");
    let kept: i64 = connection
        .query_row(kept, [], |row| row.get(0))
        .expect("the table exists");
    assert_eq!(kept, 1);
    drop(connection);

    let store = open(&config);
    assert_eq!(
        (read(&*store, "ann", 0).epoch, store.stats().corrupt),
        (new_epoch, 0)
    );
}

#[test]
fn a_message_with_a_flipped_byte_is_set_aside_and_the_epoch_changes() {
    let sql = "UPDATE message SET payload = x'63' WHERE user = 'ann' AND offset = 2";
    check_damaged_message(sql, &[(1, "a"), (3, "c")]);
}

#[test]
fn a_message_with_another_users_name_is_set_aside() {
    let sql = "UPDATE message SET user = 'bob' WHERE user = 'ann' AND offset = 1";
    check_damaged_message(sql, &[(2, "b"), (3, "c")]);
}

#[test]
fn a_message_with_a_later_expiry_is_set_aside() {
    let sql = "UPDATE message SET expiry = expiry + 1 WHERE user = 'ann' AND offset = 3";
    check_damaged_message(sql, &[(1, "a"), (2, "b")]);
}

#[test]
fn a_message_in_the_place_of_another_is_set_aside() {
    let sql = "UPDATE message SET seq = 77 WHERE user = 'ann' AND offset = 2";
    check_damaged_message(sql, &[(1, "a"), (3, "c")]);
}

#[test]
fn a_damaged_last_offset_starts_a_new_epoch() {
    let (_dir, config) = fresh();
    let store = open(&config);
    for _ in 0..3 {
        append(&*store, "ann", b"x");
    }
    // With something left the user has a row.
    ack(&*store, "ann", 1);
    let epoch = read(&*store, "ann", 0).epoch;
    store.stop();
    drop(store);
    assert_eq!(tamper(&config, "UPDATE user SET last_offset = 0"), 1);
    let store = open(&config);
    assert_eq!(store.stats().corrupt, 1);
    assert_ne!(read(&*store, "ann", 0).epoch, epoch);
    assert_eq!(append(&*store, "ann", b"y"), 4);
}

#[test]
fn a_damaged_row_of_the_store_itself_starts_a_new_epoch_and_expires_nothing() {
    for change in [
        "offset_floor = 0",
        "clock_ms = clock_ms + (1 << 40)",
        "epoch = epoch + 1",
        "jump_ms = 7",
        "commits = commits - 1",
    ] {
        let (_dir, config) = fresh();
        let store = open(&config);
        let gone = append(&*store, "ann", b"x");
        ack(&*store, "ann", gone);
        append(&*store, "bob", b"x");
        let epoch = read(&*store, "bob", 0).epoch;
        store.stop();
        drop(store);
        assert_eq!(
            tamper(&config, &format!("UPDATE meta SET {change}")),
            1,
            "{change}"
        );
        let store = open(&config);
        assert_eq!(store.stats().corrupt, 1, "{change}");
        let batch = read(&*store, "bob", 0);
        assert_eq!(batch.messages.len(), 1, "{change}");
        assert_ne!(batch.epoch, epoch, "{change}");
        store.stop();
        drop(store);
        let store = open(&config);
        assert_eq!(
            (store.stats().corrupt, read(&*store, "bob", 0).epoch),
            (0, batch.epoch)
        );
    }
}

/// What the first format looked like: a row for everybody who ever got a message.
const FORMAT_1: &str = "
    DROP TABLE meta;
    CREATE TABLE meta (
        id INTEGER PRIMARY KEY CHECK (id = 1), epoch INTEGER NOT NULL, clock_ms INTEGER NOT NULL
    ) STRICT;
    INSERT INTO meta VALUES (1, 77, unixepoch() * 1000);
    ALTER TABLE message DROP COLUMN recipients;
    ALTER TABLE quarantine DROP COLUMN recipients;
    ALTER TABLE message DROP COLUMN sender;
    ALTER TABLE quarantine DROP COLUMN sender;
    PRAGMA user_version = 1;";

#[test]
fn a_file_of_the_first_format_goes_on_and_sheds_the_rows_of_idle_users() {
    const USERS: u32 = 10_000;
    let (_dir, config) = fresh();
    let store = open(&config);
    for _ in 0..3 {
        append(&*store, "ann", b"kept");
    }
    ack(&*store, "ann", 1);
    store.stop();
    drop(store);
    let connection = Connection::open(file(&config)).expect("the database opens");
    connection.execute_batch(FORMAT_1).expect("right");
    fs::remove_file(config.dir.join("commits")).expect("there");
    let transaction = connection.unchecked_transaction().expect("begins");
    for number in 0..USERS {
        let (key, last) = (format!("user-{number}"), u64::from(number % 500) + 1);
        let mut crc = crc32fast::Hasher::new();
        crc.update(key.as_bytes());
        crc.update(&last.to_le_bytes());
        crc.update(&last.to_le_bytes());
        let row = rusqlite::params![key, last.cast_signed(), last.cast_signed(), crc.finalize()];
        transaction
            .execute("INSERT INTO user VALUES (?1, ?2, ?3, ?4)", row)
            .expect("new");
    }
    transaction.commit().expect("written");
    drop(connection);

    let store = open(&config);
    let batch = read(&*store, "ann", 0);
    assert_eq!((batch.epoch, batch.messages.len()), (77, 2));
    assert!(append(&*store, "user-499", b"x") > 500);
    assert!(append(&*store, "user-998", b"x") > 499);
    let rows = |config: &Config| {
        let connection = Connection::open(file(config)).expect("the database opens");
        let sql = "SELECT count(*) FROM user";
        connection
            .query_row(sql, [], |row| row.get::<_, u32>(0))
            .expect("there is such a table")
    };
    // One while opening, two appends, three for the rows.
    while store.stats().commits < 6 {
        std::thread::yield_now();
    }
    store.stop();
    drop(store);
    assert!(rows(&config) < 10, "{} rows are left", rows(&config));
    let store = open(&config);
    assert_eq!(read(&*store, "ann", 0).epoch, 77);
    assert_eq!(append(&*store, "ann", b"x"), 4);
    assert!(append(&*store, "user-1499", b"x") > 500);
    assert_eq!(store.stats().corrupt + store.stats().lost_commits, 0);
}

#[test]
fn an_unknown_format_is_refused_and_left_alone() {
    let (_dir, config) = fresh();
    open(&config).stop();
    let connection = Connection::open(file(&config)).expect("the database opens");
    connection
        .pragma_update(None, "user_version", 99)
        .expect("writable");
    drop(connection);
    let before = fs::read(file(&config)).expect("readable");
    let error = SqliteMailbox::open(config.clone()).expect_err("refused");
    assert!(
        matches!(
            error,
            OpenError::UnknownFormat {
                found: 99,
                known: 3,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(fs::read(file(&config)).expect("readable"), before);
}

#[test]
fn a_file_of_format_1_opens_with_all_it_holds() {
    let (_dir, config) = fresh();
    let store = open(&config);
    append(&*store, "ann", b"a");
    append(&*store, "ann", b"b");
    store.stop();
    drop(store);
    let connection = Connection::open(file(&config)).expect("the database opens");
    connection.execute_batch(FORMAT_1).expect("right");
    drop(connection);
    fs::remove_file(config.dir.join("commits")).expect("there");
    // The second time it is of the new format.
    for _ in 0..2 {
        let store = open(&config);
        let batch = read(&*store, "ann", 0);
        assert_eq!((store.stats().corrupt, batch.epoch), (0, 77));
        assert_eq!(pending(&*store, "ann"), listed(&[(1, "a"), (2, "b")]));
        store.stop();
    }
    let store = open(&config);
    let stored = submit(&*store, from("eve", &["ann"], b"c")).recv();
    stored.expect("completes").expect("stored");
    store.stop();
    let store = open(&config);
    assert_eq!(purge(&*store, Purge::Sender(user("eve"))), 1);
    assert_eq!(pending(&*store, "ann"), listed(&[(1, "a"), (2, "b")]));
}

/// A message counted for another sender would escape its own budget.
#[test]
fn a_message_whose_sender_was_changed_is_set_aside() {
    for sql in [
        "UPDATE message SET sender = 'kim'",
        "UPDATE message SET sender = NULL",
        "UPDATE message SET sender = 7",
    ] {
        let (_dir, config) = fresh();
        let store = open(&config);
        let stored = submit(&*store, from("eve", &["ann"], b"a")).recv();
        stored.expect("completes").expect("stored");
        store.stop();
        assert_eq!(tamper(&config, sql), 1);
        assert_eq!(open(&config).stats().corrupt, 1, "{sql}");
    }
}

#[test]
fn a_database_of_another_program_is_refused_and_left_alone() {
    let (_dir, config) = fresh();
    fs::create_dir(&config.dir).expect("creatable");
    let connection = Connection::open(file(&config)).expect("the database opens");
    connection
        .execute_batch("CREATE TABLE theirs (x)")
        .expect("writable");
    drop(connection);
    let before = fs::read(file(&config)).expect("readable");
    let error = SqliteMailbox::open(config.clone()).expect_err("refused");
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    assert_eq!(fs::read(file(&config)).expect("readable"), before);
}

#[test]
fn a_file_that_is_no_database_is_refused_by_name() {
    let (_dir, config) = fresh();
    fs::create_dir(&config.dir).expect("creatable");
    fs::write(file(&config), [b'x'; 8192]).expect("writable");
    let error = SqliteMailbox::open(config).expect_err("refused");
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("mailbox.db"), "{error}");
}

#[test]
fn a_broken_page_is_refused_by_name() {
    let (_dir, config) = fresh();
    let store = open(&config);
    for _ in 0..100 {
        append(&*store, "ann", &[b'x'; 500]);
    }
    store.stop();
    drop(store);
    let mut bytes = fs::read(file(&config)).expect("readable");
    let pages = bytes.len() / 4096;
    bytes[(pages - 1) * 4096..][..64].fill(0xff);
    fs::write(file(&config), bytes).expect("writable");
    let error = SqliteMailbox::open(config).expect_err("refused");
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("mailbox.db"), "{error}");
}
