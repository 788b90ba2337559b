//! A message encoded once for any number of connections.
//!
//! In: a payload. Out: the bytes of one final, unmasked frame (what a server sends,
//! RFC 6455 section 5.1), shared by reference count. Cloning copies no payload.

use bytes::{BufMut, Bytes, BytesMut};

use crate::Kind;

/// A whole data message as one ready server frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    frame: Bytes,
    header_len: u8,
    kind: Kind,
}

impl Prepared {
    /// A text message.
    pub fn text(payload: &str) -> Self {
        Self::new(Kind::Text, payload.as_bytes())
    }

    /// A binary message.
    pub fn binary(payload: &[u8]) -> Self {
        Self::new(Kind::Binary, payload)
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

    /// Text or binary.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Appends a whole message as one server frame, to gather several for
    /// [`Outgoing::send_frames`](crate::Outgoing::send_frames).
    pub fn append(out: &mut BytesMut, kind: Kind, payload: &[u8]) {
        append_header(out, opcode_of(kind), payload.len());
        out.put_slice(payload);
    }

    /// As [`append`](Self::append), for a ping; at most 125 bytes of payload are taken.
    pub fn append_ping(out: &mut BytesMut, payload: &[u8]) {
        let payload = payload.get(..125).unwrap_or(payload);
        append_header(out, 0x89, payload.len());
        out.put_slice(payload);
    }

    /// A message of the given kind; text must be UTF-8, or the peer ends the connection.
    pub fn new(kind: Kind, payload: &[u8]) -> Self {
        let mut frame = BytesMut::with_capacity(payload.len().saturating_add(10));
        append_header(&mut frame, opcode_of(kind), payload.len());
        let header_len = u8::try_from(frame.len()).unwrap_or(10);
        frame.put_slice(payload);
        Self {
            frame: frame.freeze(),
            header_len,
            kind,
        }
    }
}

/// First byte of a final data frame.
const fn opcode_of(kind: Kind) -> u8 {
    match kind {
        Kind::Text => 0x81,
        Kind::Binary => 0x82,
    }
}

fn append_header(out: &mut BytesMut, first: u8, len: usize) {
    out.put_u8(first);
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(short), _) if short < 126 => out.put_u8(short),
        (_, Ok(medium)) => {
            out.put_u8(126);
            out.put_u16(medium);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(len as u64);
        }
    }
}
