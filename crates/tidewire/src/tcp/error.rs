//! Errors, one enum per operation; blame is visible from the variant.

use std::{io, sync::Arc};

/// Receiving ended otherwise than by the end of the peer's bytes.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// The stream failed. [`is_disconnect`](Self::is_disconnect) tells a peer that has gone from other failures.
    #[error("the connection failed")]
    Io(#[source] Arc<io::Error>),
    /// TLS ended without its own end (`close_notify`): somebody else may have cut the connection.
    #[error("the connection was cut without TLS's end")]
    Truncated,
    /// The peer took none of our bytes within [`Config::write_timeout`](super::Config::write_timeout).
    #[error("the peer did not take what was sent in time")]
    WriteTimedOut,
    /// Nothing was received or sent for [`Config::idle_timeout`](super::Config::idle_timeout).
    #[error("the connection was idle for too long")]
    Idle,
    /// More than [`Config::receive_buffer_bytes_max`](super::Config::receive_buffer_bytes_max) would have to be held.
    #[error("the peer sent more than may be held")]
    TooMuch,
    /// The peer did not take broadcasts in time, and the rule for slow members is
    /// [`TooSlow::Disconnect`](super::TooSlow::Disconnect).
    #[error("the peer was too slow for what is broadcast")]
    TooSlow,
    /// This end aborted the connection, or the server ended.
    #[error("the connection was aborted")]
    Aborted,
}

impl RecvError {
    /// Returns whether the peer went away, which is a way for connections to end rather than a failure: reset,
    /// aborted, cut. Hooks for errors are not told of it.
    pub fn is_disconnect(&self) -> bool {
        match self {
            Self::Truncated | Self::Aborted => true,
            Self::Io(error) => is_disconnect(error.kind()),
            Self::WriteTimedOut | Self::Idle | Self::TooMuch | Self::TooSlow => false,
        }
    }

    /// From the stream's error.
    pub(super) fn from_stream(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Truncated;
        }
        Self::Io(Arc::new(error))
    }
}

/// Returns whether an error of the stream tells that the peer went away.
pub(super) fn is_disconnect(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
            | io::ErrorKind::UnexpectedEof
    )
}

/// Bytes were not queued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The connection is closing or over.
    #[error("the connection is closed")]
    Closed,
    /// Only from sending without waiting: more than
    /// [`Config::send_queue_bytes_max`](super::Config::send_queue_bytes_max) would be queued.
    #[error("the send queue is full")]
    Full,
    /// Only from sending with a time limit: there was no room in time.
    #[error("no room in the send queue in time")]
    TimedOut,
}

/// A client could not connect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The name has no address, or the service no port.
    #[error("cannot resolve {name}")]
    Resolve {
        /// The name, as it was given.
        name: String,
        /// The system's report.
        source: io::Error,
    },
    /// No address of the server took the connection.
    #[error("cannot reach {name}")]
    Io {
        /// The server's address, as it was given.
        name: String,
        /// The system's report.
        source: io::Error,
    },
    /// The TLS handshake failed: the certificate was refused, by us or by the server.
    #[cfg(feature = "tls")]
    #[error("TLS handshake with {name} failed")]
    Tls {
        /// The server's address, as it was given.
        name: String,
        /// The report of TLS.
        source: io::Error,
    },
    /// Not connected within [`Client::connect_timeout`](super::Client::connect_timeout).
    #[error("not connected in time")]
    TimedOut,
    /// Only from blocking clients: the thread that drives them could not be started.
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
}

impl ConnectError {
    /// Returns whether the same attempt, made again, would fail again: the server's certificate is not accepted.
    pub fn is_permanent(&self) -> bool {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls { source, .. } => crate::tls::is_permanent(source),
            Self::Resolve { .. } | Self::Io { .. } | Self::TimedOut | Self::Runtime(_) => false,
        }
    }
}
