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
    /// The directory or a file in it could not be created or opened. Check that the path
    /// exists, belongs to this user and is writable.
    #[error("cannot create or open {}; check the path, its owner and its permissions", .path.display())]
    Io {
        /// The directory or file.
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
