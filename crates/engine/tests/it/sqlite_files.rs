//! What the embedded store does when its files go away under it: unlinked and renamed files can
//! still be written and synced, which would accept messages into nothing.
#![cfg(unix)]

use std::{fs, path::Path};

use tidewire_engine::{AppendError, Mailbox, SubmitError, embedded::Config};

use crate::sqlite::{fresh, open};
use tidewire_engine::contract::blocking::{append, listed, pending, try_append, user};

/// Stores something, does `sabotage` to the store's directory, and expects that nothing more is
/// accepted; the reason has to name `named`. Returns the configuration for a new start.
fn check(sabotage: impl FnOnce(&Path), named: &str) -> (tempfile::TempDir, Config) {
    let (dir, config) = fresh();
    let store = open(&config);
    append(&*store, "ann", b"kept");
    sabotage(&config.dir);
    let error = try_append(&*store, &["ann"], b"into nothing").expect_err("nothing can be kept");
    let AppendError::Failed { reason } = error else {
        panic!("{error}");
    };
    assert!(
        reason.contains("deleted, moved or replaced") && reason.contains(named),
        "{reason}"
    );
    assert_eq!(store.stats().failed, Some(reason));
    assert_eq!(store.ack(&user("ann"), 1), Err(SubmitError::Closed));
    (dir, config)
}

fn moved(dir: &Path, name: &str) {
    fs::rename(dir.join(name), dir.join("elsewhere")).expect("movable");
}

#[test]
fn a_deleted_directory_is_noticed() {
    check(
        |dir| fs::remove_dir_all(dir).expect("it can be deleted"),
        "store",
    );
}

#[test]
fn a_moved_directory_is_noticed() {
    check(
        |dir| fs::rename(dir, dir.with_extension("old")).expect("movable"),
        "store",
    );
}

#[test]
fn a_directory_with_a_copy_of_everything_in_its_place_is_noticed() {
    let copy = |dir: &Path| {
        let old = dir.with_extension("old");
        fs::rename(dir, &old).expect("movable");
        fs::create_dir(dir).expect("creatable");
        for file in fs::read_dir(old).expect("listable") {
            let file = file.expect("listable");
            fs::copy(file.path(), dir.join(file.file_name())).expect("copied");
        }
    };
    let (_dir, config) = check(copy, "store");
    assert_eq!(pending(&*open(&config), "ann"), listed(&[(1, "kept")]));
}

#[test]
fn a_deleted_or_moved_database_is_noticed() {
    check(
        |dir| fs::remove_file(dir.join("mailbox.db")).expect("there"),
        "mailbox.db",
    );
    check(|dir| moved(dir, "mailbox.db"), "mailbox.db");
}

#[test]
fn a_deleted_or_moved_log_is_noticed() {
    check(
        |dir| fs::remove_file(dir.join("mailbox.db-wal")).expect("there"),
        "mailbox.db-wal",
    );
    check(|dir| moved(dir, "mailbox.db-wal"), "mailbox.db-wal");
}

#[test]
fn a_deleted_or_moved_lock_is_noticed() {
    check(
        |dir| fs::remove_file(dir.join("lock")).expect("there"),
        "lock",
    );
    check(|dir| moved(dir, "lock"), "lock");
}

#[test]
fn a_database_restored_from_a_copy_while_the_store_runs_is_noticed() {
    let restore = |dir: &Path| {
        fs::copy(dir.join("mailbox.db"), dir.join("copy")).expect("copied");
        fs::rename(dir.join("copy"), dir.join("mailbox.db")).expect("movable");
    };
    check(restore, "mailbox.db");
}

#[test]
fn other_files_in_the_directory_may_come_and_go() {
    let (_dir, config) = fresh();
    let store = open(&config);
    fs::write(config.dir.join("notes"), "mine").expect("writable");
    append(&*store, "ann", b"a");
    fs::remove_file(config.dir.join("notes")).expect("there");
    fs::remove_file(config.dir.join("commits")).expect("there");
    append(&*store, "ann", b"b");
    assert_eq!(pending(&*store, "ann"), listed(&[(1, "a"), (2, "b")]));
}
