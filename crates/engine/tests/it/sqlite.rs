//! What only the embedded store does: files, batches, time, a full disk.

use std::sync::{
    Arc, Mutex,
    mpsc::{SyncSender, sync_channel},
};
use std::time::Duration;

use tempfile::TempDir;
use tidewire_engine::contract::{Limits, MailboxAdapter};
use tidewire_engine::{
    AppendError, Appended, Mailbox, SqliteMailbox, SubmitError,
    embedded::{Config, OpenError},
};

use crate::clock::TestClock;
use tidewire_engine::contract::blocking::{
    ack, append, from, listed, message, offsets, pending, read, submit, try_append, user,
};

pub(crate) struct Sqlite {
    store: Arc<SqliteMailbox>,
    config: Config,
    _dir: Arc<TempDir>,
}

tidewire_engine::mailbox_contract!(contract, crate::sqlite::Sqlite);

impl MailboxAdapter for Sqlite {
    fn open(limits: Limits) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let mut config = Config::new(dir.path());
        config.user_messages_max = limits.user_messages_max;
        config.user_bytes_max = limits.user_bytes_max;
        config.messages_max = limits.messages_max;
        config.bytes_max = limits.bytes_max;
        config.sender_messages_max = limits.sender_messages_max;
        config.sender_bytes_max = limits.sender_bytes_max;
        config.reserve_bytes = 0;
        let store = open(&config);
        Self {
            store,
            config,
            _dir: Arc::new(dir),
        }
    }

    fn mailbox(&self) -> Arc<dyn Mailbox> {
        Arc::clone(&self.store) as Arc<dyn Mailbox>
    }

    fn restart(self) -> Self {
        self.store.stop();
        let store = open(&self.config);
        Self { store, ..self }
    }
}

pub(crate) fn open(config: &Config) -> Arc<SqliteMailbox> {
    SqliteMailbox::open(config.clone()).expect("the store opens")
}

/// A directory and the defaults in it.
pub(crate) fn fresh() -> (TempDir, Config) {
    let dir = TempDir::new().expect("a temporary directory");
    let mut config = Config::new(dir.path().join("store"));
    // Writing it takes longer than most tests.
    config.reserve_bytes = 0;
    (dir, config)
}

/// Keeps the store's thread in a completion until the sender is dropped.
fn hold(store: &dyn Mailbox) -> SyncSender<()> {
    let (entered, inside) = sync_channel::<()>(1);
    let (release, held) = sync_channel::<()>(1);
    let done = Box::new(move |_| {
        drop(entered);
        held.recv().expect_err("nothing is ever sent");
    });
    store.read(user("nobody"), 0, 1, 1, done).expect("taken");
    inside.recv().expect_err("nothing is ever sent");
    release
}

#[test]
fn a_thousand_queued_messages_share_one_commit() {
    let (_dir, config) = fresh();
    let store = open(&config);
    let held = hold(&*store);
    let before = store.stats().commits;
    let results: Vec<_> = (0..1000)
        .map(|_| submit(&*store, message(&["ann"], b"x", None)))
        .collect();
    drop(held);
    for result in results {
        result.recv().expect("completes").expect("stored");
    }
    assert_eq!(store.stats().commits, before + 1);
}

#[test]
fn a_batch_is_bounded_by_messages_and_by_bytes() {
    let (_dir, mut config) = fresh();
    config.batch_messages_max = 10;
    config.batch_bytes_max = 1000;
    let store = open(&config);
    let commits = |payload: &[u8]| {
        let held = hold(&*store);
        let before = store.stats().commits;
        let results: Vec<_> = (0..20)
            .map(|_| submit(&*store, message(&["ann"], payload, None)))
            .collect();
        drop(held);
        for result in results {
            result.recv().expect("completes").expect("stored");
        }
        store.stats().commits - before
    };
    assert_eq!(commits(b"x"), 2);
    assert_eq!(commits(&[b'x'; 250]), 5);
    assert_eq!(commits(&[b'x'; 5000]), 20);
}

#[test]
fn a_full_queue_is_busy_but_takes_acknowledgements() {
    let (_dir, mut config) = fresh();
    config.queue_max = 4;
    let store = open(&config);
    append(&*store, "ann", b"x");
    let held = hold(&*store);
    let results: Vec<_> = (0..4)
        .map(|_| submit(&*store, message(&["ann"], b"x", None)))
        .collect();
    let never = Box::new(|_| panic!("a refused command is never completed"));
    assert_eq!(
        store.append(message(&["ann"], b"x", None), never),
        Err(SubmitError::Busy)
    );
    for _ in 0..100 {
        ack(&*store, "ann", 1);
    }
    drop(held);
    for result in results {
        result.recv().expect("completes").expect("stored");
    }
    assert_eq!(read(&*store, "ann", 0).gone_up_to, 1);
}

/// A payload for many is held, and counted, once.
#[test]
fn a_queue_is_full_by_bytes_as_well_and_one_payload_always_fits() {
    let (_dir, mut config) = fresh();
    config.queue_bytes_max = 100;
    let store = open(&config);
    let held = hold(&*store);
    let large = submit(&*store, message(&["ann"; 50], &[b'x'; 120], None));
    let never = Box::new(|_| panic!("a refused command is never completed"));
    let refused = store.append(message(&["bob"], b"x", None), never);
    assert_eq!(refused, Err(SubmitError::Busy));
    let (sender, receiver) = sync_channel(1);
    let done = Box::new(move |result| drop(sender.send(result)));
    store
        .read(user("bob"), 0, 1, 1, done)
        .expect("reads hold no payload");
    drop(held);
    large.recv().expect("completes").expect("stored");
    receiver.recv().expect("completes").expect("read");
    append(&*store, "bob", b"x");
}

/// A bystander's message waits for about one of those that somebody else has queued by the
/// megabyte.
#[test]
fn a_bystander_overtakes_one_who_has_queued_much() {
    let (_dir, mut config) = fresh();
    config.user_messages_max = 10_000;
    config.user_bytes_max = 1 << 30;
    let store = open(&config);
    let held = hold(&*store);
    let order = Arc::new(Mutex::new(Vec::new()));
    let record = |name: &'static str| {
        let order = Arc::clone(&order);
        Box::new(move |result: Result<Appended, AppendError>| {
            result.expect("stored");
            order.lock().expect("no panic").push(name);
        })
    };
    let payload = vec![b'x'; 60_000];
    for _ in 0..20 {
        let append = from("eve", &["kim"; 100], &payload);
        store.append(append, record("eve")).expect("taken");
    }
    let bystander = from("ann", &["bob"], b"x");
    store.append(bystander, record("ann")).expect("taken");
    let trusted = message(&["bob"], b"x", None);
    store.append(trusted, record("api")).expect("taken");
    drop(held);
    store.stop();
    let order = order.lock().expect("no panic");
    assert_eq!(order.len(), 22);
    for name in ["ann", "api"] {
        let at = order.iter().position(|of| *of == name);
        assert!(at < Some(4), "{name}: {order:?}");
    }
}

#[test]
fn users_beyond_the_cache_never_get_an_offset_again() {
    let (_dir, mut config) = fresh();
    config.idle_users_max = 2;
    let store = open(&config);
    let mut given = [0; 20];
    let next = |store: &SqliteMailbox, given: &mut [u64; 20]| {
        for (number, given) in given.iter_mut().enumerate() {
            let name = format!("user-{number}");
            let offset = append(store, &name, b"x");
            assert!(offset > *given, "{offset} after {given}");
            *given = offset;
            ack(store, &name, offset);
        }
    };
    for _ in 0..3 {
        next(&store, &mut given);
    }
    store.stop();
    let store = open(&config);
    assert!(read(&*store, "user-7", 0).gone_up_to >= given[7]);
    next(&store, &mut given);
}

#[test]
fn users_who_have_nothing_waiting_leave_nothing_in_the_file() {
    let (_dir, mut config) = fresh();
    config.idle_users_max = 100;
    let store = open(&config);
    let round = |round: u32| {
        for number in 0..20 {
            let names: Vec<String> = (0..500)
                .map(|user| format!("user-{round}-{number}-{user}"))
                .collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let appended = try_append(&*store, &names, b"hello").expect("stored");
            for (name, offset) in names.iter().zip(offsets(&appended)) {
                ack(&*store, name, offset);
            }
        }
        while store.stats().pending_messages > 0 {
            std::thread::yield_now();
        }
    };
    let bytes = || {
        std::fs::read_dir(&config.dir)
            .expect("listable")
            .map(|file| file.expect("listable").metadata().expect("exists").len())
            .sum::<u64>()
    };
    round(0);
    round(1);
    let before = bytes();
    for number in 2..8 {
        round(number);
    }
    // 60,000 users more; a row each would take more than 3 MB.
    assert!(bytes() <= before + (1 << 20), "{before} -> {}", bytes());
    store.stop();
    let connection = rusqlite::Connection::open(config.dir.join("mailbox.db")).expect("opens");
    let rows = |table| {
        let sql = format!("SELECT count(*) FROM {table}");
        connection
            .query_row(&sql, [], |row| row.get::<_, i64>(0))
            .expect("there is such a table")
    };
    assert_eq!((rows("user"), rows("message")), (0, 0));
}

#[test]
fn a_message_is_delivered_until_the_moment_it_expires() {
    let (_dir, config) = fresh();
    let clock = Arc::new(TestClock::new());
    let store = SqliteMailbox::open_with_clock(config, clock.clone()).expect("opens");
    let long = submit(&*store, message(&["ann"], b"long", Some(2000)));
    let short = submit(&*store, message(&["ann"], b"short", Some(1000)));
    long.recv().expect("completes").expect("stored");
    short.recv().expect("completes").expect("stored");
    clock.advance(999);
    assert_eq!(
        pending(&*store, "ann"),
        listed(&[(1, "long"), (2, "short")])
    );
    clock.advance(1);
    assert_eq!(pending(&*store, "ann"), listed(&[(1, "long")]));
    assert_eq!(
        (store.stats().expired, read(&*store, "ann", 0).gone_up_to),
        (1, 0)
    );
    clock.advance(1000);
    assert_eq!(pending(&*store, "ann"), []);
    assert_eq!(
        (store.stats().expired, read(&*store, "ann", 0).gone_up_to),
        (2, 2)
    );
    assert_eq!(append(&*store, "ann", b"next"), 3);
}

#[test]
fn the_default_ttl_applies_and_the_maximum_caps() {
    let (_dir, mut config) = fresh();
    config.ttl = Duration::from_millis(100);
    config.ttl_max = Duration::from_millis(500);
    let clock = Arc::new(TestClock::new());
    let store = SqliteMailbox::open_with_clock(config, clock.clone()).expect("opens");
    append(&*store, "ann", b"default");
    let capped = submit(&*store, message(&["ann"], b"capped", Some(u64::MAX)));
    capped.recv().expect("completes").expect("stored");
    clock.advance(100);
    assert_eq!(pending(&*store, "ann"), listed(&[(2, "capped")]));
    clock.advance(400);
    assert_eq!(pending(&*store, "ann"), []);
}

#[test]
fn a_wall_clock_that_jumps_while_running_expires_nothing() {
    let (_dir, config) = fresh();
    let clock = Arc::new(TestClock::new());
    let store = SqliteMailbox::open_with_clock(config, clock.clone()).expect("opens");
    append(&*store, "ann", b"x");
    clock.set_wall(|wall_ms| wall_ms + 1_000_000_000_000);
    assert_eq!(pending(&*store, "ann"), listed(&[(1, "x")]));
}

#[test]
fn a_wall_clock_set_back_between_runs_revives_nothing() {
    let (_dir, config) = fresh();
    let clock = Arc::new(TestClock::new());
    let open = || SqliteMailbox::open_with_clock(config.clone(), clock.clone()).expect("opens");
    let store = open();
    submit(&*store, message(&["ann"], b"a", Some(5000)))
        .recv()
        .expect("completes")
        .expect("ok");
    clock.advance(4000);
    store.stop();
    clock.set_wall(|wall_ms| wall_ms - 1_000_000);
    let store = open();
    assert_eq!(pending(&*store, "ann"), listed(&[(1, "a")]));
    clock.advance(1000);
    assert_eq!(pending(&*store, "ann"), []);
}

#[test]
fn time_that_passes_while_the_store_is_closed_counts() {
    let (_dir, config) = fresh();
    let clock = Arc::new(TestClock::new());
    let open = || SqliteMailbox::open_with_clock(config.clone(), clock.clone()).expect("opens");
    let store = open();
    submit(&*store, message(&["ann"], b"a", Some(5000)))
        .recv()
        .expect("completes")
        .expect("ok");
    store.stop();
    clock.advance(5000);
    let store = open();
    let batch = read(&*store, "ann", 0);
    assert_eq!(
        (
            batch.messages.len(),
            batch.gone_up_to,
            store.stats().expired
        ),
        (0, 1, 1)
    );
    assert_eq!(append(&*store, "ann", b"b"), 2);
}

#[test]
fn expired_messages_leave_without_anybody_asking() {
    let (_dir, config) = fresh();
    let store = open(&config);
    submit(&*store, message(&["ann"], b"a", Some(1)))
        .recv()
        .expect("completes")
        .expect("ok");
    while store.stats().expired == 0 {
        std::thread::yield_now();
    }
    assert_eq!(store.stats().pending_messages, 0);
}

#[test]
fn a_full_disk_refuses_then_drains_then_heals() {
    let (_dir, mut config) = fresh();
    config.file_bytes_max = Some(256 << 10);
    check_full_disk(&config);
}

/// Run it on a small file system, for example a tmpfs of 64 MiB with `TMPDIR` on it.
#[test]
#[ignore = "fills the disk that holds the temporary directory"]
fn a_really_full_disk_refuses_then_drains_then_heals() {
    let (dir, mut config) = fresh();
    config.reserve_bytes = 16 << 20;
    let ballast = dir.path().join("ballast");
    std::fs::write(&ballast, vec![b'x'; 20 << 20]).expect("the disk is large enough");
    let store = check_full_disk(&config);
    let fill = || (0..).find_map(|_| try_append(&*store, &["ann"], &[b'x'; 4000]).err());
    assert_eq!(fill(), Some(AppendError::DiskFull));
    std::fs::remove_file(ballast).expect("it exists");
    while try_append(&*store, &["ann"], b"x") == Err(AppendError::DiskFull) {}
    assert!((0..1000).all(|_| try_append(&*store, &["ann"], &[b'x'; 4000]).is_ok()));
}

fn check_full_disk(config: &Config) -> Arc<SqliteMailbox> {
    let payload = [b'x'; 4000];
    let mut config = config.clone();
    config.user_messages_max = u64::MAX >> 1;
    config.user_bytes_max = 1 << 40;
    let store = open(&config);
    let mut stored = 0;
    let refused = loop {
        match try_append(&*store, &["ann"], &payload) {
            Ok(appended) => stored = offsets(&appended)[0],
            Err(error) => break error,
        }
    };
    assert_eq!(refused, AppendError::DiskFull);
    assert!(store.stats().disk_full && store.stats().failed.is_none());
    assert!(stored > 20, "only {stored} messages fit");
    let offsets = |store: &SqliteMailbox| -> Vec<u64> {
        read(store, "ann", 0)
            .messages
            .iter()
            .map(|read| read.offset)
            .collect()
    };
    assert_eq!(
        offsets(&store),
        (1..=stored).collect::<Vec<_>>(),
        "everything stored is readable"
    );
    ack(&*store, "ann", 10);
    assert_eq!(
        append(&*store, "ann", &payload),
        stored + 1,
        "draining has made room"
    );
    assert!(!store.stats().disk_full);
    store.stop();
    let store = open(&config);
    assert_eq!(offsets(&store), (11..=stored + 1).collect::<Vec<_>>());
    assert_eq!(store.stats().corrupt, 0);
    store
}

#[test]
fn a_second_opener_is_refused_until_the_first_stops() {
    let (_dir, config) = fresh();
    let store = open(&config);
    let error = SqliteMailbox::open(config.clone()).expect_err("in use");
    let pid = format!("pid {}", std::process::id());
    assert!(matches!(&error, OpenError::InUse { .. }) && error.to_string().contains(&pid));
    assert!(
        error
            .to_string()
            .contains(&config.dir.display().to_string()),
        "{error}"
    );
    store.stop();
    open(&config);
}

#[test]
fn dropping_the_last_handle_stops_the_store() {
    let (_dir, config) = fresh();
    let store = open(&config);
    append(&*store, "ann", b"x");
    drop(store);
    assert_eq!(pending(&*open(&config), "ann"), listed(&[(1, "x")]));
}

#[test]
fn a_configuration_that_takes_no_message_is_refused() {
    let (_dir, config) = fresh();
    let refused = |change: fn(&mut Config), field: &str| {
        let mut config = config.clone();
        change(&mut config);
        let error = SqliteMailbox::open(config)
            .expect_err("refused")
            .to_string();
        assert!(error.contains(field), "{error}");
    };
    refused(|config| config.queue_max = 0, "queue_max");
    refused(|config| config.user_messages_max = 0, "user_messages_max");
    refused(|config| config.ttl_max = Duration::MAX, "ttl_max");
    refused(
        |config| config.file_bytes_max = Some(4096),
        "file_bytes_max",
    );
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_dir, config) = fresh();
    let store = open(&config);
    append(&*store, "ann", b"x");
    let mode = |path: &std::path::Path| {
        std::fs::metadata(path)
            .expect("exists")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode(&config.dir), 0o700);
    for file in std::fs::read_dir(&config.dir).expect("listable") {
        let path = file.expect("listable").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn a_completion_that_panics_stops_the_store_for_good() {
    let (_dir, config) = fresh();
    let store = open(&config);
    let held = hold(&*store);
    let first = submit(&*store, message(&["ann"], b"x", None));
    let done = Box::new(|_| panic!("expected by this test"));
    store
        .append(message(&["ann"], b"x", None), done)
        .expect("taken");
    let last = submit(&*store, message(&["ann"], b"x", None));
    drop(held);
    assert!(first.recv().expect("completes").is_ok());
    assert!(matches!(
        last.recv().expect("completes"),
        Err(AppendError::Failed { .. })
    ));
    let reason = store.stats().failed.expect("the store has failed");
    assert!(reason.contains("panicked"), "{reason}");
    assert_eq!(store.ack(&user("ann"), 1), Err(SubmitError::Closed));
}
