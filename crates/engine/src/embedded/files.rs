//! The store's directory: created private, owned by one process.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::error::OpenError;

/// The database inside the store's directory.
pub(super) const DATABASE_FILE: &str = "mailbox.db";
const LOCK_FILE: &str = "lock";

/// The right to use a store's directory; given back when dropped or when the process ends,
/// however it ends.
#[derive(Debug)]
pub(super) struct DirLock {
    file: File,
}

impl DirLock {
    /// Whether the lock's file was deleted: then most likely the whole directory was, and what
    /// is written now is gone with the process, while another one may take the place.
    pub(super) fn is_deleted(&self) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            self.file
                .metadata()
                .is_ok_and(|metadata| metadata.nlink() == 0)
        }
        #[cfg(not(unix))]
        {
            // A file that is open cannot be deleted there.
            let _ = &self.file;
            false
        }
    }
}

/// Creates the directory with its parents, readable by this user only. A directory that
/// exists keeps its mode: somebody has chosen it.
pub(super) fn create_dir(dir: &Path) -> Result<(), OpenError> {
    if dir.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(dir)
        .map_err(|source| io_error(dir, source))?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        Some(_) | None => Ok(()),
    }
}

/// Takes the directory for this process. The lock belongs to the open file, so it also keeps
/// a second store of the same process away.
pub(super) fn lock(dir: &Path) -> Result<DirLock, OpenError> {
    let path = dir.join(LOCK_FILE);
    let mut file = open_private(&path).map_err(|source| io_error(&path, source))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(&path).unwrap_or_default();
            let holder = match holder.trim() {
                "" => "unknown".to_owned(),
                holder => holder.to_owned(),
            };
            return Err(OpenError::InUse {
                path: dir.to_owned(),
                holder,
            });
        }
        Err(TryLockError::Error(source)) => return Err(io_error(&path, source)),
    }
    // The content only helps a person; the lock itself is what counts.
    let told = file
        .set_len(0)
        .and_then(|()| writeln!(file, "pid {}", std::process::id()));
    told.map_err(|source| io_error(&path, source))?;
    Ok(DirLock { file })
}

/// Creates the database file with its mode if it is absent: SQLite gives the same mode to the
/// files it adds. Returns its path.
pub(super) fn create_database(dir: &Path) -> Result<PathBuf, OpenError> {
    let path = dir.join(DATABASE_FILE);
    open_private(&path).map_err(|source| io_error(&path, source))?;
    sync_dir(dir)?;
    Ok(path)
}

pub(super) fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), OpenError> {
    // Elsewhere a directory cannot be opened as a file, and the system does it by itself.
    if cfg!(unix) {
        File::open(dir)
            .and_then(|file| file.sync_all())
            .map_err(|source| io_error(dir, source))?;
    }
    Ok(())
}

fn io_error(path: &Path, source: io::Error) -> OpenError {
    OpenError::Io {
        path: path.to_owned(),
        source,
    }
}
