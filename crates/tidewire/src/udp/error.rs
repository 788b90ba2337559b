//! Errors, one per operation.

use std::{fmt, io, net::SocketAddr};

/// Something is wrong about datagrams that were sent, or with the socket; it goes on.
///
/// Told by [`Handler::failed`](super::Handler::failed), [`Socket::event`](super::Socket::event) and
/// [`Observer::error`](super::Observer::error).
#[derive(Debug)]
#[non_exhaustive]
pub struct SocketError {
    /// Where the datagram went, if the system tells.
    pub to: Option<SocketAddr>,
    /// The report of the system: `ConnectionRefused` when nobody listens at the port, `HostUnreachable` and others.
    pub error: io::Error,
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to {
            Some(to) => write!(f, "a datagram to {to} did not arrive"),
            None => f.write_str("a datagram did not arrive"),
        }
    }
}

impl std::error::Error for SocketError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// A datagram was not sent, nor queued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no room in the queue ([`send_queue_bytes_max`](super::Config::send_queue_bytes_max)).
    #[error("the send queue is full")]
    Full,
    /// The payload is longer than a datagram of this socket may be.
    #[error("a datagram of {len} bytes is too large, at most {max} are allowed")]
    TooLarge {
        /// Bytes of the payload.
        len: usize,
        /// Most bytes allowed: [`datagram_bytes_max`](super::Config::datagram_bytes_max), and what the protocol allows.
        max: usize,
    },
    /// The socket has no peer, and no address was given.
    #[error("the socket has no peer; send to an address")]
    NoPeer,
    /// An IPv4 socket cannot send to an IPv6 address.
    #[error("an IPv4 socket cannot send to {0}")]
    Family(SocketAddr),
    /// Nothing listens at port 0.
    #[error("port 0 cannot be sent to")]
    PortZero,
    /// It was not sent in time.
    #[error("the datagram could not be sent in time")]
    Timeout,
    /// The system refused it, for example because there is no way to the address.
    #[error("the system refuses the datagram")]
    Refused(#[source] io::Error),
    /// The socket is closed.
    #[error("the socket is closed")]
    Closed,
}

/// Nothing can be received.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// The peer could not be reached, as the system has learned. The socket goes on: the peer may come back.
    #[error(transparent)]
    Unreachable(SocketError),
    /// The system ended the socket.
    #[error("the socket has failed")]
    Io(#[source] io::Error),
    /// Nothing came in time.
    #[error("no datagram came in time")]
    Timeout,
}

/// A client could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The name has no address, or nobody knows.
    #[error("cannot resolve {name}")]
    Resolve {
        /// The name.
        name: String,
        /// The report of the resolver.
        source: io::Error,
    },
    /// No socket could be made for the address.
    #[error("cannot open a socket for {address}")]
    Open {
        /// The address.
        address: SocketAddr,
        /// The report of the system.
        source: io::Error,
    },
    /// The group cannot be joined.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// It was not done in time.
    #[error("the name was not resolved in time")]
    Timeout,
}

/// A multicast group cannot be joined or left.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {group}")]
#[non_exhaustive]
pub struct GroupError {
    pub(super) verb: &'static str,
    /// The group.
    pub group: super::Group,
    /// The report of the system.
    pub source: io::Error,
}

impl GroupError {
    #[cfg(feature = "blocking")]
    pub(crate) fn cannot_join(group: &super::Group, source: io::Error) -> Self {
        Self {
            verb: "join",
            group: group.clone(),
            source,
        }
    }
}

/// A server could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address cannot be bound.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The report of the system.
        source: io::Error,
    },
    /// A group cannot be joined.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// A thread or runtime could not be made.
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
}
