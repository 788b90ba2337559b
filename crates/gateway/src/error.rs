//! [`StartError`]: why a gateway cannot start, or change; [`HandoverError`]: why it cannot succeed another.

use std::io;

use tidewire::net::Address;
use tokio::time::error::Elapsed;

/// A gateway cannot start, or take other settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A listener cannot be bound.
    #[error(transparent)]
    Listen(#[from] tidewire::ws::StartError),
    /// The admin listener would let everybody in from everywhere.
    #[error("the admin listener at {0} is not on loopback and needs authentication")]
    AdminOpen(Address),
    /// The access log cannot be opened.
    #[error("cannot open the access log")]
    AccessLog(#[source] io::Error),
    /// Too many listeners were removed whose sessions have not ended.
    #[error("too many removed listeners still have sessions")]
    Retired,
    /// The process that runs cannot be succeeded, or none could succeed this one.
    #[error("cannot take over")]
    Handover(#[from] HandoverError),
}

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

/// An error and its causes on one line.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
