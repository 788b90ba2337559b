//! Headers to be written: by gateways in front of other servers, and by tests.

use super::{
    Addresses, Command, Header, Tlvs, Transport,
    checksum::crc32c,
    v2::{FIXED_LEN, SIGNATURE, UNIX_LEN},
};

/// A header or TLV is longer than its length field can tell, or a Unix path longer than 108
/// bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected at most 65535 bytes, and at most 108 in a path")]
pub struct EncodeError;

impl Header {
    /// The header as a line of version 1. What that cannot tell (Unix sockets, datagrams, a
    /// connection of the balancer itself) becomes `UNKNOWN`; TLVs are left out.
    pub fn encode_v1(&self) -> String {
        let stream = self.command == Command::Proxy && self.transport == Transport::Stream;
        match &self.addresses {
            Addresses::V4 {
                source: s,
                destination: d,
            } if stream => format!(
                "PROXY TCP4 {} {} {} {}\r\n",
                s.ip(),
                d.ip(),
                s.port(),
                d.port()
            ),
            Addresses::V6 {
                source: s,
                destination: d,
            } if stream => format!(
                "PROXY TCP6 {} {} {} {}\r\n",
                s.ip(),
                d.ip(),
                s.port(),
                d.port()
            ),
            Addresses::V4 { .. }
            | Addresses::V6 { .. }
            | Addresses::Unspecified
            | Addresses::Unix { .. } => "PROXY UNKNOWN\r\n".into(),
        }
    }

    /// The header in version 2. A checksum is added if `checksum` is set; one that came with
    /// the TLVs is left out, since it belongs to another header.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn encode_v2(&self, checksum: bool) -> Result<Vec<u8>, EncodeError> {
        let command = match self.command {
            Command::Local => 0x20,
            Command::Proxy => 0x21,
        };
        let mut block = Vec::new();
        let family: u8 = match &self.addresses {
            Addresses::Unspecified => 0x00,
            Addresses::V4 {
                source,
                destination,
            } => {
                block.extend_from_slice(&source.ip().octets());
                block.extend_from_slice(&destination.ip().octets());
                block.extend_from_slice(&source.port().to_be_bytes());
                block.extend_from_slice(&destination.port().to_be_bytes());
                0x10
            }
            Addresses::V6 {
                source,
                destination,
            } => {
                block.extend_from_slice(&source.ip().octets());
                block.extend_from_slice(&destination.ip().octets());
                block.extend_from_slice(&source.port().to_be_bytes());
                block.extend_from_slice(&destination.port().to_be_bytes());
                0x20
            }
            Addresses::Unix {
                source,
                destination,
            } => {
                for path in [source, destination] {
                    let mut field = [0; UNIX_LEN];
                    let place = field.get_mut(..path.len()).ok_or(EncodeError)?;
                    place.copy_from_slice(path);
                    block.extend_from_slice(&field);
                }
                0x30
            }
        };
        let transport = match self.transport {
            // Only 0x00 may go without a transport; TCP is what a reader would assume.
            Transport::Unspecified | Transport::Stream => 1,
            Transport::Datagram => 2,
        };
        let family = if family == 0 { 0 } else { family | transport };
        for tlv in self.tlvs.iter().filter(|tlv| tlv.kind != Tlvs::CRC32C) {
            let len = u16::try_from(tlv.value.len()).map_err(|_| EncodeError)?;
            block.push(tlv.kind);
            block.extend_from_slice(&len.to_be_bytes());
            block.extend_from_slice(tlv.value);
        }
        if checksum {
            block.extend_from_slice(&[Tlvs::CRC32C, 0, 4, 0, 0, 0, 0]);
        }
        let len = u16::try_from(block.len()).map_err(|_| EncodeError)?;
        let mut out = Vec::with_capacity(block.len().saturating_add(FIXED_LEN));
        out.extend_from_slice(SIGNATURE);
        out.extend_from_slice(&[command, family]);
        out.extend_from_slice(&len.to_be_bytes());
        out.append(&mut block);
        if checksum {
            let crc = crc32c(&[&out]);
            if let Some(field) = out.last_chunk_mut::<4>() {
                *field = crc.to_be_bytes();
            }
        }
        Ok(out)
    }
}
