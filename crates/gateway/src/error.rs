//! [`StartError`]: why a gateway cannot start, or change.

use std::io;

use tidewire::net::Address;
use tidewire_handover::HandoverError;

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
