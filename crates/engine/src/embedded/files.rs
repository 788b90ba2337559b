//! The store's directory: created private, owned by one process.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use super::error::OpenError;

/// The database inside the store's directory.
pub(super) const DATABASE_FILE: &str = "mailbox.db";
/// SQLite's name for the write-ahead log of the database.
const LOG_FILE: &str = "mailbox.db-wal";
const LOCK_FILE: &str = "lock";
const PROBE_FILE: &str = "probe";

/// The right to use a store's directory; given back when dropped or when the process ends,
/// however it ends.
#[derive(Debug)]
pub(super) struct DirLock {
    /// Held for the lock on it.
    _file: File,
    /// The files that stand for what was accepted, and which file each was first.
    watched: Vec<(PathBuf, Option<Identity>)>,
}

/// A file of the store is not where it was: what is written now goes where no later start will
/// look for it.
#[derive(Debug, thiserror::Error)]
#[error("{} was deleted, moved or replaced while in use", .path.display())]
pub(super) struct Displaced {
    path: PathBuf,
}

/// Device and number of a file.
type Identity = (u64, u64);

impl DirLock {
    /// Whether every file of the store still is what its name leads to. Asked after a commit:
    /// then the commit that it follows has gone into the right files. Costs three system calls.
    ///
    /// # Errors
    /// [`Displaced`]: an unlinked file can be written and synced all the same, so nothing else
    /// would tell.
    pub(super) fn check(&mut self) -> Result<(), Displaced> {
        for (path, known) in &mut self.watched {
            let found = identity(path);
            match known {
                None if found.is_some() => *known = found,
                // SQLite makes the log with the first transaction, which may find no room.
                None if path.ends_with(LOG_FILE) => {}
                Some(known) if found == Some(*known) => {}
                None | Some(_) => return Err(Displaced { path: path.clone() }),
            }
        }
        Ok(())
    }
}

/// `None` if there is no such file.
#[cfg(unix)]
fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// A file that is open can neither be deleted nor renamed there.
#[cfg(not(unix))]
fn identity(path: &Path) -> Option<Identity> {
    path.exists().then_some((0, 0))
}

/// Whether the system lets no file of this directory grow: the disk or a quota is used up, or
/// the process may not write files so large. SQLite tells a full disk only, and calls the others
/// a failed write; so this tries to write behind the end of the largest file.
pub(super) fn has_no_room(dir: &Path) -> bool {
    let path = dir.join(PROBE_FILE);
    let largest = [DATABASE_FILE, LOG_FILE]
        .map(|name| fs::metadata(dir.join(name)).map_or(0, |file| file.len()));
    let end = largest.into_iter().max().unwrap_or(0);
    let tried = open_private(&path).and_then(|mut file| {
        file.seek(SeekFrom::Start(end))?;
        file.write_all(&vec![0xa5; PROBE_LEN])
    });
    // Not there when it could not be created.
    fs::remove_file(&path).ok();
    tried.is_err_and(|error| is_no_room(&error))
}

fn is_no_room(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
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
        Err(TryLockError::Error(source)) if is_without_locks(&source) => {
            return Err(OpenError::NoLocks {
                path: dir.to_owned(),
                source,
            });
        }
        Err(TryLockError::Error(source)) => return Err(io_error(&path, source)),
    }
    // The content only helps a person; the lock itself is what counts.
    let told = file
        .set_len(0)
        .and_then(|()| writeln!(file, "pid {}", std::process::id()));
    told.map_err(|source| io_error(&path, source))?;
    let watched = [LOCK_FILE, DATABASE_FILE, LOG_FILE].map(|name| (dir.join(name), None));
    Ok(DirLock {
        _file: file,
        watched: watched.into(),
    })
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

/// Makes the names in a directory durable, where its file system can.
///
/// # Errors
/// [`OpenError::Io`], when the disk fails. That the file system has no such thing is none: shares (SMB, 9p) and some FUSE
/// file systems refuse it. Then only names may be lost in a power cut, as those of a store that was just created: what
/// is in the files is synced by their own descriptors, and a crash of the process loses no name.
pub(super) fn sync_dir(dir: &Path) -> Result<(), OpenError> {
    // Elsewhere a directory cannot be opened as a file, and the system does it by itself.
    if !cfg!(unix) {
        return Ok(());
    }
    let opened = File::open(dir).map_err(|source| io_error(dir, source))?;
    match opened.sync_all() {
        Err(error) if is_unsupported(&error) => {
            tracing::warn!(
                dir = %dir.display(),
                %error,
                "the file system cannot sync directories: a store that was just created may be missing after a power \
                 cut; what is in its files is synced all the same"
            );
            Ok(())
        }
        synced => synced.map_err(|source| io_error(dir, source)),
    }
}

/// Returns whether a file system says that it has no such operation, not that it failed. It may say that the descriptor is none
/// (9p), that there is no right (some FUSE), or that the operation is invalid (SMB).
fn is_unsupported(error: &io::Error) -> bool {
    const EBADF: i32 = 9;
    error.raw_os_error() == Some(EBADF)
        || matches!(
            error.kind(),
            io::ErrorKind::InvalidInput
                | io::ErrorKind::Unsupported
                | io::ErrorKind::IsADirectory
                | io::ErrorKind::PermissionDenied
        )
}

/// More than SQLite writes at once.
const PROBE_LEN: usize = 128 << 10;

/// Returns whether a file system has no locks, or its lock service does not answer.
fn is_without_locks(error: &io::Error) -> bool {
    #[cfg(target_os = "linux")]
    const ENOLCK: i32 = 37;
    #[cfg(not(target_os = "linux"))]
    const ENOLCK: i32 = 77;
    error.raw_os_error() == Some(ENOLCK) || is_unsupported(error)
}

fn io_error(path: &Path, source: io::Error) -> OpenError {
    OpenError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_of_room_are_a_full_disk() {
        use io::ErrorKind::{Other, PermissionDenied, QuotaExceeded, StorageFull, WriteZero};
        let told = [StorageFull, QuotaExceeded, io::ErrorKind::FileTooLarge];
        assert!(told.iter().all(|kind| is_no_room(&(*kind).into())));
        let others = [Other, PermissionDenied, WriteZero];
        assert!(!others.iter().any(|kind| is_no_room(&(*kind).into())));
        #[cfg(target_os = "linux")]
        for (errno, expected) in [(28, true), (122, true), (27, true), (5, false), (30, false)] {
            let error = io::Error::from_raw_os_error(errno);
            assert_eq!(is_no_room(&error), expected, "{error}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_a_file_system_does_not_have_is_no_failure() {
        // EPERM, EBADF, EACCES, EISDIR, EINVAL, ENOSYS, EOPNOTSUPP
        for errno in [1, 9, 13, 21, 22, 38, 95] {
            let error = io::Error::from_raw_os_error(errno);
            assert!(is_unsupported(&error), "{error}");
        }
        // EIO, ENOSPC, EROFS, EDQUOT, ENOLCK
        for errno in [5, 28, 30, 122, 37] {
            let error = io::Error::from_raw_os_error(errno);
            assert!(!is_unsupported(&error), "{error}");
        }
        assert!(is_without_locks(&io::Error::from_raw_os_error(37)));
        assert!(!is_without_locks(&io::Error::from_raw_os_error(5)));
    }

    #[test]
    fn a_directory_with_room_has_room_and_keeps_no_probe() {
        let dir = tempfile::TempDir::new().expect("a temporary directory");
        assert!(!has_no_room(dir.path()));
        assert_eq!(fs::read_dir(dir.path()).expect("listable").count(), 0);
    }
}
