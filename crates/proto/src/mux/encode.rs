//! Frames to bytes. DATA has a way of its own, so that payloads need not be copied behind headers.

use bytes::BufMut;

use super::{
    DATA_HEADER_BYTES, FrameError,
    frame::{Body, DataFlags, Frame, FrameType},
};

/// Returns the header of a DATA frame, whose `stream` is not 0.
pub fn data_header(stream: u32, flags: DataFlags) -> [u8; DATA_HEADER_BYTES] {
    let [s0, s1, s2, s3] = stream.to_be_bytes();
    [FrameType::Data as u8, s0, s1, s2, s3, flags.to_byte()]
}

impl Frame<'_> {
    /// Appends the frame to `out`, for instance a `Vec<u8>` or a `BytesMut`.
    ///
    /// # Errors
    /// [`FrameError`]: a field is outside of its bounds; nothing was appended.
    pub fn encode_into(&self, out: &mut impl BufMut) -> Result<(), FrameError> {
        self.check()?;
        out.put_u8(self.frame_type() as u8);
        out.put_u32(self.stream);
        match &self.body {
            Body::Open(open) => {
                out.put_u32(open.credit);
                put_short_text(out, open.name);
                out.put_u16(u16::try_from(open.query.len()).unwrap_or(u16::MAX)); // checked
                out.put_slice(open.query.as_bytes());
                out.put_u8(u8::try_from(open.subprotocols.len()).unwrap_or(u8::MAX)); // checked
                for token in &open.subprotocols {
                    put_short_text(out, token);
                }
            }
            Body::Accept {
                credit,
                subprotocol,
            } => {
                out.put_u32(*credit);
                put_short_text(out, subprotocol.unwrap_or_default());
            }
            Body::Reject { status, reason } => {
                out.put_u16(*status);
                out.put_slice(reason.as_bytes());
            }
            Body::Data { flags, payload } => {
                out.put_u8(flags.to_byte());
                out.put_slice(payload);
            }
            Body::Close(Some(close)) => {
                out.put_u16(close.code.0);
                out.put_slice(close.reason.as_bytes());
            }
            Body::Ping(payload) | Body::Pong(payload) => out.put_slice(payload),
            Body::Credit(number)
            | Body::Down { retry_ms: number }
            | Body::GoAway { within_ms: number } => out.put_u32(*number),
            Body::Close(None) | Body::Up => {}
        }
        Ok(())
    }

    /// The frame as bytes of its own.
    ///
    /// # Errors
    /// As [`encode_into`](Self::encode_into).
    pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
        let mut out = Vec::new();
        self.encode_into(&mut out)?;
        Ok(out)
    }
}

/// At most 255 bytes, which was checked.
fn put_short_text(out: &mut impl BufMut, text: &str) {
    out.put_u8(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.put_slice(text.as_bytes());
}
