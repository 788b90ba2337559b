//! Who is at the other end of a connection.

use std::{net::SocketAddr, sync::Arc};

use tidewire_proto::proxy::{Addresses, Command, Header};

use crate::socket::UnixPeer;

use super::{
    address::{Address, UnixAddress},
    guests::Guest,
};

/// What is known about the peer.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Peer {
    /// Remote address of the TCP connection; that of the proxy when there is one between. `None` on a Unix socket.
    pub address: Option<SocketAddr>,
    /// Set on a Unix socket: the process at the other end, as the system tells.
    pub unix: Option<UnixPeer>,
    /// Whether the connection is encrypted.
    pub secure: bool,
    /// What the TLS handshake told; `None` on a plain connection, which so stays small.
    #[cfg(feature = "tls")]
    pub tls: Option<Box<crate::tls::TlsPeer>>,
    /// What a trusted balancer told about the client
    /// ([`ProxyProtocol::Required`](crate::service::ProxyProtocol::Required)).
    pub proxied: Option<Box<Header>>,
    /// Where the connection may have to make room for others.
    pub(crate) guest: Option<Arc<Guest>>,
}

impl Peer {
    /// The other end of the connection itself, be it a client or a proxy: `unix:` for any client of a Unix socket. `None` for
    /// streams without addresses.
    pub fn remote(&self) -> Option<Address> {
        let unix = self.unix.map(|_told| UnixAddress::Unnamed.into());
        unix.or_else(|| self.address.map(Address::from))
    }

    /// The other end is on this machine: on a Unix socket, or an address of loopback. Whoever stands behind it (a proxy
    /// that passes on what others send) is another question.
    pub fn is_local(&self) -> bool {
        self.remote().is_some_and(|address| address.is_local())
    }

    /// The connection is somebody's who has proved who that is: it is no guest any more, and makes room for nobody. See
    /// [`Limits::guests_max`](crate::service::Limits::guests_max).
    pub fn trust(&self) {
        if let Some(guest) = &self.guest {
            guest.trust();
        }
    }

    /// The connection asks for something: other guests make room before it does.
    pub fn touch(&self) {
        if let Some(guest) = &self.guest {
            guest.touch();
        }
    }

    /// The peer's verified certificate chain, DER, end entity first; empty without TLS, of a
    /// client without mutual TLS, and when nothing was verified.
    #[cfg(feature = "tls")]
    pub fn certificates(&self) -> &[Vec<u8>] {
        self.tls.as_ref().map_or(&[], |tls| &tls.certificates)
    }

    /// The client's address: as a trusted balancer told, or else that of the TCP connection,
    /// which it also is when the balancer connected for itself or does not know. `None` for a
    /// client on a Unix socket, and for streams without addresses.
    pub fn client_address(&self) -> Option<SocketAddr> {
        match &self.proxied {
            Some(header) if self.is_proxied() => header.addresses.source(),
            Some(_) | None => self.address,
        }
    }

    /// A balancer has told of a client, even if of one without an address.
    pub(crate) fn is_proxied(&self) -> bool {
        self.proxied.as_ref().is_some_and(|header| {
            header.command == Command::Proxy && header.addresses != Addresses::Unspecified
        })
    }
}
