//! Copies of the embedded store.
//!
//! Kinds: of a store at rest, of one that was killed (its log is not in the database yet), of one that works, under
//! load, while another copy is made, one that takes too long, one onto a file that is damaged, of a store that is in
//! use by somebody who does not answer.

use std::{fs, path::Path, sync::mpsc};

use tidewire_engine::{
    Mailbox as _,
    contract::blocking::{append, listed, pending},
    embedded::{
        Config, OpenError, Snapshot, SnapshotError, SqliteMailbox, copy_unused, database_file,
        finish_copy, look_into_unused,
    },
};

use crate::sqlite::{fresh, open};

fn snapshot(store: &SqliteMailbox) -> Result<Snapshot, SnapshotError> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let done = Box::new(move |taken| drop(sender.send(taken)));
    store.snapshot(done).expect("room in the queue");
    receiver.recv().expect("completes")
}

/// Opens a copy as a store of its own.
fn restored(copy: &Path) -> (tempfile::TempDir, Config) {
    let (dir, config) = fresh();
    fs::create_dir_all(&config.dir).expect("creatable");
    fs::copy(copy, database_file(&config.dir)).expect("copied");
    (dir, config)
}

#[test]
fn a_copy_of_a_working_store_has_what_was_accepted_before_and_both_go_on() {
    let (dir, config) = fresh();
    let store = open(&config);
    append(&*store, "ann", b"before");
    let held = snapshot(&store).expect("a snapshot");
    let file = database_file(&config.dir);
    let before = fs::read(&file).expect("readable");
    // Far more than what makes a checkpoint due.
    for _ in 0..200 {
        append(&*store, "bob", &vec![b'x'; 100_000]);
    }
    let copy = dir.path().join("copy.db");
    fs::copy(&file, &copy).expect("copied");
    assert!(held.is_intact());
    assert!(
        fs::read(&file).expect("readable") == before,
        "the file has changed"
    );
    drop(held);
    append(&*store, "ann", b"after");
    append(&*store, "ann", b"later");
    assert!(
        fs::read(&file).expect("readable") != before,
        "the log moves again"
    );

    let summary = finish_copy(&copy).expect("a copy");
    assert_eq!((summary.messages, summary.users, summary.bytes), (1, 1, 6));
    let (_dir, restored) = restored(&copy);
    let again = open(&restored);
    assert_eq!(pending(&*again, "ann"), listed(&[(1, "before")]));
    append(&*again, "ann", b"another");
    let both = listed(&[(1, "before"), (2, "another")]);
    assert_eq!(pending(&*again, "ann"), both);
    let all = listed(&[(1, "before"), (2, "after"), (3, "later")]);
    assert_eq!(pending(&*store, "ann"), all);
}

/// Offsets that the store gives after the copy are given again by a store that goes on from it.
#[test]
fn a_copy_has_an_epoch_of_its_own() {
    let epoch = |store: &SqliteMailbox| {
        let (sender, receiver) = mpsc::sync_channel(1);
        let done = Box::new(move |batch| drop(sender.send(batch)));
        store.read("ann".into(), 0, 1, 1, done).expect("taken");
        receiver.recv().expect("completes").expect("read").epoch
    };
    let (dir, config) = fresh();
    let store = open(&config);
    append(&*store, "ann", b"kept");
    let before = epoch(&store);
    store.stop();
    let copy = dir.path().join("copy.db");
    copy_unused(&config.dir, &copy).expect("a copy");
    let (_dir, restored) = restored(&copy);
    let again = open(&restored);
    assert_ne!(epoch(&again), before);
    assert_eq!(again.stats().lost_commits, 0);
    assert_eq!(epoch(&open(&config)), before);
}

#[test]
fn a_store_that_was_killed_is_copied_with_its_log() {
    let (dir, config) = fresh();
    let store = open(&config);
    append(&*store, "ann", b"only in the log");
    // As a kill leaves it.
    let image = dir.path().join("image");
    fs::create_dir(&image).expect("creatable");
    for name in ["mailbox.db", "mailbox.db-wal"] {
        fs::copy(config.dir.join(name), image.join(name)).expect("copied");
    }
    let copy = dir.path().join("copy.db");
    let summary = copy_unused(&image, &copy).expect("a copy");
    assert_eq!(summary.messages, 1);
    assert_eq!(look_into_unused(&image).expect("readable").messages, 1);
    let (_dir, restored) = restored(&copy);
    let waiting = pending(&*open(&restored), "ann");
    assert_eq!(waiting, listed(&[(1, "only in the log")]));
    assert!(!dir.path().join("copy.db-wal").exists());
}

#[test]
fn one_copy_is_made_at_a_time() {
    let (_dir, config) = fresh();
    let store = open(&config);
    let first = snapshot(&store).expect("a snapshot");
    assert_eq!(snapshot(&store).expect_err("taken"), SnapshotError::Taken);
    drop(first);
    snapshot(&store).expect("free again");
}

#[test]
fn a_copy_that_takes_too_long_is_void_and_the_store_goes_on() {
    let (_dir, config) = fresh();
    let config = Config {
        user_bytes_max: 1 << 30,
        sender_share_percent: 100,
        ..config
    };
    let store = open(&config);
    let held = snapshot(&store).expect("a snapshot");
    for _ in 0..15 {
        append(&*store, "ann", &vec![b'x'; 10 << 20]);
    }
    assert!(!held.is_intact());
    drop(held);
    let again = snapshot(&store).expect("a snapshot");
    assert!(again.is_intact());
}

#[test]
fn a_store_that_closes_voids_the_copy() {
    let (_dir, config) = fresh();
    let store = open(&config);
    append(&*store, "ann", b"kept");
    let held = snapshot(&store).expect("a snapshot");
    store.stop();
    assert!(!held.is_intact());
}

#[test]
fn what_is_in_use_damaged_or_not_there_is_no_copy() {
    let (dir, config) = fresh();
    let store = open(&config);
    append(&*store, "ann", &vec![b'x'; 50_000]);
    let copy = dir.path().join("copy.db");
    let error = copy_unused(&config.dir, &copy).expect_err("in use");
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    let error = look_into_unused(&config.dir).expect_err("in use");
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    let error = look_into_unused(dir.path()).expect_err("no store");
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
    assert!(
        !dir.path().join("mailbox.db").exists(),
        "looking makes no store"
    );

    drop(snapshot(&store).expect("a snapshot"));
    let mut bytes = fs::read(database_file(&config.dir)).expect("readable");
    bytes.truncate(bytes.len() / 2);
    fs::write(&copy, bytes).expect("writable");
    finish_copy(&copy).expect_err("cut in the middle");
}
