//! Why a store could not be opened.

use std::{error::Error, io, path::PathBuf};

/// The store could not be opened; nothing of it was changed unless said otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The configuration has a value the store cannot work with.
    #[error("the store in {} cannot use this configuration: {field} must be {expected}", .path.display())]
    Config {
        /// The configured directory.
        path: PathBuf,
        /// The field of [`Config`](super::Config).
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// The directory or a file in it could not be created, opened or written. The text says what helps.
    #[error("cannot create, open or write {}; {}", .path.display(), advice(.source))]
    Io {
        /// The directory or file.
        path: PathBuf,
        /// What the system reported.
        source: io::Error,
    },
    /// The file system has no file locks, so nothing would keep a second server away from the store.
    #[error("the file system of {} has no file locks, so nothing would keep a second server away from the store; choose a directory on a disk of this machine", .path.display())]
    NoLocks {
        /// The store's directory.
        path: PathBuf,
        /// What the system reported.
        source: io::Error,
    },
    /// Another process has this store open. Stop it, or choose another directory.
    #[error("the store in {} is in use by another process ({holder}); stop that one or choose another directory", .path.display())]
    InUse {
        /// The store's directory.
        path: PathBuf,
        /// What the lock file says about the owner.
        holder: String,
    },
    /// The file is an SQLite database, but not one of ours. Move it away.
    #[error("{} is a database of another program; move it away or choose another directory", .path.display())]
    Foreign {
        /// The database file.
        path: PathBuf,
    },
    /// The file was written by a version of the store this one does not know. Use that
    /// version, or drain the store with it first.
    #[error("{} has store format {found}, this program knows {known}; use the version that wrote it", .path.display())]
    UnknownFormat {
        /// The database file.
        path: PathBuf,
        /// The format in the file.
        found: i64,
        /// The format this version reads and writes.
        known: i64,
    },
    /// SQLite finds the file damaged. Move it away with its `-wal` file and restore a copy,
    /// or recover what is readable with `sqlite3 <file> .recover`.
    #[error("the database {} is damaged ({reason}); move it away and restore a copy, or try `sqlite3 <file> .recover`", .path.display())]
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// What SQLite reported.
        reason: String,
    },
    /// The database refused to work, for example because the disk fails or is full.
    #[error("the database {} cannot be used; check the disk and its free space", .path.display())]
    Database {
        /// The database file.
        path: PathBuf,
        /// What SQLite reported.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The system gives no randomness, which the epoch of a new store needs.
    #[error("the system has no randomness for the store in {}", .path.display())]
    Random {
        /// The store's directory.
        path: PathBuf,
        /// What the system reported.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Tells what an operator can do about an error of the system.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "an open enum of another crate"
)]
fn advice(error: &io::Error) -> &'static str {
    use io::ErrorKind;
    match error.kind() {
        ErrorKind::PermissionDenied => {
            "it has to belong to the user that runs the server, or to be writable for that user"
        }
        ErrorKind::ReadOnlyFilesystem => {
            "its file system is mounted read-only: mount it for writing, or choose another directory"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "the disk or a quota is used up: make room, or choose another directory"
        }
        ErrorKind::NotFound => "check the path, and that nobody moves it",
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists | ErrorKind::IsADirectory => {
            "check the path: a file stands where a directory has to be, or the other way round"
        }
        _ => "the disk or its file system has failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_helps_depends_on_what_is_wrong() {
        for (kind, word) in [
            (io::ErrorKind::PermissionDenied, "belong to the user"),
            (io::ErrorKind::ReadOnlyFilesystem, "read-only"),
            (io::ErrorKind::StorageFull, "used up"),
            (io::ErrorKind::QuotaExceeded, "used up"),
            (io::ErrorKind::NotFound, "check the path"),
            (io::ErrorKind::NotADirectory, "where a directory has to be"),
            (io::ErrorKind::Other, "has failed"),
        ] {
            let error = OpenError::Io {
                path: "/data".into(),
                source: kind.into(),
            };
            let text = error.to_string();
            assert!(text.contains(word), "{kind}: {text}");
        }
    }
}
