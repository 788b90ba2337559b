//! The PROXY protocol of `HAProxy`: a balancer tells in front of the first bytes of a
//! connection who is really at the other end.
//!
//! In: all bytes that came so far. Out: "more", the header with its length, or an error that
//! tells what was expected. Nothing is kept between calls, and no byte behind the header is
//! looked at. Bounds: 107 bytes in version 1; in version 2 what the caller allows, checked
//! against the announced length before any of it arrives.

mod v1; // the text form
mod v2; // the binary form
mod tlv; // what else a balancer tells: ALPN, host name, TLS
mod checksum; // CRC-32C
mod encode; // write headers: gateways and tests
#[cfg(test)]
mod tests;

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use bytes::Bytes;

pub use encode::EncodeError;
pub use tlv::{Ssl, Tlv, Tlvs};

/// A limit for [`Header::scan`] that fits: the 536 bytes which the specification wants every
/// receiver to take, and 4 KiB of TLVs on top.
pub const HEADER_BYTES_MAX: usize = 536 + 4096;

/// A balancer's report about a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// The form it came in.
    pub version: Version,
    /// The sender speaks for somebody else, or for itself.
    pub command: Command,
    /// The kind of the original connection.
    pub transport: Transport,
    /// Both ends of the original connection.
    pub addresses: Addresses,
    /// Further fields; only in version 2.
    pub tlvs: Tlvs,
}

/// The form of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary, with TLVs.
    V2,
}

/// For whom the connection was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// The balancer for itself, as for a health check: the addresses of the connection are the
    /// real ones, and all else in the header is ignored, as the specification demands.
    Local,
    /// For the client that is named.
    Proxy,
}

/// The kind of the original connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Not told.
    Unspecified,
    /// TCP or a Unix stream.
    Stream,
    /// UDP or a Unix datagram.
    Datagram,
}

/// Both ends of the original connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Addresses {
    /// Not told, or unknown to the balancer.
    Unspecified,
    /// IPv4.
    V4 {
        /// The client.
        source: SocketAddrV4,
        /// Where the client connected to.
        destination: SocketAddrV4,
    },
    /// IPv6.
    V6 {
        /// The client.
        source: SocketAddrV6,
        /// Where the client connected to.
        destination: SocketAddrV6,
    },
    /// Unix sockets: paths without the zeros behind them, at most 108 bytes.
    Unix {
        /// The client.
        source: Bytes,
        /// Where the client connected to.
        destination: Bytes,
    },
}

impl Addresses {
    /// The client's address, if it is an IP address.
    pub fn source(&self) -> Option<SocketAddr> {
        match self {
            Self::V4 { source, .. } => Some((*source).into()),
            Self::V6 { source, .. } => Some((*source).into()),
            Self::Unspecified | Self::Unix { .. } => None,
        }
    }

    /// The address the client connected to, if it is an IP address.
    pub fn destination(&self) -> Option<SocketAddr> {
        match self {
            Self::V4 { destination, .. } => Some((*destination).into()),
            Self::V6 { destination, .. } => Some((*destination).into()),
            Self::Unspecified | Self::Unix { .. } => None,
        }
    }
}

/// Bytes are no PROXY protocol header; the connection is to be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The first bytes belong to neither version: the peer is no balancer, or not set up as one.
    #[error("expected `PROXY ` or the 12 bytes that begin version 2 of the PROXY protocol")]
    Signature,
    /// The signature of version 2 with another version behind it.
    #[error("expected version 2 behind the binary signature, got {0}")]
    Version(u8),
    /// A command that version 2 does not know.
    #[error("expected command 0 (LOCAL) or 1 (PROXY), got {0}")]
    Command(u8),
    /// An address family or transport that version 2 does not know.
    #[error(
        "expected family and transport 0x00, 0x11, 0x12, 0x21, 0x22, 0x31 or 0x32, got {0:#04x}"
    )]
    Family(u8),
    /// A version 1 line without end.
    #[error("expected a line of at most 107 bytes that ends with CR LF")]
    LineTooLong,
    /// A part of a version 1 line is wrong.
    #[error("expected {0} in the PROXY line")]
    Line(&'static str),
    /// More bytes announced than allowed.
    #[error("expected a header of at most {max} bytes, {announced} are announced")]
    TooLarge {
        /// With the fixed part.
        announced: usize,
        /// The limit that the caller set, in bytes.
        max: usize,
    },
    /// Fewer bytes announced than the addresses of the family need.
    #[error("expected {expected} bytes of addresses, {announced} are announced")]
    TooShort {
        /// The length that the family needs, in bytes.
        expected: usize,
        /// Without the fixed part.
        announced: usize,
    },
    /// A TLV that ends behind the header, or one of the wrong form.
    #[error("expected {0}")]
    Tlv(&'static str),
    /// The header was damaged on its way.
    #[error("expected another CRC-32C: the header is damaged")]
    Checksum,
}

impl Header {
    /// Looks for a header at the start of `bytes`, which are all that came so far. `None`: more
    /// are needed, and all that are there belong to the header. Otherwise the header and its
    /// length; what follows is the client's. `bytes_max` bounds version 2, see
    /// [`HEADER_BYTES_MAX`].
    ///
    /// # Errors
    /// [`HeaderError`], with the first byte that cannot belong to a header.
    pub fn scan(bytes: &[u8], bytes_max: usize) -> Result<Option<(Self, usize)>, HeaderError> {
        if starts_alike(bytes, v2::SIGNATURE) {
            v2::scan(bytes, bytes_max)
        } else if starts_alike(bytes, v1::START) {
            v1::scan(bytes)
        } else {
            Err(HeaderError::Signature)
        }
    }

    /// The header of a connection which a balancer makes for itself.
    pub fn local() -> Self {
        Self {
            version: Version::V2,
            command: Command::Local,
            transport: Transport::Unspecified,
            addresses: Addresses::Unspecified,
            tlvs: Tlvs::default(),
        }
    }

    /// The header of a TCP connection from `source` to `destination`, to be written in either
    /// version. Addresses of different families become IPv6.
    pub fn tcp(source: SocketAddr, destination: SocketAddr) -> Self {
        let addresses = match (source, destination) {
            (SocketAddr::V4(source), SocketAddr::V4(destination)) => Addresses::V4 {
                source,
                destination,
            },
            (source, destination) => Addresses::V6 {
                source: mapped(source),
                destination: mapped(destination),
            },
        };
        Self {
            version: Version::V2,
            command: Command::Proxy,
            transport: Transport::Stream,
            addresses,
            tlvs: Tlvs::default(),
        }
    }
}

fn mapped(address: SocketAddr) -> SocketAddrV6 {
    match address {
        SocketAddr::V4(v4) => SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0),
        SocketAddr::V6(v6) => SocketAddrV6::new(*v6.ip(), v6.port(), 0, 0),
    }
}

/// Returns whether one is the beginning of the other.
fn starts_alike(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(a, b)| a == b)
}
