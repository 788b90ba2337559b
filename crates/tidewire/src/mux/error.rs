//! Errors, one enum per operation. Why a connection ended ([`Lost`]) is part of each.

use tidewire_proto::{
    CloseFrame,
    mux::{FlowError, FrameError},
};

use crate::ws;

/// There is no connection to a gateway.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// There is no WebSocket.
    #[error("cannot connect to the gateway")]
    Connect(#[from] ws::ConnectError),
    /// There is one, but the server did not choose `tidewire.mux.v1`: it is no gateway, or this
    /// address is one of its pinned routes.
    #[error("the server does not speak tidewire.mux.v1 at this address")]
    NoGateway,
}

/// Why a connection to a gateway ended; all its sockets end with it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// The gateway closed it, with this frame if it had one: 1012 when it goes away.
    #[error("the gateway closed the connection{}", told(.0.as_ref()))]
    Closed(Option<CloseFrame>),
    /// This end did: by [`Gateway::close`](super::Gateway::close), or because every handle is gone.
    #[error("the connection was closed by this end")]
    ClosedHere,
    /// The WebSocket failed.
    #[error("the connection to the gateway was lost")]
    Connection(#[source] ws::RecvError),
    /// The gateway broke the protocol; it was told by close code 1002.
    #[error("the gateway broke the protocol")]
    Protocol(#[source] Violation),
    /// The runtime that drove the connection was shut down.
    #[error("the runtime of the connection was shut down")]
    Runtime,
}

/// Which rule of `tidewire.mux.v1` a gateway broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A message is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame does not fit what came before.
    #[error(transparent)]
    Flow(#[from] FlowError),
}

/// A logical socket was not opened.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Name, query, subprotocols or credit cannot be sent.
    #[error("the endpoint cannot be asked for")]
    Invalid(#[source] FrameError),
    /// The gateway, or the backend behind it, refused.
    #[error("refused with status {status}: {reason}")]
    Rejected {
        /// An HTTP status: 404 unknown name, 401 or 403 not allowed, 429 too many, 502 no WebSocket
        /// behind it, 503 no backend, 504 not in time, or the backend's own.
        status: u16,
        /// Why, for people; may be empty.
        reason: String,
    },
    /// The gateway is going away and opens nothing more: connect again.
    #[error("the gateway is going away")]
    GoingAway,
    /// The backend chose a subprotocol that was not offered.
    #[error("the backend chose a subprotocol that was not offered")]
    Subprotocol,
    /// This connection has opened 2^32 - 1 sockets: connect again.
    #[error("all stream numbers of the connection are used up")]
    NumbersUsedUp,
    /// The connection ended before there was an answer, or had ended before.
    #[error("no connection to the gateway")]
    Lost(#[from] Lost),
}

/// Receiving on a logical socket ended otherwise than by CLOSE.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// The connection ended.
    #[error("the connection to the gateway ended")]
    Lost(#[from] Lost),
    /// A message above the socket's limit; the socket was closed with 1009.
    #[error("message too big: more than {max} bytes")]
    TooBig {
        /// The limit.
        max: usize,
    },
    /// Text that is not UTF-8; the socket was closed with 1007.
    #[error("text is not valid UTF-8")]
    InvalidUtf8,
}

/// A message was not taken for sending on a logical socket.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The socket is closing or closed, by either end.
    #[error("the logical socket is closing")]
    Closed,
    /// The connection ended.
    #[error("the connection to the gateway ended")]
    Lost(#[from] Lost),
}

/// What a close frame says.
fn told(frame: Option<&CloseFrame>) -> String {
    match frame {
        Some(frame) if frame.reason.is_empty() => format!(" with {}", frame.code),
        Some(frame) => format!(" with {}: {}", frame.code, frame.reason),
        None => String::new(),
    }
}
