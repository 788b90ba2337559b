//! What goes through the compressor (RFC 7692).
//!
//! In: messages that are worth it. Out: frames in the queue, the first of a message marked with
//! RSV1. Invariant: whatever the compressor refers to was queued for the peer.

use super::{Encoder, opcode_of};
use crate::{DeflateParameters, Kind, Prepared, Role, SendError, deflate::Deflater, frame::Opcode};

impl Encoder {
    /// Compresses messages, as agreed on.
    pub(in crate::connection) fn deflate(&mut self, agreed: DeflateParameters) {
        self.deflater = self
            .config
            .deflate
            .as_ref()
            .and_then(|config| Deflater::new(agreed, self.role, config))
            .map(Box::new);
    }

    /// Queues a part of a message; the first part decides whether it is compressed.
    pub(super) fn fragment(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        last: bool,
        key: Option<[u8; 4]>,
    ) {
        let transmit = &mut self.transmit;
        match &mut self.deflater {
            Some(deflater) if self.fragmenting && deflater.is_streaming() => {
                deflater.piece(payload, last, |part| {
                    transmit.frame(last, opcode, part, key);
                });
            }
            Some(deflater) if !self.fragmenting && deflater.wants(payload.len()) => {
                deflater.piece(payload, last, |part| {
                    transmit.compressed(last, opcode, part, key);
                });
            }
            Some(_) | None => transmit.frame(last, opcode, payload, key),
        }
    }

    /// Queues a message compressed; false: it is to be sent as it is.
    pub(super) fn compressed(&mut self, kind: Kind, payload: &[u8]) -> Result<bool, SendError> {
        self.room_for_message(payload.len())?;
        let Some(deflater) = self.deflater.as_mut().filter(|it| it.wants(payload.len())) else {
            return Ok(false);
        };
        let (transmit, keys) = (&mut self.transmit, &mut self.mask_keys);
        let frame_bytes_max = self.config.send_frame_bytes_max.max(1);
        let done = deflater.message(payload, |compressed| {
            let mut key = || keys.as_mut().map(|keys| keys.next_key());
            let mut parts = compressed.chunks(frame_bytes_max);
            let first = parts.next().unwrap_or_default();
            let mut last = parts.len() == 0;
            transmit.compressed(last, opcode_of(kind), first, key());
            while let Some(part) = parts.next() {
                last = parts.len() == 0;
                transmit.frame(last, Opcode::Continuation, part, key());
            }
        });
        self.messages = self.messages.wrapping_add(u64::from(done));
        Ok(done)
    }

    /// Queues the compressed form of a prepared message, if there is one for this peer.
    pub(super) fn prepared_compressed(&mut self, prepared: &Prepared) -> Result<bool, SendError> {
        let (Some(deflater), Some(ready)) = (&mut self.deflater, prepared.compressed()) else {
            return Ok(false);
        };
        if self.role == Role::Client || ready.payload_len > self.config.send_frame_bytes_max {
            return self.compressed(prepared.kind(), prepared.payload());
        }
        if ready.window_bits > deflater.window_bits() {
            return Ok(false);
        }
        self.room_for_message(ready.payload_len)?;
        if let Some(deflater) = &mut self.deflater {
            deflater.forget();
        }
        self.transmit.frames(&ready.frame);
        self.messages = self.messages.wrapping_add(1);
        Ok(true)
    }
}
