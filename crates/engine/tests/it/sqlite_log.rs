//! What the embedded store does when its write-ahead log is not what it wrote. SQLite replays a
//! log up to the first damaged frame and says nothing about the rest.

use std::{fs, path::Path, sync::Arc};

use proptest::prelude::*;
use tempfile::TempDir;
use tidewire_engine::{Mailbox, SqliteMailbox, embedded::Config};

use crate::sqlite::{fresh, open};
use tidewire_engine::contract::blocking::{append, pending, read};

const MESSAGES: u64 = 12;
const LOG: &str = "mailbox.db-wal";
/// Header of the log, header of a frame, page.
const FRAME_LEN: usize = 24 + 4096;

/// The files of a store that was killed with twelve messages and a log of all of them.
struct Killed {
    dir: TempDir,
    epoch: u64,
}

impl Killed {
    fn new() -> Self {
        let (_dir, config) = fresh();
        let store = open(&config);
        for number in 0..MESSAGES {
            append(&*store, "ann", format!("message {number}").as_bytes());
        }
        let epoch = read(&*store, "ann", 0).epoch;
        let dir = TempDir::new().expect("a temporary directory");
        copy(&config.dir, dir.path());
        Self { dir, epoch }
    }

    fn log(&self) -> Vec<u8> {
        fs::read(self.dir.path().join(LOG)).expect("readable")
    }

    /// Opens a copy with another log.
    fn open_with(&self, log: &[u8]) -> (TempDir, Arc<SqliteMailbox>) {
        let dir = TempDir::new().expect("a temporary directory");
        copy(self.dir.path(), dir.path());
        fs::write(dir.path().join(LOG), log).expect("writable");
        let mut config = Config::new(dir.path());
        config.reserve_bytes = 0;
        let store = open(&config);
        (dir, store)
    }

    /// Everything is there and nothing is said, or something is missing and that is said.
    fn check(&self, log: &[u8]) -> bool {
        let (_dir, store) = self.open_with(log);
        let found = pending(&*store, "ann").len() as u64;
        let epoch = read(&*store, "ann", 0).epoch;
        let stats = store.stats();
        let is_told = stats.lost_commits > 0;
        assert!(
            found == MESSAGES || is_told,
            "{found} messages, and not a word"
        );
        assert_eq!(is_told, epoch != self.epoch);
        if is_told {
            assert!(append(&*store, "ann", b"next") > found);
        }
        is_told
    }
}

fn copy(from: &Path, to: &Path) {
    for file in fs::read_dir(from).expect("listable") {
        let file = file.expect("listable");
        fs::copy(file.path(), to.join(file.file_name())).expect("copied");
    }
}

#[test]
fn a_killed_store_opens_without_alarm() {
    let killed = Killed::new();
    assert!(!killed.check(&killed.log()));
}

#[test]
fn a_torn_end_of_an_unfinished_transaction_is_no_alarm() {
    let killed = Killed::new();
    let log = killed.log();
    for len in [1, 24, 100, FRAME_LEN, 2 * FRAME_LEN + 7] {
        for byte in [0, 0x5a] {
            let mut torn = log.clone();
            torn.extend(std::iter::repeat_n(byte, len));
            assert!(!killed.check(&torn), "{len} of {byte}");
        }
        // The start of the last frame again, as a transaction that did not get further.
        let mut torn = log.clone();
        let last = log.len() - FRAME_LEN;
        torn.extend_from_within(last..log.len().min(last + len));
        assert!(!killed.check(&torn), "{len} of a frame");
    }
}

#[test]
fn a_missing_or_empty_log_is_told() {
    let killed = Killed::new();
    assert!(killed.check(&[]));
    let (dir, store) = killed.open_with(&killed.log());
    store.stop();
    drop(store);
    // Of a store that was stopped the log holds nothing.
    fs::remove_file(dir.path().join(LOG)).expect("there");
    let mut config = Config::new(dir.path());
    config.reserve_bytes = 0;
    let store = open(&config);
    assert_eq!(
        (store.stats().lost_commits, store.stats().pending_messages),
        (0, MESSAGES)
    );
}

#[test]
fn a_database_of_yesterday_is_told() {
    let (dir, config) = fresh();
    let store = open(&config);
    append(&*store, "ann", b"yesterday");
    store.stop();
    drop(store);
    let backup = dir.path().join("backup");
    fs::copy(config.dir.join("mailbox.db"), &backup).expect("copied");
    let store = open(&config);
    append(&*store, "ann", b"today");
    let epoch = read(&*store, "ann", 0).epoch;
    store.stop();
    drop(store);
    fs::copy(&backup, config.dir.join("mailbox.db")).expect("copied");
    let store = open(&config);
    assert!(store.stats().lost_commits > 0);
    let new_epoch = read(&*store, "ann", 0).epoch;
    assert_ne!(new_epoch, epoch);
    store.stop();
    drop(store);
    // Said once, and by then the new epoch is on disk.
    let store = open(&config);
    assert_eq!(
        (store.stats().lost_commits, read(&*store, "ann", 0).epoch),
        (0, new_epoch)
    );
}

#[test]
fn without_the_number_of_commits_nothing_is_claimed() {
    let killed = Killed::new();
    fs::remove_file(killed.dir.path().join("commits")).expect("there");
    assert!(!killed.check(&killed.log()));
}

#[test]
fn a_flipped_bit_anywhere_in_the_headers_loses_nothing_silently() {
    let killed = Killed::new();
    let log = killed.log();
    let frames = (log.len() - 32) / FRAME_LEN;
    let headers = (0..32).chain((0..frames).flat_map(|at| {
        let start = 32 + at * FRAME_LEN;
        // Page number, size of the database, both salts, both checksums.
        [0, 4, 8, 12, 16, 20].map(|field| start + field)
    }));
    let mut told = 0;
    for at in headers {
        let mut damaged = log.clone();
        damaged[at] ^= 0x10;
        told += u32::from(killed.check(&damaged));
    }
    assert!(told > 30, "only {told} flips cost anything");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_flipped_bit_anywhere_in_the_log_loses_nothing_silently(
        at in any::<prop::sample::Index>(), bit in 0..8_u32
    ) {
        let killed = Killed::new();
        let mut log = killed.log();
        let at = at.index(log.len());
        log[at] ^= 1 << bit;
        killed.check(&log);
    }

    #[test]
    fn a_log_cut_anywhere_loses_nothing_silently(len in any::<prop::sample::Index>()) {
        let killed = Killed::new();
        let log = killed.log();
        let len = len.index(log.len());
        killed.check(&log[..len]);
    }
}
