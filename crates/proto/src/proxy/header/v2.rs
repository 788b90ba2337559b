//! Version 2, section 2.2 of the specification: signature (12 bytes), version and command,
//! family and transport, length of the rest; then addresses, then TLVs.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use bytes::Bytes;

use super::{Addresses, Command, Header, HeaderError, Tlvs, Transport, Version, tlv};

/// How a header begins: no text protocol's first bytes.
pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Bytes in front of the addresses.
pub(super) const FIXED_LEN: usize = 16;

/// Bytes of one Unix address.
pub(super) const UNIX_LEN: usize = 108;

pub(super) fn scan(bytes: &[u8], bytes_max: usize) -> Result<Option<(Header, usize)>, HeaderError> {
    let mut fixed = bytes.iter().skip(SIGNATURE.len()).copied();
    let Some(version_and_command) = fixed.next() else {
        return Ok(None);
    };
    if version_and_command >> 4 != 2 {
        return Err(HeaderError::Version(version_and_command >> 4));
    }
    let command = match version_and_command & 15 {
        0 => Command::Local,
        1 => Command::Proxy,
        other => return Err(HeaderError::Command(other)),
    };
    let Some(family) = fixed.next() else {
        return Ok(None);
    };
    // "discard the protocol block including the family which is ignored"
    let form = match command {
        Command::Local => Form::None,
        Command::Proxy => Form::of(family)?,
    };
    let (Some(high), Some(low)) = (fixed.next(), fixed.next()) else {
        return Ok(None);
    };
    let announced = usize::from(u16::from_be_bytes([high, low]));
    let len = announced.saturating_add(FIXED_LEN);
    if len > bytes_max {
        return Err(HeaderError::TooLarge {
            announced: len,
            max: bytes_max,
        });
    }
    if announced < form.len() {
        return Err(HeaderError::TooShort {
            expected: form.len(),
            announced,
        });
    }
    let Some(whole) = bytes.get(..len) else {
        return Ok(None);
    };
    let block = whole.get(FIXED_LEN..).unwrap_or_default();
    let (addresses, rest) = block.split_at_checked(form.len()).unwrap_or_default();
    // Without addresses nobody can tell where TLVs would begin: nothing of the block is believed.
    let tlvs = if form == Form::None {
        Tlvs::default()
    } else {
        tlv::check(whole, rest)?
    };
    let header = Header {
        version: Version::V2,
        command,
        transport: match family & 15 {
            1 if form != Form::None => Transport::Stream,
            2 if form != Form::None => Transport::Datagram,
            _ => Transport::Unspecified,
        },
        addresses: form.read(addresses),
        tlvs,
    };
    Ok(Some((header, len)))
}

/// The form of the address block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    None,
    V4,
    V6,
    Unix,
}

impl Form {
    /// By the byte of family and transport; other combinations "must be rejected as invalid".
    fn of(family: u8) -> Result<Self, HeaderError> {
        match family {
            0x00 => Ok(Self::None),
            0x11 | 0x12 => Ok(Self::V4),
            0x21 | 0x22 => Ok(Self::V6),
            0x31 | 0x32 => Ok(Self::Unix),
            other => Err(HeaderError::Family(other)),
        }
    }

    fn len(self) -> usize {
        match self {
            Self::None => 0,
            Self::V4 => 12,
            Self::V6 => 36,
            Self::Unix => UNIX_LEN.saturating_mul(2),
        }
    }

    fn read(self, block: &[u8]) -> Addresses {
        let mut rest = block;
        match self {
            Self::None => Addresses::Unspecified,
            Self::V4 => {
                let ips = [take(&mut rest), take(&mut rest)].map(Ipv4Addr::from_octets);
                let ports = [take(&mut rest), take(&mut rest)].map(u16::from_be_bytes);
                Addresses::V4 {
                    source: SocketAddrV4::new(ips[0], ports[0]),
                    destination: SocketAddrV4::new(ips[1], ports[1]),
                }
            }
            Self::V6 => {
                let ips = [take(&mut rest), take(&mut rest)].map(Ipv6Addr::from_octets);
                let ports = [take(&mut rest), take(&mut rest)].map(u16::from_be_bytes);
                Addresses::V6 {
                    source: SocketAddrV6::new(ips[0], ports[0], 0, 0),
                    destination: SocketAddrV6::new(ips[1], ports[1], 0, 0),
                }
            }
            Self::Unix => Addresses::Unix {
                source: path(take(&mut rest)),
                destination: path(take(&mut rest)),
            },
        }
    }
}

/// The next `N` bytes; the caller has checked the length, missing ones would be zeros.
fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let (first, rest) = bytes.split_first_chunk().unwrap_or((&[0; N], &[]));
    *bytes = rest;
    *first
}

/// A path ends with its last byte that is not zero: names of abstract sockets begin with zero.
fn path(bytes: [u8; UNIX_LEN]) -> Bytes {
    let len = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |at| at.saturating_add(1));
    Bytes::copy_from_slice(bytes.get(..len).unwrap_or_default())
}
