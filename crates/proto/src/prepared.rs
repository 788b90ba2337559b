//! A message encoded once for any number of connections.
//!
//! In: a payload. Out: the bytes of one final, unmasked frame (what a server sends,
//! RFC 6455 section 5.1), shared by reference count. Cloning copies no payload.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use crate::{DeflateConfig, Kind, deflate::compress_once, frame::RSV1};

/// A whole data message as one ready server frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    frame: Bytes,
    header_len: u8,
    kind: Kind,
    compressed: Option<Arc<Compressed>>,
}

/// The same message for peers that take compressed ones: made without context, so it fits after
/// whatever was sent before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Compressed {
    pub(crate) frame: Bytes,
    pub(crate) payload_len: usize,
    /// The window a receiver must have.
    pub(crate) window_bits: u8,
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

    /// Adds the compressed form of the message, for connections that agreed on compression; the
    /// others get it as it is. Does nothing to a message below the threshold, or that does not
    /// shrink. A connection with context takeover forgets its context by such a message.
    #[must_use]
    pub fn compress(mut self, config: &DeflateConfig) -> Self {
        self.compressed = compress_once(config, self.payload()).map(|(payload, window_bits)| {
            let payload_len = payload.len();
            Arc::new(Compressed {
                frame: encode(opcode_of(self.kind) | RSV1, &payload).0,
                payload_len,
                window_bits,
            })
        });
        self
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
    /// [`Encoder::send_frames`](crate::Encoder::send_frames).
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

    pub(crate) fn compressed(&self) -> Option<&Compressed> {
        self.compressed.as_deref()
    }

    /// A message of the given kind; text must be UTF-8, or the peer ends the connection.
    pub fn new(kind: Kind, payload: &[u8]) -> Self {
        let (frame, header_len) = encode(opcode_of(kind), payload);
        Self {
            frame,
            header_len,
            kind,
            compressed: None,
        }
    }
}

/// A whole frame, and the length of its header.
fn encode(first: u8, payload: &[u8]) -> (Bytes, u8) {
    let mut frame = BytesMut::with_capacity(payload.len().saturating_add(10));
    append_header(&mut frame, first, payload.len());
    let header_len = u8::try_from(frame.len()).unwrap_or(10);
    frame.put_slice(payload);
    (frame.freeze(), header_len)
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
