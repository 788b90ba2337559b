//! The embedded adapter of [`Mailbox`]: one SQLite file, no external service.
//!
//! In: commands through a bounded queue. One thread owns the file and an index of everything
//! pending; it executes the commands in batches, one transaction and one fsync each
//! (write-ahead log, `synchronous=FULL`). Out: completions on that thread, in order.
//!
//! Kept invariants:
//! - an append completes with `Ok` only after its transaction is on disk;
//! - offsets never restart within an epoch: a user who has nothing pending has no row, and goes
//!   on above the highest offset that such a user ever had;
//! - a message to several mailboxes lies in the file once, and leaves it with the last of them
//!   (`shared`);
//! - committed transactions that are missing at the next start are noticed, and the epoch
//!   changes;
//! - a row whose checksum fails is set aside in table `quarantine`, never handed out, and the
//!   epoch changes;
//! - a full disk refuses appends and heals by itself; any other error stops the store for
//!   good, because after a failed fsync nobody knows what is on disk.
//!
//! Absent on purpose: a secondary index (rows are found through the one in memory, which
//! doubled throughput), compression, encryption (left to the file system), and shrinking the
//! file (freed pages are reused).

mod clock; // time for expiry
mod command; // what the thread executes
mod config; // what the store may use
mod database; // the SQLite file and its statements
mod error; // why it could not be opened
mod files; // its directory and lock
mod format; // its tables and version
mod index; // what is pending, in memory
mod load; // from the file to the index
mod rename; // keys that are spelt otherwise now
mod mark; // how many commits there were
mod outbox; // events for other systems
mod meta; // the store's row about itself
mod plan; // does it fit, and where
mod fair; // whose turn it is
mod queue; // from the callers to the thread
mod recipients; // who shares a row
mod registry; // sessions of this process
mod reserve; // room for draining a full disk
mod row; // rows and their checksums
mod senders; // who has how much waiting
mod shared; // rows of several mailboxes
mod snapshot; // copies, of a store that runs and of one that does not
mod sql; // what is asked of SQLite while opening
mod stats; // counters
mod store; // file, index and clock in step
mod writer; // the thread

#[cfg(test)]
mod tests;

use std::{
    cell::Cell,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle, ThreadId},
};

use parking_lot::Mutex;

pub use self::{
    clock::{Clock, SystemClock},
    config::Config,
    error::OpenError,
    registry::LocalRegistry,
    snapshot::{
        OnSnapshot, Snapshot, SnapshotError, Summary, copy_unused, database_file, finish_copy,
        look_into_unused,
    },
};
use self::{
    command::{BatchBounds, Command, Read},
    database::{Database, Fault},
    files::DirLock,
    mark::Mark,
    outbox::{OutboxCommand, OutboxShared, OutboxState},
    queue::Queue,
    rename::Respell,
    stats::Counters,
    store::{Opened, Store},
    writer::Writer,
};
use crate::{
    Append, DeadLetter, EventBatch, Mailbox, MailboxQuery, MailboxStats, NewEvent, OnAppend,
    OnExpired, OnMailboxes, OnNewEvents, OnOutbox, OnPurge, OnRead, Outbox, OutboxStats, Purge,
    SubmitError, TargetCursor, TargetName, TargetRegistration, UserKey,
};

/// Durable mailboxes in one SQLite file.
///
/// Dropping it stops it.
#[derive(Debug)]
pub struct SqliteMailbox {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    thread_id: ThreadId,
    has_registered: AtomicBool,
}

/// What the callers and the store's thread share.
#[derive(Debug)]
struct Shared {
    queue: Queue,
    counters: Counters,
    outbox: OutboxShared,
}

impl SqliteMailbox {
    /// Opens the store in [`Config::dir`], creating it if it is absent. Reads and checks the
    /// whole file, about four seconds per GB of small messages.
    ///
    /// # Errors
    /// [`OpenError`]; each variant says what to do.
    pub fn open(config: Config) -> Result<Arc<Self>, OpenError> {
        Self::open_with_clock(config, Arc::new(SystemClock::default()))
    }

    /// Opens the store as [`open`](Self::open) does, and brings keys of earlier programs into their present spelling:
    /// `respell` gives it, or `None` for a key that has it. Mailboxes of one user under several spellings become
    /// one, with the messages in the order in which they were stored; what it gives must be its own spelling.
    ///
    /// # Errors
    /// [`OpenError`]; each variant says what to do.
    pub fn open_respelt(
        config: Config,
        respell: fn(&str) -> Option<String>,
    ) -> Result<Arc<Self>, OpenError> {
        Self::open_as(config, Arc::new(SystemClock::default()), respell)
    }

    /// The same with a clock of the caller's, for tests and simulations.
    ///
    /// # Errors
    /// [`OpenError`]; each variant says what to do.
    pub fn open_with_clock(config: Config, clock: Arc<dyn Clock>) -> Result<Arc<Self>, OpenError> {
        Self::open_as(config, clock, |_| None)
    }

    fn open_as(
        config: Config,
        clock: Arc<dyn Clock>,
        respell: Respell,
    ) -> Result<Arc<Self>, OpenError> {
        let bounds = BatchBounds {
            messages_max: config.batch_messages_max,
            bytes_max: config.batch_bytes_max,
        };
        let dir = config.dir.clone();
        let (store, lock) = load(config, clock, respell)?;
        Self::start(store, lock, bounds).map_err(|source| OpenError::Io { path: dir, source })
    }

    /// Keeps the [database file](database_file) as it is while the snapshot lives and [is intact](Snapshot::is_intact),
    /// so that it can be copied; it has everything that was accepted before. Accepting, delivering and confirming go on
    /// as ever; the log grows meanwhile, and above 256 MiB, or without room on the disk, the snapshot ends. `done` is
    /// called on the store's thread.
    ///
    /// # Errors
    /// [`SubmitError`]; then `done` is not called.
    pub fn snapshot(&self, done: OnSnapshot) -> Result<(), SubmitError> {
        self.shared.queue.push(Command::Snapshot { done })
    }

    /// Starts the thread.
    fn start(store: Store, lock: DirLock, bounds: BatchBounds) -> io::Result<Arc<Self>> {
        let shared = store.shared();
        let writer = Writer::new(Arc::clone(&shared), store, bounds, lock);
        let thread = thread::Builder::new()
            .name("tidewire-store".into())
            .spawn(|| writer.run())?;
        let thread_id = thread.thread().id();
        Ok(Arc::new(Self {
            shared,
            thread: Mutex::new(Some(thread)),
            thread_id,
            has_registered: AtomicBool::new(false),
        }))
    }
}

/// Takes the directory and reads what it holds; leaves everything owed on disk.
fn load(
    config: Config,
    clock: Arc<dyn Clock>,
    respell: Respell,
) -> Result<(Store, DirLock), OpenError> {
    config.check()?;
    files::create_dir(&config.dir)?;
    let mut lock = files::lock(&config.dir)?;
    let path = files::create_database(&config.dir)?;
    let (mark, marked_commits) = Mark::open(&config.dir).map_err(|source| OpenError::Io {
        path: config.dir.clone(),
        source,
    })?;
    let database = Database::open(&path, &config)?;
    let failed = |error| sql::open_error(&path, error);
    let mut meta = database.meta().map_err(failed)?;
    let mut loaded = load::load(&database, &config, respell).map_err(failed)?;
    // Where the row is damaged nothing is known of the offsets; the next start finds a new one.
    if let Some(known) = meta.filter(|_| loaded.is_misspelt) {
        match rename::rename(&database, &known, respell) {
            Ok(count) => tracing::warn!(
                count,
                "users of the store were renamed to their present spelling"
            ),
            Err(Fault::DiskFull) => tracing::error!(
                "no room to rename users of the store; tried again at the next start"
            ),
            Err(Fault::Fatal(error)) => return Err(failed(error)),
        }
        meta = database.meta().map_err(failed)?;
        loaded = load::load(&database, &config, respell).map_err(failed)?;
    }
    let known = meta.unwrap_or_default();
    let clock = clock::StoreClock::start(clock, &config, &known, loaded.next_seq);
    let shared = Arc::new(Shared {
        queue: Queue::new(config.queue_max, config.queue_bytes_max),
        counters: Counters::default(),
        outbox: OutboxShared::default(),
    });
    let dir = config.dir.clone();
    let outbox = OutboxState::load(&database, config.outbox.clone()).map_err(failed)?;
    let opened = Opened {
        database,
        meta,
        mark,
        marked_commits,
        loaded,
        outbox,
    };
    let mut store = Store::new(Arc::clone(&shared), config, opened, clock);
    match store.write(std::iter::empty()) {
        // A full disk must not keep what is stored from being read.
        Ok(()) | Err(Fault::DiskFull) => {}
        Err(Fault::Fatal(error)) => return Err(failed(error)),
    }
    lock.check().map_err(|gone| OpenError::Io {
        path: dir.clone(),
        source: io::Error::new(io::ErrorKind::NotFound, gone),
    })?;
    store.confine().map_err(failed)?;
    // SQLite syncs the directory too, but does not look whether that worked.
    files::sync_dir(&dir)?;
    tracing::info!(dir = %dir.display(), pending = shared.counters.pending(), "store opened");
    Ok((store, lock))
}

impl Mailbox for SqliteMailbox {
    fn append(&self, append: Append, done: OnAppend) -> Result<(), SubmitError> {
        self.shared.queue.push(Command::Append {
            append,
            done,
            plan: Ok(Vec::new()),
        })
    }

    fn read(
        &self,
        user: UserKey,
        after: u64,
        messages_max: usize,
        bytes_max: usize,
        done: OnRead,
    ) -> Result<(), SubmitError> {
        let read = Read {
            user,
            after,
            messages_max,
            bytes_max,
        };
        self.shared.queue.push(Command::Read { read, done })
    }

    fn ack(&self, user: &UserKey, up_to: u64) -> Result<(), SubmitError> {
        self.shared.queue.ack(user, up_to)
    }

    fn purge(&self, purge: Purge, done: OnPurge) -> Result<(), SubmitError> {
        self.shared.queue.push(Command::Purge { purge, done })
    }

    fn on_expired(&self, told: OnExpired) {
        self.shared.outbox.on_expired(told);
    }

    fn mailboxes(&self, query: MailboxQuery, done: OnMailboxes) -> Result<(), SubmitError> {
        self.shared.queue.push(Command::Mailboxes { query, done })
    }

    fn stats(&self) -> MailboxStats {
        self.shared.counters.snapshot()
    }

    fn stop(&self) {
        self.shared.queue.close();
        // Called from a completion, the thread cannot wait for itself; it ends by itself.
        if self.thread_id == thread::current().id() {
            return;
        }
        // Held while joining: a second caller returns when the store is really closed.
        let mut thread = self.thread.lock();
        if let Some(thread) = thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's thread panicked while failing");
        }
    }
}

impl SqliteMailbox {
    fn request(&self, request: OutboxCommand) -> Result<(), SubmitError> {
        let plan = Ok(());
        self.shared.queue.push(Command::Outbox { request, plan })
    }
}

impl Outbox for SqliteMailbox {
    fn append_events(&self, events: Vec<NewEvent>, done: OnOutbox<()>) -> Result<(), SubmitError> {
        self.request(OutboxCommand::Append { events, done })
    }

    fn read_events(
        &self,
        after: u64,
        events_max: usize,
        bytes_max: usize,
        done: OnOutbox<EventBatch>,
    ) -> Result<(), SubmitError> {
        self.request(OutboxCommand::Read {
            after,
            events_max,
            bytes_max,
            done,
        })
    }

    fn advance(&self, target: &TargetName, up_to: u64) -> Result<(), SubmitError> {
        self.shared.queue.advance(target, up_to)
    }

    fn register_targets(
        &self,
        targets: Vec<TargetRegistration>,
        done: OnOutbox<Vec<TargetCursor>>,
    ) -> Result<(), SubmitError> {
        let is_first = !self.has_registered.swap(true, Ordering::Relaxed);
        let request = OutboxCommand::Register {
            targets,
            is_first,
            done,
        };
        self.request(request)
    }

    fn bury(&self, letter: DeadLetter, done: OnOutbox<()>) -> Result<(), SubmitError> {
        self.request(OutboxCommand::Bury { letter, done })
    }

    fn dead_letters(
        &self,
        after: u64,
        letters_max: usize,
        done: OnOutbox<Vec<DeadLetter>>,
    ) -> Result<(), SubmitError> {
        self.request(OutboxCommand::DeadLetters {
            after,
            letters_max,
            done,
        })
    }

    fn remove_dead_letters(&self, ids: Vec<u64>, done: OnOutbox<u64>) -> Result<(), SubmitError> {
        self.request(OutboxCommand::RemoveDead {
            ids,
            done,
            removed: Cell::new(0),
        })
    }

    fn on_new_events(&self, told: OnNewEvents) {
        self.shared.outbox.on_new_events(told);
    }

    fn outbox_stats(&self) -> OutboxStats {
        self.shared.outbox.stats()
    }
}

impl Drop for SqliteMailbox {
    fn drop(&mut self) {
        self.stop();
    }
}
