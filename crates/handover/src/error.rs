//! [`HandoverError`]: why a process cannot succeed another.

use std::io;

use tokio::time::error::Elapsed;

/// The sockets cannot be handed over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandoverError {
    /// There are no Unix sockets on this system.
    #[cfg(not(unix))]
    #[error("listeners cannot be handed over on this system")]
    Unsupported,
    /// The path is not ours to use.
    #[error("{path} {problem}")]
    Place {
        /// The setting.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The other process belongs to another user.
    #[error("expected a process of the same user at the other end, found user {0}")]
    Stranger(u32),
    /// The other process does not hand over.
    #[error("the other process refuses: {0}")]
    Refused(String),
    /// The other process has said something else than it should.
    #[error("the other process does not speak the protocol: {0}")]
    Protocol(&'static str),
    /// The other process was too slow.
    #[error("the other process did not answer in time")]
    TimedOut,
    /// The running process has not let go of the listeners.
    #[error("the running process goes on instead of handing over")]
    NotReleased,
    /// A socket failed.
    #[error("the connection between the processes failed")]
    Io(#[from] io::Error),
}

impl From<Elapsed> for HandoverError {
    fn from(_elapsed: Elapsed) -> Self {
        Self::TimedOut
    }
}
