//! Faults that can only be made from inside: the open store keeps every other program out.

use std::sync::mpsc::sync_channel;

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::{AppendError, Appended, Batch, ReadError};

const BOUNDS: BatchBounds = BatchBounds {
    messages_max: 100,
    bytes_max: 1 << 20,
};

/// Stores a, b and c for ann, then opens again with `sql` run under the store's feet.
fn open_sabotaged(dir: &TempDir, sql: &str) -> Arc<SqliteMailbox> {
    let store = open(dir, "");
    for payload in ["a", "b", "c"] {
        append(&store, payload).expect("stored");
    }
    store.stop();
    open(dir, sql)
}

fn open(dir: &TempDir, sql: &str) -> Arc<SqliteMailbox> {
    let mut config = Config::new(dir.path());
    config.reserve_bytes = 0;
    let (store, lock) =
        load(config, Arc::new(SystemClock::default()), |_| None).expect("the store opens");
    store.run(sql);
    SqliteMailbox::start(store, lock, BOUNDS).expect("the thread starts")
}

fn append(store: &SqliteMailbox, payload: &str) -> Result<Appended, AppendError> {
    let (sender, receiver) = sync_channel(1);
    let body = Bytes::copy_from_slice(payload.as_bytes());
    let append = Append {
        recipients: vec!["ann".into()],
        body,
        sender: None,
        ttl_ms: None,
        events: Vec::new(),
    };
    let done = Box::new(move |result| drop(sender.send(result)));
    store.append(append, done).expect("taken");
    receiver.recv().expect("completes")
}

fn read(store: &SqliteMailbox) -> Result<Batch, ReadError> {
    let (sender, receiver) = sync_channel(1);
    let done = Box::new(move |result| drop(sender.send(result)));
    store.read("ann".into(), 0, 10, 1000, done).expect("taken");
    receiver.recv().expect("completes")
}

fn offsets(batch: &Batch) -> Vec<u64> {
    batch
        .messages
        .iter()
        .map(|message| message.offset)
        .collect()
}

#[test]
fn a_write_that_fails_stops_the_store_for_good_and_loses_nothing() {
    let dir = TempDir::new().expect("a temporary directory");
    let store = open_sabotaged(&dir, "PRAGMA query_only = ON");
    assert_eq!(offsets(&read(&store).expect("reading works")), [1, 2, 3]);
    let commits = store.stats().commits;
    let Err(AppendError::Failed { reason }) = append(&store, "d") else {
        panic!("the append fails");
    };
    assert!(reason.contains("readonly"), "{reason}");
    assert_eq!(store.stats().failed, Some(reason));
    assert_eq!(store.stats().commits, commits);
    assert_eq!(store.ack(&"ann".into(), 1), Err(SubmitError::Closed));
    store.stop();
    drop(store);
    let store = open(&dir, "");
    assert_eq!(offsets(&read(&store).expect("reading works")), [1, 2, 3]);
    let placed = append(&store, "d").expect("stored").outcomes[0];
    assert_eq!(placed.map(|placed| placed.offset), Ok(4));
}

#[test]
fn a_read_that_fails_stops_the_store_for_good() {
    let dir = TempDir::new().expect("a temporary directory");
    let store = open_sabotaged(&dir, "DROP TABLE message");
    assert!(matches!(read(&store), Err(ReadError::Failed { .. })));
    assert!(store.stats().failed.is_some());
}

/// Opens with `sql` run and reads: offset 2 must be set aside.
fn check_damage_found_by_a_read(sql: &str) {
    let dir = TempDir::new().expect("a temporary directory");
    let store = open(&dir, "");
    let epoch = read(&store).expect("reading works").epoch;
    store.stop();
    drop(store);
    let store = open_sabotaged(&dir, sql);
    let batch = read(&store).expect("the rest is served");
    assert_eq!(offsets(&batch), [1, 3]);
    assert_ne!(batch.epoch, epoch);
    assert_eq!(
        (store.stats().corrupt, store.stats().pending_messages),
        (1, 2)
    );
    store.stop();
    drop(store);
    let store = open(&dir, "");
    assert_eq!(read(&store).expect("reading works"), batch);
    assert_eq!(store.stats().corrupt, 0);
}

#[test]
fn a_row_damaged_while_running_is_set_aside_by_the_read_that_finds_it() {
    check_damage_found_by_a_read("UPDATE message SET payload = x'00' WHERE offset = 2");
}

#[test]
fn a_row_that_vanished_while_running_counts_as_damaged() {
    check_damage_found_by_a_read("DELETE FROM message WHERE offset = 2");
}
