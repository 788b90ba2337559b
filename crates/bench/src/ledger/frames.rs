//! Frames of RFC 6455 as a client reads and writes them, one by one.
//!
//! The library answers pings by itself, in time and with the right payload. The clients of the
//! ledger decide when, with what and whether at all; so they need the bare frames.

use anyhow::{Context as _, bail, ensure};

/// Longest payload that is expected.
const PAYLOAD_MAX: usize = 1 << 20;

const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// A frame of the server, or one that is sent to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Text(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// 1005 when it names no code.
    Close(u16),
}

impl Frame {
    /// Takes a whole frame off the front; `None` when there is none yet.
    pub(super) fn take(buffer: &mut Vec<u8>) -> anyhow::Result<Option<Self>> {
        let Some((first, start, len)) = header(buffer)? else {
            return Ok(None);
        };
        let Some(payload) = buffer.get(start..start + len) else {
            return Ok(None);
        };
        ensure!(first & 0xF0 == 0x80, "a fragment or a reserved bit");
        let frame = match first & 0x0F {
            TEXT => Self::Text(payload.to_vec()),
            PING => Self::Ping(payload.to_vec()),
            PONG => Self::Pong(payload.to_vec()),
            CLOSE => Self::Close(match payload {
                [high, low, ..] => u16::from_be_bytes([*high, *low]),
                _ => 1005,
            }),
            opcode => bail!("opcode {opcode} of the server"),
        };
        buffer.drain(..start + len);
        Ok(Some(frame))
    }

    /// Returns what goes over the wire, masked.
    pub(super) fn encode(&self, mask: [u8; 4]) -> Vec<u8> {
        let code;
        let (opcode, payload) = match self {
            Self::Text(text) => (TEXT, text.as_slice()),
            Self::Ping(payload) => (PING, payload.as_slice()),
            Self::Pong(payload) => (PONG, payload.as_slice()),
            Self::Close(close) => {
                code = close.to_be_bytes();
                (CLOSE, code.as_slice())
            }
        };
        let mut bytes = vec![0x80 | opcode];
        let len = payload.len();
        if let Ok(short @ ..=125) = u8::try_from(len) {
            bytes.push(0x80 | short);
        } else if let Ok(medium) = u16::try_from(len) {
            bytes.push(0xFE);
            bytes.extend(medium.to_be_bytes());
        } else {
            bytes.push(0xFF);
            bytes.extend((len as u64).to_be_bytes());
        }
        bytes.extend(mask);
        let masked = payload.iter().zip(mask.iter().cycle());
        bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
        bytes
    }
}

/// First byte, where the payload starts, and its length.
fn header(bytes: &[u8]) -> anyhow::Result<Option<(u8, usize, usize)>> {
    let (first, second) = match bytes {
        [first, second, ..] => (*first, *second),
        _ => return Ok(None),
    };
    ensure!(second & 0x80 == 0, "a masked frame of the server");
    let (start, len) = match second {
        126 => match bytes.get(2..4) {
            Some(len) => (4, u64::from(u16::from_be_bytes(len.try_into()?))),
            None => return Ok(None),
        },
        127 => match bytes.get(2..10) {
            Some(len) => (10, u64::from_be_bytes(len.try_into()?)),
            None => return Ok(None),
        },
        len => (2, u64::from(len)),
    };
    let len = usize::try_from(len).context("a length beyond memory")?;
    ensure!(len <= PAYLOAD_MAX, "a frame of {len} bytes");
    Ok(Some((first, start, len)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_whole_wherever_the_bytes_are_cut() {
        let mut bytes = vec![
            0x81, 2, b'h', b'i', 0x89, 1, 7, 0x88, 2, 0x0F, 0xAA, 0x81, 126, 1, 0,
        ];
        bytes.extend([b'x'; 256]);
        let (mut buffer, mut frames) = (Vec::new(), Vec::new());
        for byte in bytes {
            buffer.push(byte);
            frames.extend(Frame::take(&mut buffer).expect("proper frames"));
        }
        let expected = [
            Frame::Text(b"hi".to_vec()),
            Frame::Ping(vec![7]),
            Frame::Close(4010),
            Frame::Text(vec![b'x'; 256]),
        ];
        assert_eq!(frames, expected);
        assert!(buffer.is_empty());
    }

    #[test]
    fn what_is_no_proper_frame_of_a_server_is_an_error() {
        for bytes in [[0x81, 0x80], [0x01, 0], [0xC1, 0], [0x83, 0]] {
            Frame::take(&mut bytes.to_vec()).expect_err("no proper frame");
        }
        let mut long = vec![0x81, 127, 0, 0, 1, 0, 0, 0, 0, 0];
        Frame::take(&mut long).expect_err("too long");
    }

    #[test]
    fn frames_are_masked_and_state_their_length_in_the_shortest_form() {
        assert_eq!(
            Frame::Pong(vec![1, 2, 3, 4, 5]).encode([1, 1, 1, 255]),
            [0x8A, 0x85, 1, 1, 1, 255, 0, 3, 2, 251, 4]
        );
        for (len, header) in [(125, 6), (126, 8), (65_535, 8), (65_536, 14)] {
            let bytes = Frame::Text(vec![b'x'; len]).encode([0; 4]);
            assert_eq!(bytes.len(), len + header);
        }
    }
}
