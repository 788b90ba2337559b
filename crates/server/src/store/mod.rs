//! The store of a server from outside: a copy, and a look, whether the server runs or not.
//!
//! A running server owns its database alone. So it answers on a Unix socket in the data directory, and who
//! asks copies the file himself while the server leaves it as it is; without a server the store is opened directly.
//! Whoever can use the data directory can do both, and nobody else.

mod answer; // the server's side of the socket
mod ask; // the other side

use std::{io, path::PathBuf};

use tidewire_engine::embedded::OpenError;

pub(crate) use answer::StoreSocket;
pub use ask::{copy, look};

/// The socket in the data directory.
const SOCKET_FILE: &str = "control";
/// A request: wants the file to stay as it is. Answered by [`HELD`], or an error.
const SNAPSHOT: &str = "snapshot";
const HELD: &str = "held";
/// A request: was everything read in time? Answered by [`INTACT`], or an error.
const CHECK: &str = "check";
const INTACT: &str = "intact";
/// A request: the counters, answered by [`LOOK_PREFIX`] and figures.
const LOOK: &str = "look";
/// An answer that begins so says what went wrong.
const ERROR_PREFIX: &str = "error: ";

/// What is in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Look {
    /// A server runs on it.
    pub is_in_use: bool,
    /// Messages waiting, over all users.
    pub messages: u64,
    /// The bytes of their bodies, each mailbox counted.
    pub bytes: u64,
    /// Users with at least one message waiting.
    pub users: u64,
    /// Size of the database file in bytes, without its log.
    pub file_bytes: u64,
}

/// A store cannot be copied, or not looked into.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Something is there already where the copy should be.
    #[error("{} exists already; remove it, or name another file", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("{}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system reported.
        source: io::Error,
    },
    /// The server that runs on the store does not do it.
    #[error("the server that runs on {} refuses: {reason}", .path.display())]
    Refused {
        /// The data directory.
        path: PathBuf,
        /// What it said.
        reason: String,
    },
    /// The server could not leave the file as it is for as long as the copy took.
    #[error(
        "the copy took too long, or the server was stopped meanwhile; copy again when less is written, or to a faster disk"
    )]
    TooSlow,
    /// The store, or the copy of it, cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
}
