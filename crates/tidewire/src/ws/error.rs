//! Errors, one enum per operation; blame is visible from the variant.

use std::{io, sync::Arc};

use tidewire_proto::{
    ProtocolError,
    handshake::{HandshakeError, Refusal, RequestError, UrlError},
};

use super::{HttpResponse, OtherProtocol};
use crate::net::ProxyError;

/// Receiving ended otherwise than by a closing handshake.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// The peer broke the protocol or a limit; it was told by a close frame.
    #[error("the peer broke the protocol")]
    Protocol(#[from] ProtocolError),
    /// Nothing was received within the ping and pong deadlines, or no close frame in answer to
    /// ours, or the peer took none of our bytes within the write deadline.
    #[error("the peer did not respond in time")]
    TimedOut,
    /// The stream ended without a close frame (code 1006 in the browser's words).
    #[error("the connection was lost")]
    Lost,
    /// The stream failed.
    #[error("the connection failed")]
    Io(#[source] Arc<io::Error>),
}

impl RecvError {
    /// The rule the peer broke, if that ended the connection.
    pub fn protocol(&self) -> Option<ProtocolError> {
        match self {
            Self::Protocol(error) => Some(*error),
            Self::TimedOut | Self::Lost | Self::Io(_) => None,
        }
    }
}

/// A message was not queued.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The connection is closing or closed.
    #[error("the connection is closing")]
    Closed,
    /// The send queue is full and the peer took nothing within the write deadline, or, of sending with a time limit,
    /// there was no room within that.
    #[error("the peer did not read in time")]
    TimedOut,
    /// Only from `try_send`: the send queue is full.
    #[error("the send queue is full")]
    Full,
    /// A ping above 125 bytes.
    #[error("control payload above 125 bytes")]
    ControlTooLong,
    /// A message sent in pieces has not been finished.
    #[error("a message sent in pieces has not ended")]
    InFragments,
    /// The stream failed.
    #[error("the connection failed")]
    Io(#[source] Arc<io::Error>),
}

impl From<tidewire_proto::SendError> for SendError {
    fn from(error: tidewire_proto::SendError) -> Self {
        match error {
            tidewire_proto::SendError::Full => Self::Full,
            tidewire_proto::SendError::ControlTooLong => Self::ControlTooLong,
            tidewire_proto::SendError::InFragments => Self::InFragments,
            tidewire_proto::SendError::Closed | _ => Self::Closed,
        }
    }
}

/// A client could not connect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address is no WebSocket address.
    #[error("invalid address")]
    Url(#[from] UrlError),
    /// A header or subprotocol cannot be sent.
    #[error("invalid request")]
    Request(#[from] RequestError),
    /// Name resolution failed, or the connection of TCP or to the Unix socket.
    #[error("cannot reach {}{}", place(host, *port), why_not_reached(host, source))]
    Io {
        /// Host of the address, or the Unix socket as in `unix:/run/app.sock`.
        host: String,
        /// Port of the address; without meaning for a Unix socket.
        port: u16,
        /// What the system reported.
        source: io::Error,
    },
    /// The server speaks another protocol: TLS where the address says `ws://`, or none where it says `wss://`, or
    /// none of HTTP at all.
    #[error("{} {}", place(host, *port), found.told())]
    OtherProtocol {
        /// Host of the address, or the Unix socket as in `unix:/run/app.sock`.
        host: String,
        /// Port of the address; without meaning for a Unix socket.
        port: u16,
        /// The protocol it speaks.
        found: OtherProtocol,
    },
    /// The TLS handshake failed: the certificate was refused, by us or by the server. The last of the causes
    /// tells what can be done about it.
    #[error("TLS handshake with {host} failed")]
    Tls {
        /// Host of the address.
        host: String,
        /// What TLS reported.
        source: io::Error,
    },
    /// A `wss://` address, no TLS settings, and the system's certificate authorities cannot be read.
    #[cfg(feature = "tls")]
    #[error("no certificate authority is trusted")]
    SystemRoots(#[source] crate::tls::TlsError),
    /// A `wss://` address in a build without the `tls` feature, or a host name TLS cannot use.
    #[error("wss is not available for {host}")]
    TlsUnavailable {
        /// Host of the address.
        host: String,
    },
    /// The connection ended during the handshake.
    #[error("the connection was lost during the handshake")]
    Lost(#[source] io::Error),
    /// The server answered with another HTTP status: it refused, redirects elsewhere, is busy, or serves no
    /// WebSocket there. The response tells more.
    #[error("the server did not accept the WebSocket")]
    Refused(#[source] Box<HttpResponse>),
    /// The server's answer is no valid handshake.
    #[error("the server did not accept the WebSocket")]
    Handshake(#[from] HandshakeError),
    /// There is no way through the proxy; nothing was heard of the server.
    #[error("no connection through the proxy {proxy}")]
    Proxy {
        /// The proxy's address, without credentials.
        proxy: String,
        /// How far it went.
        source: ProxyError,
    },
    /// The server does not speak HTTP/2: it did not agree on it by ALPN, or it answered something
    /// else.
    #[cfg(feature = "http2")]
    #[error("{host} does not speak HTTP/2")]
    NoHttp2 {
        /// Host of the address.
        host: String,
        /// What came instead, if anything.
        source: Option<io::Error>,
    },
    /// The server speaks HTTP/2, but no WebSocket over it: its settings do not enable the extended
    /// CONNECT of RFC 8441.
    #[cfg(feature = "http2")]
    #[error("{host} does not offer WebSockets over HTTP/2 (RFC 8441)")]
    NoExtendedConnect {
        /// Host of the address.
        host: String,
    },
    /// The HTTP/2 connection leads to another scheme, host or port than the address.
    #[cfg(feature = "http2")]
    #[error("the connection leads to {connected}")]
    OtherOrigin {
        /// Where it leads.
        connected: String,
    },
    /// Not done within the connect deadline.
    #[error("not connected in time")]
    TimedOut,
    /// Only from blocking clients: the thread that drives them could not be started.
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
}

impl ConnectError {
    /// The HTTP status, if the server answered with another than the one that opens a WebSocket.
    pub fn status(&self) -> Option<u16> {
        if let Self::Handshake(error) = self {
            return error.status();
        }
        self.response().map(HttpResponse::status)
    }

    /// The server's answer, if it was an HTTP response other than the one that opens a WebSocket: status, header
    /// fields, and the beginning of the body.
    pub fn response(&self) -> Option<&HttpResponse> {
        if let Self::Refused(response) = self {
            Some(response)
        } else {
            None
        }
    }
}

fn place(host: &str, port: u16) -> String {
    if host.starts_with(UNIX) {
        host.to_owned()
    } else {
        format!("{host}:{port}")
    }
}

/// How Unix sockets are shown; no host name holds a colon.
const UNIX: &str = "unix:";

/// The meaning of an error of the system, where it does not say so itself.
fn why_not_reached(host: &str, error: &io::Error) -> &'static str {
    if host.starts_with(UNIX) && error.kind() == io::ErrorKind::PermissionDenied {
        return " (this user may not connect to it)";
    }
    if error.to_string().starts_with("failed to lookup address") {
        return " (the name has no address: is it right?)";
    }
    let told = [
        (io::ErrorKind::ConnectionRefused, " (nothing listens there)"),
        (
            io::ErrorKind::HostUnreachable,
            " (there is no way to it from here)",
        ),
        (
            io::ErrorKind::NetworkUnreachable,
            " (there is no way to it from here)",
        ),
        (
            io::ErrorKind::PermissionDenied,
            " (a firewall or policy of this machine forbids it)",
        ),
    ];
    let known = told.iter().find(|(kind, _meaning)| *kind == error.kind());
    known.map_or("", |(_kind, meaning)| meaning)
}

/// A stream did not become a WebSocket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The request was no valid one for a WebSocket; the peer was told.
    #[error("refused with status {}: {}", .0.status, .0.reason)]
    Refused(Refusal),
    /// The connection ended during the handshake.
    #[error("the connection was lost during the handshake")]
    Lost(#[source] io::Error),
    /// Not done within the handshake deadline.
    #[error("no handshake in time")]
    TimedOut,
}
