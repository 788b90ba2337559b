//! What a reconnecting client tells its owner.

use std::{error::Error, time::Duration};

use tidewire_proto::{CloseFrame, Message, handshake::HandshakeError};

use crate::ws::{ConnectError, RecvError};

/// What happened to a [`Reconnecting`](super::Reconnecting) client.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientEvent {
    /// Connected; the greeting is through, and what is in the outbox goes out.
    Up {
        /// Which attempt it was since the last connection, from 1.
        attempt: u32,
        /// What this attempt took, greeting included.
        took: Duration,
    },
    /// A message came.
    Message(Message),
    /// Not connected: an attempt failed or a connection ended.
    Down {
        /// Why.
        reason: DownReason,
        /// When the next attempt begins; `None` when there is none: this is the last event.
        retry_in: Option<Duration>,
    },
}

/// Why a client is not connected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownReason {
    /// The attempt failed.
    #[error("cannot connect")]
    Connect(#[source] ConnectError),
    /// What was to renew address or headers failed.
    #[error("address and headers could not be renewed")]
    Renewal(#[source] Box<dyn Error + Send + Sync>),
    /// The greeting failed.
    #[error("the greeting failed")]
    Greeting(#[source] Box<dyn Error + Send + Sync>),
    /// The peer closed the connection properly, with or without a close frame's code.
    #[error("the peer closed the connection")]
    Closed(Option<CloseFrame>),
    /// The connection ended otherwise.
    #[error("the connection was lost")]
    Lost(#[source] RecvError),
}

impl DownReason {
    /// Whether trying again is pointless: [`ConnectError::is_permanent`]. The end of a connection
    /// that was up never is, nor are a failed renewal and a failed greeting; a
    /// [policy](super::Reconnect::retry_if) may see it otherwise.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Connect(error) => error.is_permanent(),
            Self::Renewal(_) | Self::Greeting(_) | Self::Closed(_) | Self::Lost(_) => false,
        }
    }

    /// How long the server asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Connect(error) => error.retry_after(),
            Self::Renewal(_) | Self::Greeting(_) | Self::Closed(_) | Self::Lost(_) => None,
        }
    }
}

impl ConnectError {
    /// Whether the same attempt, made again, would fail again: the address or a header is
    /// invalid; TLS or HTTP/2 is not available, or the server's certificate is for another name or of an
    /// authority that is not trusted; the server answered 3xx or 4xx (but for 408, 421, 425 and
    /// 429, which pass), or chose a subprotocol or extension that was not offered.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Url(_) | Self::Request(_) | Self::TlsUnavailable { .. } => true,
            #[cfg(feature = "http2")]
            Self::NoHttp2 { .. } | Self::NoExtendedConnect { .. } | Self::OtherOrigin { .. } => {
                true
            }
            Self::Handshake(HandshakeError::Subprotocol | HandshakeError::Extension(_)) => true,
            Self::Handshake(_) | Self::Refused(_) => self.status().is_some_and(|status| {
                (300..500).contains(&status) && !matches!(status, 408 | 421 | 425 | 429)
            }),
            #[cfg(feature = "tls")]
            Self::Tls { source, .. } => crate::tls::is_permanent(source),
            #[cfg(feature = "tls")]
            Self::SystemRoots(_) => false,
            #[cfg(not(feature = "tls"))]
            Self::Tls { .. } => false,
            Self::Io { .. }
            // Whoever is in front of a server may answer for it while it is away.
            | Self::OtherProtocol { .. }
            | Self::Lost(_)
            | Self::Proxy { .. }
            | Self::TimedOut
            | Self::Runtime(_) => false,
        }
    }

    /// How long the server asks to wait before the next attempt, in its own, unbounded words.
    pub fn retry_after(&self) -> Option<Duration> {
        if let Self::Handshake(HandshakeError::Busy { seconds, .. }) = self {
            Some(Duration::from_secs(u64::from(*seconds)))
        } else {
            self.response()?.retry_after()
        }
    }
}
