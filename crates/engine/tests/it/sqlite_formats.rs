//! Stores that earlier programs have written: they open with all they hold.

use std::{fs, path::Path, sync::Arc};

use rusqlite::Connection;
use tempfile::TempDir;
use tidewire_engine::{Mailbox, Purge, SqliteMailbox, embedded::Config};

use crate::clock::TestClock;
use tidewire_engine::contract::blocking::{ack, append, pending, purge, read, user};

/// See its `README.md`.
const FORMAT_2: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/format_2");
/// When it was written, in milliseconds since 1970.
const WRITTEN_MS: u64 = 1_796_031_650_754;
const EPOCH: u64 = 549_495_564_568_122;
/// The user names in it, with the offsets that wait.
const WAITING: [(&str, &[u64]); 5] = [
    ("7", &[5, 6, 7, 8, 9, 10, 11, 12]),
    ("8", &[1, 2, 3]),
    ("bob", &[1, 2, 3]),
    ("eve", &[]),
    ("Пётр", &[1, 2]),
];

/// A copy of the store, and its clock set to the moment it was written.
fn copied() -> (TempDir, Config, Arc<TestClock>) {
    let dir = TempDir::new().expect("a temporary directory");
    for file in ["mailbox.db", "mailbox.db-wal", "commits"] {
        fs::copy(Path::new(FORMAT_2).join(file), dir.path().join(file)).expect("copied");
    }
    let mut config = Config::new(dir.path());
    config.reserve_bytes = 0;
    let clock = Arc::new(TestClock::new());
    clock.set_wall(|_| WRITTEN_MS);
    (dir, config, clock)
}

fn offsets(store: &dyn Mailbox, name: &str) -> Vec<u64> {
    let batch = read(store, name, 0);
    assert_eq!(batch.epoch, EPOCH);
    batch.messages.iter().map(|read| read.offset).collect()
}

/// User, offset and bytes of every row, as they lie in the file.
fn rows(config: &Config) -> Vec<(String, u64, Vec<u8>)> {
    // A copy, because reading takes the log away.
    let copy = TempDir::new().expect("a temporary directory");
    for file in ["mailbox.db", "mailbox.db-wal"] {
        fs::copy(config.dir.join(file), copy.path().join(file)).expect("copied");
    }
    let connection = Connection::open(copy.path().join("mailbox.db")).expect("opens");
    let sql = "SELECT user, offset, payload FROM message ORDER BY seq";
    let mut statement = connection.prepare(sql).expect("there is such a table");
    let rows = statement.query_map([], |row| {
        Ok((
            row.get(0)?,
            row.get::<_, i64>(1)?.cast_unsigned(),
            row.get(2)?,
        ))
    });
    rows.expect("readable")
        .collect::<Result<_, _>>()
        .expect("readable")
}

#[test]
fn a_store_of_format_2_opens_with_all_it_holds() {
    let (_dir, config, clock) = copied();
    let rows = rows(&config);
    // The second time it is of the present format.
    for _ in 0..2 {
        let store = SqliteMailbox::open_with_clock(config.clone(), clock.clone()).expect("opens");
        for (name, waiting) in WAITING {
            assert_eq!(offsets(&*store, name), waiting, "{name}");
            for message in read(&*store, name, 0).messages {
                let bytes = rows
                    .iter()
                    .find(|(user, offset, _)| user == name && *offset == message.offset)
                    .map(|(_, _, bytes)| bytes);
                assert_eq!(bytes.map(Vec::as_slice), Some(&message.body[..]));
            }
        }
        let stats = store.stats();
        assert_eq!((stats.corrupt, stats.lost_commits), (0, 0));
        assert_eq!((stats.pending_messages, stats.pending_users), (16, 4));
        store.stop();
    }
}

#[test]
fn messages_of_format_2_expire_when_they_were_to() {
    let (_dir, config, clock) = copied();
    let store = SqliteMailbox::open_with_clock(config, clock.clone()).expect("opens");
    clock.advance(60 * 60 * 1000);
    assert_eq!(offsets(&*store, "8"), [2, 3]);
    assert_eq!(offsets(&*store, "Пётр"), [2]);
    assert_eq!(store.stats().expired, 3);
    clock.advance(23 * 60 * 60 * 1000);
    for (name, _) in WAITING {
        assert_eq!(offsets(&*store, name), [0; 0], "{name}");
    }
}

#[test]
fn a_store_of_format_2_goes_on_with_acknowledgements_purges_and_appends() {
    let (_dir, config, clock) = copied();
    let store = SqliteMailbox::open_with_clock(config.clone(), clock.clone()).expect("opens");
    ack(&*store, "7", 6);
    assert_eq!(purge(&*store, Purge::Sender(user("anna"))), 4);
    assert_eq!(append(&*store, "7", b"next"), 13);
    assert_eq!(append(&*store, "bob", b"next"), 4);
    assert!(append(&*store, "eve", b"next") > 1);
    assert!(append(&*store, "nobody yet", b"next") > 1);
    store.stop();
    let store = SqliteMailbox::open_with_clock(config, clock).expect("opens");
    assert_eq!(offsets(&*store, "7"), [7, 8, 9, 10, 11, 12, 13]);
    assert_eq!(offsets(&*store, "8"), [1]);
    assert_eq!(offsets(&*store, "bob"), [1, 4]);
    assert_eq!(pending(&*store, "bob")[1].1, "next");
    assert_eq!(store.stats().corrupt, 0);
}
