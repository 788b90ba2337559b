//! A message encoded once for any number of connections.
//!
//! In: a payload. Out: the bytes of one final, unmasked frame (what a server sends,
//! RFC 6455 section 5.1), shared by reference count. Cloning copies no payload.

use bytes::{BufMut, Bytes, BytesMut};

/// A whole data message as one ready server frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    frame: Bytes,
    header_len: u8,
    text: bool,
}

impl Prepared {
    /// A text message.
    pub fn text(payload: &str) -> Self {
        Self::encode(0x81, payload.as_bytes())
    }

    /// A binary message.
    pub fn binary(payload: &[u8]) -> Self {
        Self::encode(0x82, payload)
    }

    /// Header and payload as they go on the wire.
    pub fn frame(&self) -> &Bytes {
        &self.frame
    }

    /// The payload without the header.
    pub fn payload(&self) -> &[u8] {
        self.frame
            .get(usize::from(self.header_len)..)
            .unwrap_or_default()
    }

    /// Whether it is a text message.
    pub fn is_text(&self) -> bool {
        self.text
    }

    fn encode(first: u8, payload: &[u8]) -> Self {
        let mut frame = BytesMut::with_capacity(payload.len().saturating_add(10));
        frame.put_u8(first);
        match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
            (Ok(short), _) if short < 126 => frame.put_u8(short),
            (_, Ok(medium)) => {
                frame.put_u8(126);
                frame.put_u16(medium);
            }
            _ => {
                frame.put_u8(127);
                frame.put_u64(payload.len() as u64);
            }
        }
        let header_len = u8::try_from(frame.len()).unwrap_or(10);
        frame.put_slice(payload);
        Self {
            frame: frame.freeze(),
            header_len,
            text: first == 0x81,
        }
    }
}
