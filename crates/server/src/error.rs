//! [`StartError`]: why a server cannot start.

use std::io;

use tidewire_engine::embedded::OpenError;
use tidewire_hub::ConfigError;

/// The server could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The store cannot be opened.
    #[error("cannot open the message store")]
    Store(#[from] OpenError),
    /// The list of blocked users cannot be read.
    #[error("cannot read the list of blocked users")]
    Blocks(#[source] io::Error),
    /// The access log cannot be opened.
    #[error("cannot open the access log")]
    AccessLog(#[source] io::Error),
    /// A listener cannot be started.
    #[error("cannot start the {listener} listener")]
    Listener {
        /// Which one.
        listener: &'static str,
        /// Why.
        source: tidewire::ws::StartError,
    },
    /// The system has no threads for deliveries.
    #[error("cannot start the threads that deliver messages")]
    Threads(#[source] io::Error),
    /// The events out cannot be started.
    #[error("cannot start the events")]
    Events(#[from] tidewire_notify::StartError),
    /// The messaging limits contradict each other.
    #[error("invalid messaging settings")]
    Hub(#[from] ConfigError),
}
