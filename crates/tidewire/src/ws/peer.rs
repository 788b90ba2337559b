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
    /// The peer's verified certificate chain, DER, end entity first; empty without mutual TLS.
    pub certificates: Vec<Vec<u8>>,
}
