//! Frame headers (RFC 6455 section 5.2): read strictly, written minimally.

use crate::{Kind, ProtocolError, Role};

/// The kind of a frame (RFC 6455 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    pub(crate) const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }
}

/// Marks a compressed message on its first frame (RFC 7692 section 6).
pub(crate) const RSV1: u8 = 0x40;

/// A frame header as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) fin: bool,
    /// RSV1: the first frame of a compressed message (RFC 7692 section 6).
    pub(crate) compressed: bool,
    pub(crate) opcode: Opcode,
    pub(crate) key: Option<[u8; 4]>,
    /// Payload length as announced; nothing may be reserved for it.
    pub(crate) len: u64,
    /// Bytes the header itself takes.
    pub(crate) size: usize,
}

impl Header {
    /// Longest header: 2 + 8 length bytes + 4 key bytes.
    pub(crate) const LEN_MAX: usize = 14;

    /// Reads a header from the start of `bytes`. `None`: more bytes are needed. Rules are
    /// checked as soon as the byte they concern is there. `deflate`: compressed messages are
    /// allowed.
    #[inline]
    pub(crate) fn parse(
        bytes: &[u8],
        receiver: Role,
        deflate: bool,
    ) -> Result<Option<Self>, ProtocolError> {
        let Some(&first) = bytes.first() else {
            return Ok(None);
        };
        //= rfc6455#5.2: RSV1-3 MUST be 0 unless an extension is negotiated
        //= rfc7692#6: RSV1 MUST NOT be set on control frames and continuations
        let reserved = first & 0x70;
        if reserved != 0 && !(deflate && reserved == RSV1 && matches!(first & 0x0f, 1 | 2)) {
            return Err(ProtocolError::ReservedBit);
        }
        let fin = first & 0x80 != 0;
        let opcode = match first & 0x0f {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            other => return Err(ProtocolError::ReservedOpcode(other)),
        };
        //= rfc6455#5.5: control frames MUST NOT be fragmented
        if opcode.is_control() && !fin {
            return Err(ProtocolError::ControlFragmented);
        }
        let Some(&second) = bytes.get(1) else {
            return Ok(None);
        };
        let masked = second & 0x80 != 0;
        //= rfc6455#5.1: a server MUST close upon an unmasked frame, a client upon a masked one
        match (receiver, masked) {
            (Role::Server, false) => return Err(ProtocolError::UnmaskedFromClient),
            (Role::Client, true) => return Err(ProtocolError::MaskedFromServer),
            (Role::Server, true) | (Role::Client, false) => {}
        }
        let short = second & 0x7f;
        //= rfc6455#5.5: control frames MUST have 125 bytes or less
        if opcode.is_control() && short > 125 {
            return Err(ProtocolError::ControlTooLong);
        }
        let Some((len, len_end)) = parse_len(short, bytes)? else {
            return Ok(None);
        };
        if !masked {
            return Ok(Some(Self {
                fin,
                compressed: reserved != 0,
                opcode,
                key: None,
                len,
                size: len_end,
            }));
        }
        let key_end = len_end.saturating_add(4);
        let Some(key) = bytes
            .get(len_end..key_end)
            .and_then(|key| key.try_into().ok())
        else {
            return Ok(None);
        };
        Ok(Some(Self {
            fin,
            compressed: reserved != 0,
            opcode,
            key: Some(key),
            len,
            size: key_end,
        }))
    }
}

/// An unfragmented, uncompressed data message that lies whole at the start of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WholeMessage {
    pub(crate) kind: Kind,
    pub(crate) key: Option<[u8; 4]>,
    /// Where the payload begins.
    pub(crate) start: usize,
    /// Where it ends, and the next frame begins.
    pub(crate) end: usize,
}

impl WholeMessage {
    /// Finds one of at most `len_max` payload bytes, below 64 KiB. `None` for anything else,
    /// broken frames too: then [`Header::parse`] tells what it is. It takes nothing that
    /// `Header::parse` would refuse.
    #[inline]
    pub(crate) fn find(bytes: &[u8], receiver: Role, len_max: usize) -> Option<Self> {
        let &[first, second, ..] = bytes else {
            return None;
        };
        let kind = match first {
            0x81 => Kind::Text,
            0x82 => Kind::Binary,
            _ => return None,
        };
        let masked = second & 0x80 != 0;
        if masked != (receiver == Role::Server) {
            return None;
        }
        let (len, len_end) = match second & 0x7f {
            short @ ..126 => (usize::from(short), 2_usize),
            126 => {
                let len = usize::from(u16::from_be_bytes(*bytes.get(2..4)?.first_chunk()?));
                if len < 126 {
                    return None;
                }
                (len, 4)
            }
            _ => return None,
        };
        if len > len_max {
            return None;
        }
        let (key, start) = if masked {
            let start = len_end.saturating_add(4);
            let key = bytes.get(len_end..start)?.first_chunk().copied()?;
            (Some(key), start)
        } else {
            (None, len_end)
        };
        Some(Self {
            kind,
            key,
            start,
            end: start.saturating_add(len),
        })
    }
}

/// The payload length and where its bytes end.
#[inline]
fn parse_len(short: u8, bytes: &[u8]) -> Result<Option<(u64, usize)>, ProtocolError> {
    match short {
        126 => {
            let Some(&[high, low]) = bytes.get(2..4).and_then(|b| b.first_chunk()) else {
                return Ok(None);
            };
            let len = u16::from_be_bytes([high, low]);
            //= rfc6455#5.2: the minimal number of bytes MUST be used to encode the length
            if len < 126 {
                return Err(ProtocolError::LengthNotMinimal);
            }
            Ok(Some((u64::from(len), 4)))
        }
        127 => {
            let Some(&raw) = bytes.get(2..10).and_then(|b| b.first_chunk::<8>()) else {
                return Ok(None);
            };
            let len = u64::from_be_bytes(raw);
            //= rfc6455#5.2: the most significant bit MUST be 0
            if len >> 63 != 0 {
                return Err(ProtocolError::LengthTooLarge);
            }
            if u16::try_from(len).is_ok() {
                return Err(ProtocolError::LengthNotMinimal);
            }
            Ok(Some((len, 10)))
        }
        short => Ok(Some((u64::from(short), 2))),
    }
}

/// The header of an unmasked frame of ours below 126 bytes.
#[inline]
pub(crate) fn short_header(fin: bool, opcode: Opcode, len: usize) -> Option<[u8; 2]> {
    let short = u8::try_from(len).ok().filter(|short| *short < 126)?;
    Some([if fin { 0x80 } else { 0 } | opcode.bits(), short])
}

/// Appends a header for a frame of ours.
#[inline]
pub(crate) fn encode(
    out: &mut Vec<u8>,
    fin: bool,
    opcode: Opcode,
    len: usize,
    key: Option<[u8; 4]>,
) {
    let first = if fin { 0x80 } else { 0 } | opcode.bits();
    let mask = if key.is_some() { 0x80 } else { 0 };
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(short), _) if short < 126 => out.extend_from_slice(&[first, mask | short]),
        (_, Ok(medium)) => {
            let [high, low] = medium.to_be_bytes();
            out.extend_from_slice(&[first, mask | 0x7e, high, low]);
        }
        _ => {
            out.extend_from_slice(&[first, mask | 0x7f]);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    if let Some(key) = key {
        out.extend_from_slice(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(len: usize, key: Option<[u8; 4]>) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&mut out, true, Opcode::Binary, len, key);
        out
    }

    #[test]
    fn what_is_written_is_read_back_at_every_length_boundary() {
        for len in [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 32] {
            for (key, receiver) in [(None, Role::Client), (Some([1, 2, 3, 4]), Role::Server)] {
                let bytes = encoded(len, key);
                for cut in 0..bytes.len() {
                    assert_eq!(
                        Header::parse(&bytes[..cut], receiver, false),
                        Ok(None),
                        "{len} cut at {cut}"
                    );
                }
                let header = Header::parse(&bytes, receiver, false).unwrap().unwrap();
                assert_eq!(
                    (header.len, header.size, header.key),
                    (len as u64, bytes.len(), key)
                );
            }
        }
    }

    #[test]
    fn the_fast_way_takes_what_the_strict_way_would_and_nothing_else() {
        let mut bytes = [0; 20];
        let lens = [0_u8, 1, 125, 126, 127];
        for first in 0..=255_u8 {
            for second in lens.iter().flat_map(|len| [*len, *len | 0x80]) {
                for (high, low) in [(0, 0), (0, 125), (0, 126), (1, 0), (255, 255)] {
                    for receiver in [Role::Server, Role::Client] {
                        bytes[..4].copy_from_slice(&[first, second, high, low]);
                        let strict = Header::parse(&bytes, receiver, false).ok().flatten();
                        let expected = strict.filter(|header| {
                            header.fin
                                && matches!(header.opcode, Opcode::Text | Opcode::Binary)
                                && header.len <= 300
                        });
                        let found = WholeMessage::find(&bytes, receiver, 300);
                        assert_eq!(
                            found.map(|found| (found.start, found.key, found.end - found.start)),
                            expected.map(|header| (header.size, header.key, header.len as usize)),
                            "{bytes:02x?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn every_broken_rule_is_named() {
        use ProtocolError as E;
        let cases: [(&[u8], Role, ProtocolError); 14] = [
            (&[0xc1], Role::Server, E::ReservedBit),
            (&[0xa1], Role::Server, E::ReservedBit),
            (&[0x91], Role::Server, E::ReservedBit),
            (&[0x83], Role::Server, E::ReservedOpcode(3)),
            (&[0x8f], Role::Client, E::ReservedOpcode(15)),
            (&[0x09], Role::Server, E::ControlFragmented),
            (&[0x81, 0x01], Role::Server, E::UnmaskedFromClient),
            (&[0x81, 0x81], Role::Client, E::MaskedFromServer),
            (&[0x8a, 0x7e], Role::Client, E::ControlTooLong),
            (&[0x88, 0x7f], Role::Client, E::ControlTooLong),
            (&[0x82, 126, 0, 125], Role::Client, E::LengthNotMinimal),
            (
                &[0x82, 127, 0, 0, 0, 0, 0, 0, 255, 255],
                Role::Client,
                E::LengthNotMinimal,
            ),
            (
                &[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0],
                Role::Client,
                E::LengthTooLarge,
            ),
            (
                &[0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                Role::Client,
                E::LengthTooLarge,
            ),
        ];
        for (bytes, receiver, error) in cases {
            assert_eq!(
                Header::parse(bytes, receiver, false),
                Err(error),
                "{bytes:02x?}"
            );
        }
    }

    #[test]
    fn rsv1_is_for_the_first_frame_of_a_compressed_message_alone() {
        for first in 0..=255_u8 {
            let allowed = first & 0x70 == 0 || matches!(first & 0x7f, 0x41 | 0x42);
            let parsed = Header::parse(&[first], Role::Server, true);
            assert_eq!(
                parsed != Err(ProtocolError::ReservedBit),
                allowed,
                "{first:02x}"
            );
        }
        let header = |first| {
            Header::parse(&[first, 0], Role::Client, true)
                .unwrap()
                .unwrap()
        };
        assert!(header(0xc1).compressed && header(0x42).compressed && !header(0x81).compressed);
    }
}
