//! A datagram that came: borrowed from the read buffer, or owned.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

/// Where a datagram came from and by which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Origin {
    /// Who sent it. An IPv4 address is told as such also by an IPv6 socket.
    pub from: SocketAddr,
    /// The address it was sent to, which tells a multicast group from others; `None` where the system does not tell.
    pub to: Option<IpAddr>,
    /// The index of the interface by which it came. `None` where the system does not tell, and on a socket that is
    /// bound to an address of one interface.
    pub interface: Option<u32>,
}

impl Origin {
    /// For a system call that tells the sender only.
    #[cfg(feature = "blocking")]
    pub(crate) fn new(from: SocketAddr) -> Self {
        Self {
            from: canonical(from),
            to: None,
            interface: None,
        }
    }
}

/// An IPv4 address as such.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => (v4, v6.port()).into(),
            None => address,
        },
        SocketAddr::V4(_) => address,
    }
}

/// A datagram in the read buffer.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct DatagramRef<'a> {
    /// The bytes that were sent; may be empty.
    pub payload: &'a [u8],
    /// Where it came from.
    pub origin: Origin,
}

impl DatagramRef<'_> {
    /// Who sent it.
    pub fn from(&self) -> SocketAddr {
        self.origin.from
    }

    /// A copy that can be kept.
    pub fn to_owned(&self) -> Datagram {
        Datagram {
            payload: Bytes::copy_from_slice(self.payload),
            origin: self.origin,
        }
    }
}

/// A datagram that can be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Datagram {
    /// The bytes that were sent; may be empty.
    pub payload: Bytes,
    /// Where it came from.
    pub origin: Origin,
}

impl Datagram {
    /// Who sent it.
    pub fn from(&self) -> SocketAddr {
        self.origin.from
    }
}
