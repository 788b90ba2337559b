//! Compressed messages (RFC 7692): inflated as they come, in any cut, with control frames in
//! between.
//!
//! In: the data frames of a message whose first frame has RSV1. Out: as for other messages, but
//! always what it inflated to, from `assembly`. Invariant: the limits of a message count what it
//! inflates to, while it does.

use super::{Assembler, HandedOut, Open, Piece, Wanted};
use crate::{
    Config, Kind, MessageRef, ProtocolError,
    connection::{Chunk, Event},
    deflate::Inflater,
    frame::{Header, Opcode},
};

/// Most compressed bytes inflated at a time when the message is not kept: so a chunk has no more
/// than a MiB (DEFLATE stops at a ratio of 1032), whatever the read buffer.
pub(super) const STEP: usize = 1024;

impl Assembler {
    /// Takes compressed messages from now on.
    pub(in crate::connection) fn inflate_with(&mut self, inflater: Option<Inflater>) {
        self.inflater = inflater.map(Box::new);
    }

    /// Returns whether the frame is data of a compressed message.
    #[inline]
    pub(super) fn is_compressed(&self, header: Header) -> bool {
        header.compressed
            || (header.opcode == Opcode::Continuation
                && self.open.is_some_and(|open| open.compressed))
    }

    /// Returns whether the frame's payload is taken in small steps: it can grow, and nobody keeps it.
    #[inline]
    pub(super) fn in_steps(&self, header: Header, wanted: Wanted) -> bool {
        self.is_compressed(header)
            && header.len > 0
            && (wanted == Wanted::Chunks || self.open.is_some_and(|open| open.streamed))
    }

    /// As `data`, for a piece of a compressed message.
    pub(super) fn compressed(
        &mut self,
        header: Header,
        piece: Piece<'_>,
        config: &Config,
        wanted: Wanted,
    ) -> Result<Option<Event<'_>>, ProtocolError> {
        let (Some(open), Some(inflater)) = (&mut self.open, &mut self.inflater) else {
            return Err(ProtocolError::ReservedBit); // unreachable: the header was allowed
        };
        open.streamed |= wanted == Wanted::Chunks;
        let Open { kind, streamed, .. } = *open;
        let bytes_max = if streamed {
            usize::MAX
        } else {
            config.message_bytes_max
        };
        let last = piece.frame_ends && header.fin;
        let start = self.assembly.len();
        let mut inflated = inflater.push(piece.data, &mut self.assembly, bytes_max);
        if last && inflated.is_ok() {
            inflated = inflater.finish(&mut self.assembly, bytes_max);
        }
        // The first broken rule counts, not the one seen first: that depends on the cut.
        if kind == Kind::Text
            && !open
                .utf8
                .push(self.assembly.get(start..).unwrap_or_default())
        {
            return Err(ProtocolError::InvalidUtf8);
        }
        inflated?;
        if last && kind == Kind::Text && !open.utf8.is_complete() {
            return Err(ProtocolError::InvalidUtf8);
        }
        if last {
            self.open = None;
        }
        match (streamed, wanted) {
            (true, Wanted::Messages) => {
                self.assembly = Vec::new(); // its beginning is gone
                Ok(None)
            }
            (true, Wanted::Chunks) => {
                self.handed_out = HandedOut::Assembly;
                Ok(
                    (last || !self.assembly.is_empty()).then_some(Event::Chunk(Chunk {
                        kind,
                        data: &self.assembly,
                        last,
                    })),
                )
            }
            (false, _) if last => {
                self.handed_out = HandedOut::Assembly;
                Ok(Some(Event::Message(MessageRef::assembled(
                    kind,
                    &mut self.assembly,
                ))))
            }
            (false, _) => Ok(None),
        }
    }
}
