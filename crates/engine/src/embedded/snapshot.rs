//! A copy of the store: of one that runs, and of one that does not.
//!
//! Between two checkpoints the database file does not change: commits go to the log alone. So a store that runs puts
//! its checkpoints off while a [`Snapshot`] lives, and anybody may copy the file meanwhile; the store's thread does
//! nothing for it. The log grows instead, so a copy that takes too long loses its snapshot. Invariant: a copy is whole
//! when the snapshot [is intact](Snapshot::is_intact) after the last byte was read, and only then.
//!
//! Others than the store cannot read the database while it runs, on purpose: readers would need a shared memory file,
//! which shares and some other file systems lack, could hold up checkpoints for ever, and a program that writes could
//! make a commit of ours fail, after which the store would have to stop.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    config::Config,
    database::{Database, Fault},
    error::OpenError,
    files, format, load, sql,
};

/// The database file of a store that runs does not change while this lives, as long as it is intact.
#[derive(Clone, Debug)]
pub struct Snapshot(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_broken: AtomicBool,
}

impl Snapshot {
    /// Whether the file has not changed since the snapshot was taken. Asked after the last byte was read.
    pub fn is_intact(&self) -> bool {
        !self.0.is_broken.load(Ordering::Acquire)
    }
}

/// Called once with a snapshot, on the store's thread.
pub type OnSnapshot = Box<dyn FnOnce(Result<Snapshot, SnapshotError>) + Send>;

/// There is no snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Another copy is being made.
    #[error("another copy is being made; wait for its end")]
    Taken,
    /// The disk has no room for what has to be written before.
    #[error("the disk of the store is full")]
    DiskFull,
    /// The store failed and has stopped for good.
    #[error("the store has failed: {reason}")]
    Failed {
        /// What the store reported.
        reason: Arc<str>,
    },
}

/// The store's side of a snapshot.
#[derive(Debug, Default)]
pub(super) struct Held(Weak<State>);

impl Held {
    pub(super) fn is_held(&self) -> bool {
        self.0.strong_count() > 0
    }

    pub(super) fn take(&mut self) -> Snapshot {
        let state = Arc::new(State::default());
        self.0 = Arc::downgrade(&state);
        Snapshot(state)
    }

    /// Before the file changes: who copies it is too late.
    pub(super) fn end(&mut self) {
        if let Some(state) = self.0.upgrade() {
            state.is_broken.store(true, Ordering::Release);
            tracing::warn!(
                "a copy of the store took too long and is void: the log had to move into the database"
            );
        }
        self.0 = Weak::new();
    }
}

/// What is in a store, or in a copy of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Messages waiting, over all users.
    pub messages: u64,
    /// The bytes of their bodies, each mailbox counted.
    pub bytes: u64,
    /// Users with at least one message waiting.
    pub users: u64,
    /// Size of the database file in bytes, without its log.
    pub file_bytes: u64,
}

/// The database inside a store's directory: the file to copy.
pub fn database_file(dir: &Path) -> PathBuf {
    dir.join(files::DATABASE_FILE)
}

/// Copies a store that no server uses to `target`, which must not exist, and [finishes](finish_copy) the copy.
/// Blocking.
///
/// # Errors
/// [`OpenError`]; [`InUse`](OpenError::InUse) while a server has it. What has been written to `target` then is no copy.
pub fn copy_unused(dir: &Path, target: &Path) -> Result<Summary, OpenError> {
    let (database, path, _lock) = open_unused(dir)?;
    database
        .copy_to(target)
        .map_err(|error| sql::open_error(&path, error))?;
    finish_copy(target)
}

/// Looks into a store that no server uses. Blocking.
///
/// # Errors
/// [`OpenError`]; [`InUse`](OpenError::InUse) while a server has it.
pub fn look_into_unused(dir: &Path) -> Result<Summary, OpenError> {
    let (database, path, _lock) = open_unused(dir)?;
    summary(&database, &path)
}

/// Checks every page of a copy and gives it an epoch of its own: offsets that the store gives after the moment of the
/// copy are given again by a store that goes on from it, and nobody may take them for the same. Blocking.
///
/// # Errors
/// [`OpenError`]; then it is no copy.
pub fn finish_copy(path: &Path) -> Result<Summary, OpenError> {
    let config = config_of(path);
    let database = Database::open(path, &config)?;
    let failed = |error| sql::open_error(path, error);
    let mut meta = database.meta().map_err(failed)?.unwrap_or_default();
    meta.epoch = format::draw_epoch().map_err(|source| OpenError::Random {
        path: path.to_owned(),
        source: Box::new(source),
    })?;
    meta.commits += 1;
    let written = database
        .transact(|database| database.put_meta(&meta))
        .and_then(|()| database.checkpoint(true));
    written.map_err(|fault| match fault {
        Fault::Fatal(error) => failed(error),
        Fault::DiskFull => OpenError::Io {
            path: path.to_owned(),
            source: std::io::ErrorKind::StorageFull.into(),
        },
    })?;
    let summary = summary(&database, path)?;
    drop(database);
    // Empty now, and not removed by SQLite, which was told to leave everything alone when it closes.
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    fs::remove_file(Path::new(&log)).ok();
    Ok(summary)
}

fn open_unused(dir: &Path) -> Result<(Database, PathBuf, files::DirLock), OpenError> {
    let path = database_file(dir);
    let there = fs::metadata(&path).map(drop);
    there.map_err(|source| OpenError::Io {
        path: path.clone(),
        source,
    })?;
    let lock = files::lock(dir)?;
    let database = Database::open(&path, &config_of(&path))?;
    Ok((database, path, lock))
}

fn config_of(path: &Path) -> Config {
    Config {
        dir: path.parent().map(Path::to_owned).unwrap_or_default(),
        ..Config::default()
    }
}

fn summary(database: &Database, path: &Path) -> Result<Summary, OpenError> {
    // A copy is looked at as it is.
    let loaded = load::load(database, &config_of(path), |_| None);
    let totals = loaded
        .map_err(|error| sql::open_error(path, error))?
        .index
        .totals();
    Ok(Summary {
        messages: totals.messages,
        bytes: totals.bytes,
        users: totals.users,
        file_bytes: fs::metadata(path).map_or(0, |file| file.len()),
    })
}
