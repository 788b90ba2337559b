//! Errors, one enum per operation; blame is visible from the variant.

use tidewire_proto::fbe::{DecodeError, EncodeError};

use crate::tcp;

/// A connection ended otherwise than by a proper end of either side.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The peer sent what is no message, or a longer one than is taken.
    #[error("the peer broke the protocol")]
    Protocol(#[source] DecodeError),
    /// The connection below failed.
    #[error(transparent)]
    Tcp(tcp::RecvError),
}

impl SessionError {
    /// Returns whether the peer went away, which is a way for connections to end rather than a failure.
    pub fn is_disconnect(&self) -> bool {
        match self {
            Self::Tcp(error) => error.is_disconnect(),
            Self::Protocol(_) => false,
        }
    }
}

/// A message was not queued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The message cannot be written.
    #[error("the message cannot be encoded")]
    Encode(#[source] EncodeError),
    /// The connection is closed, its queue is full, or there was no room in time.
    #[error(transparent)]
    Tcp(#[from] tcp::SendError),
}

impl SendError {
    pub(crate) const CLOSED: Self = Self::Tcp(tcp::SendError::Closed);
}

/// A request has no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The server rejected it, for this reason.
    #[error("{0}")]
    Rejected(String),
    /// There was no answer in time. The server may have handled the request all the same.
    #[error("Timeout!")]
    TimedOut,
    /// The connection ended before the answer came. The server may have handled the request all the same.
    #[error("Reset client!")]
    Reset,
    /// So many requests wait for their answers that this one was not sent; see
    /// [`Client::requests_max`](super::Client::requests_max).
    #[error("too many requests wait for their answers")]
    TooMany,
    /// It was not sent.
    #[error(transparent)]
    Send(#[from] SendError),
}
