//! Where frames end in a stream that is passed on unread.
//!
//! In: the bytes of one direction, in order, in any pieces. Out: whether a frame of one's own could be put in
//! now, and whether the sender has closed. Looks at lengths and the close opcode (RFC 6455 section 5.2) and judges nothing.

use bytes::Bytes;

use crate::CloseFrame;

/// Follows the frames of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameOutline {
    /// The beginning of a header that came in pieces.
    header: [u8; 14],
    have: u8,
    /// Payload bytes to come of the frame under way.
    left: u64,
    closed: bool,
}

impl FrameOutline {
    /// Takes the next bytes.
    #[inline]
    pub fn advance(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.advance_in_frame(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
        }
    }

    /// Takes the next bytes up to the first end of a frame in them; returns how many those are.
    #[inline]
    pub fn advance_in_frame(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        if self.left == 0 {
            rest = self.advance_header(rest);
        }
        let skip = usize::try_from(self.left).unwrap_or(usize::MAX);
        let skip = skip.min(rest.len());
        self.left = self.left.saturating_sub(skip as u64);
        bytes.len().saturating_sub(rest.len()).saturating_add(skip)
    }

    #[inline]
    fn advance_header<'a>(&mut self, mut bytes: &'a [u8]) -> &'a [u8] {
        if self.have == 0
            && let Some((size, left)) = measure(bytes)
        {
            self.begin(bytes.first().copied().unwrap_or_default(), left);
            return bytes.get(size..).unwrap_or_default();
        }
        loop {
            bytes = self.gather(bytes);
            if bytes.is_empty() || self.have == 0 {
                return bytes;
            }
        }
    }

    /// A header that comes in pieces, byte by byte.
    #[cold]
    fn gather<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (Some((first, rest)), Some(place)) = (
            bytes.split_first(),
            self.header.get_mut(usize::from(self.have)),
        ) else {
            return &[];
        };
        *place = *first;
        self.have = self.have.saturating_add(1);
        let header = self
            .header
            .get(..usize::from(self.have))
            .unwrap_or_default();
        if let Some((_size, left)) = measure(header) {
            self.have = 0;
            self.begin(self.header.first().copied().unwrap_or_default(), left);
        }
        rest
    }

    #[inline]
    fn begin(&mut self, first: u8, left: u64) {
        self.left = left;
        self.closed |= first & 0x0f == 8;
    }

    /// Returns whether the last byte taken ended a frame: another may begin here.
    pub fn is_between_frames(&self) -> bool {
        self.left == 0 && self.have == 0
    }

    /// Returns whether a close frame has begun: nothing may follow it.
    pub fn has_closed(&self) -> bool {
        self.closed
    }
}

/// Size of the header at the start of `bytes` and length of its payload; `None` if not all of it is
/// there.
#[inline]
fn measure(bytes: &[u8]) -> Option<(usize, u64)> {
    let second = *bytes.get(1)?;
    let (size, left) = match second & 0x7f {
        126 => {
            let len: [u8; 2] = bytes.get(2..4)?.try_into().ok()?;
            (4, u64::from(u16::from_be_bytes(len)))
        }
        127 => {
            let len: [u8; 8] = bytes.get(2..10)?.try_into().ok()?;
            (10, u64::from_be_bytes(len))
        }
        short => (2_usize, u64::from(short)),
    };
    let size = size.saturating_add(if second & 0x80 == 0 { 0 } else { 4 });
    (bytes.len() >= size).then_some((size, left))
}

impl CloseFrame {
    /// The frame as bytes, masked by `key` if a client sends it; for streams that are passed on unread.
    pub fn to_bytes(&self, key: Option<[u8; 4]>) -> Bytes {
        let body = self.encode();
        let len = u8::try_from(body.len()).unwrap_or(125);
        let mut out = vec![0x88, len | if key.is_some() { 0x80 } else { 0 }];
        out.extend(key.iter().flatten());
        let key = key.unwrap_or_default();
        out.extend(
            body.iter()
                .zip(key.iter().cycle())
                .map(|(byte, key)| byte ^ key),
        );
        Bytes::from(out)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Instant};

    use super::*;
    use crate::{CloseCode, Config, Connection, Event};

    fn stream() -> Vec<u8> {
        let mut bytes = Vec::new();
        for (first, len) in [
            (0x81, 0),
            (0x01, 5),
            (0x89, 3),
            (0x00, 125),
            (0x80, 126),
            (0x82, 65_536),
        ] {
            for masked in [false, true] {
                bytes.push(first);
                let mask = if masked { 0x80 } else { 0 };
                match len {
                    0..=125 => bytes.push(mask | u8::try_from(len).unwrap()),
                    126..=65_535 => {
                        bytes.push(mask | 0x7e);
                        bytes.extend(u16::try_from(len).unwrap().to_be_bytes());
                    }
                    _ => {
                        bytes.push(mask | 0x7f);
                        bytes.extend(u64::try_from(len).unwrap().to_be_bytes());
                    }
                }
                if masked {
                    bytes.extend([1, 2, 3, 4]);
                }
                bytes.extend(std::iter::repeat_n(0x88, len));
            }
        }
        bytes
    }

    #[test]
    fn frames_are_followed_in_pieces_of_any_size() {
        let bytes = stream();
        let mut whole = FrameOutline::default();
        whole.advance(&bytes);
        assert!(whole.is_between_frames());
        assert!(!whole.has_closed(), "a payload is no opcode");
        for size in [1, 2, 3, 7, 13, 4096] {
            let mut pieces = FrameOutline::default();
            let mut between = 0;
            for piece in bytes.chunks(size) {
                pieces.advance(piece);
                between += usize::from(pieces.is_between_frames());
            }
            assert!(pieces.is_between_frames(), "{size}");
            assert!(size > 1 || between == 12, "{between}");
        }
        let mut ends = FrameOutline::default();
        let mut rest = bytes.as_slice();
        let mut frames = 0;
        while !rest.is_empty() {
            rest = &rest[ends.advance_in_frame(rest)..];
            assert!(ends.is_between_frames());
            frames += 1;
        }
        assert_eq!(frames, 12);
        whole.advance(&[0x88]);
        assert!(!whole.is_between_frames());
        whole.advance(&[0x02, 3]);
        assert!(whole.has_closed());
        assert!(!whole.is_between_frames());
    }

    #[test]
    fn a_close_frame_is_understood_by_both_roles() {
        let frame = CloseFrame::new(CloseCode::SERVICE_RESTART, "é".repeat(100));
        let config = Arc::new(Config::default());
        let mut server = Connection::server(config, Instant::now());
        let mut bytes = frame.to_bytes(Some([1, 2, 3, 4])).to_vec();
        let mut outline = FrameOutline::default();
        outline.advance(&bytes);
        assert!(outline.has_closed() && outline.is_between_frames());
        let (_, event) = server.receive(&mut bytes);
        let Ok(Some(Event::Close(Some(received)))) = event else {
            panic!("{event:?}");
        };
        assert_eq!(received.code, frame.code);
        assert_eq!(received.reason, "é".repeat(61));
        assert_eq!(frame.to_bytes(None).len(), 2 + 2 + 122);
    }
}
