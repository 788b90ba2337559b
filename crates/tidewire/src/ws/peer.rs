//! Who is at the other end of a connection.

use std::net::SocketAddr;

/// What is known about the peer.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Peer {
    /// Remote address of the TCP connection.
    pub address: Option<SocketAddr>,
    /// Whether the connection is encrypted.
    pub secure: bool,
    /// What the TLS handshake told; `None` on a plain connection, which so stays small.
    #[cfg(feature = "tls")]
    pub tls: Option<Box<crate::tls::TlsPeer>>,
}

#[cfg(feature = "tls")]
impl Peer {
    /// The peer's verified certificate chain, DER, end entity first; empty without TLS, of a
    /// client without mutual TLS, and when nothing was verified.
    pub fn certificates(&self) -> &[Vec<u8>] {
        self.tls.as_ref().map_or(&[], |tls| &tls.certificates)
    }
}
