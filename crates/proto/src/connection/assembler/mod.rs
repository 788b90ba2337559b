//! From bytes to whole frames and messages, or to the pieces of a message.
//!
//! In: bytes as they came, in any cut. Out: at most one [`Event`] per call. Invariant: all
//! bytes given are consumed before more are needed, so the caller never keeps any, and what
//! is kept here (a header's beginning, a message in pieces) stays within the limits.
//!
//! A frame that lies whole in the input is handed out from there, unmasked in place: the hot
//! path copies and allocates nothing. A compressed message is inflated as it comes (RFC 7692).

mod compressed; // the same for messages that have to be inflated

use super::{Chunk, Event};
use crate::{
    CloseFrame, Config, Kind, MessageRef, ProtocolError, Role,
    deflate::Inflater,
    frame::{Header, Opcode},
    mask,
    utf8::Utf8,
};

/// The allocation for a message grows by doubling up to this.
const DOUBLED_MAX: usize = 256 << 10;

/// How data is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Whole, put together.
    Messages,
    /// As it comes.
    Chunks,
}

/// A frame whose payload has not come in full.
#[derive(Clone, Copy, Debug)]
struct Partial {
    header: Header,
    /// Payload bytes seen.
    done: u64,
}

/// Some of the payload of a data frame.
#[derive(Clone, Copy, Debug)]
struct Piece<'a> {
    data: &'a [u8],
    /// All bytes are ASCII.
    ascii: bool,
    /// It is the last of its frame.
    frame_ends: bool,
}

/// A message whose first frame has come.
#[derive(Clone, Copy, Debug)]
struct Open {
    kind: Kind,
    frames: u32,
    compressed: bool,
    utf8: Utf8,
    /// Pieces of it were handed out, so it can no longer be handed out whole.
    streamed: bool,
}

/// The buffer that the last event borrowed; forgotten with the next call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum HandedOut {
    #[default]
    Nothing,
    Control,
    Assembly,
}

#[derive(Debug, Default)]
pub(super) struct Assembler {
    /// Beginning of a header that was cut.
    header: [u8; Header::LEN_MAX],
    header_len: u8,
    handed_out: HandedOut,
    partial: Option<Partial>,
    open: Option<Open>,
    /// Payload of the open message so far.
    assembly: Vec<u8>,
    /// Payload of a control frame that was cut.
    control: Vec<u8>,
    /// Present when compressed messages were agreed on.
    inflater: Option<Box<Inflater>>,
}

impl Assembler {
    /// Takes bytes from the start of `input`; returns how many, and what they completed.
    /// `input` is not empty. Call until all is consumed.
    #[inline]
    pub(super) fn take<'a>(
        &'a mut self,
        role: Role,
        config: &Config,
        input: &'a mut [u8],
        wanted: Wanted,
    ) -> Result<(usize, Option<Event<'a>>), ProtocolError> {
        if self.handed_out != HandedOut::Nothing {
            self.forget_handed_out();
        }
        if wanted == Wanted::Chunks && !self.assembly.is_empty() {
            return Ok((0, self.assembled_so_far()));
        }
        if let Some(partial) = self.partial {
            return self.payload(partial, config, input, wanted);
        }
        if self.header_len > 0 {
            return self.cut_header(role, config, input, wanted);
        }
        let Some(header) = Header::parse(input, role, self.inflater.is_some())? else {
            self.header_len = u8::try_from(input.len()).unwrap_or(0);
            for (kept, byte) in self.header.iter_mut().zip(input.iter()) {
                *kept = *byte;
            }
            return Ok((input.len(), None));
        };
        self.check(header, config, wanted)?;
        let end = usize::try_from(header.len)
            .ok()
            .and_then(|len| header.size.checked_add(len));
        match end {
            Some(end) if end <= input.len() && !self.in_steps(header, wanted) => {
                let payload = input.get_mut(header.size..end).unwrap_or_default();
                Ok((end, self.whole(header, payload, config, wanted)?))
            }
            _ => {
                self.partial = Some(Partial { header, done: 0 });
                Ok((header.size, None))
            }
        }
    }

    /// Returns whether the next byte begins a frame and no message is under way.
    #[inline]
    pub(super) fn is_between(&self) -> bool {
        self.partial.is_none() && self.header_len == 0 && self.open.is_none()
    }

    /// Frees what the last event borrowed. A control frame between fragments leaves the
    /// message that is still open.
    #[inline]
    pub(super) fn forget_handed_out(&mut self) {
        match std::mem::take(&mut self.handed_out) {
            HandedOut::Control => self.control = Vec::new(),
            HandedOut::Assembly => self.assembly = Vec::new(),
            HandedOut::Nothing => {}
        }
    }

    /// Payload bytes kept of the message that is under way; `None` between messages, and where nothing is kept.
    #[inline]
    pub(super) fn unfinished(&self) -> Option<usize> {
        let data_under_way = match (&self.open, &self.partial) {
            (Some(open), _) => !open.streamed,
            (None, Some(partial)) => !partial.header.opcode.is_control(),
            (None, None) => false,
        };
        data_under_way.then_some(self.assembly.len())
    }

    /// Bytes held for the message under way.
    #[inline]
    pub(super) fn memory(&self) -> usize {
        let inflating = self.inflater.as_ref().map_or(0, |it| it.engine_bytes());
        self.assembly.capacity().saturating_add(inflating)
    }

    /// Lets go of everything: nothing more will come.
    pub(super) fn discard(&mut self) {
        *self = Self::default();
    }

    /// The beginning of a message that is wanted in chunks from now on.
    fn assembled_so_far(&mut self) -> Option<Event<'_>> {
        self.handed_out = HandedOut::Assembly;
        let open = self.open.as_mut()?;
        open.streamed = true;
        Some(Event::Chunk(Chunk {
            kind: open.kind,
            data: &self.assembly,
            last: false,
        }))
    }

    /// Continues a header whose beginning came earlier.
    fn cut_header(
        &mut self,
        role: Role,
        config: &Config,
        input: &[u8],
        wanted: Wanted,
    ) -> Result<(usize, Option<Event<'_>>), ProtocolError> {
        let before = usize::from(self.header_len);
        let mut len = before;
        for (kept, byte) in self.header.iter_mut().skip(before).zip(input) {
            *kept = *byte;
            len = len.saturating_add(1);
        }
        let bytes = self.header.get(..len).unwrap_or_default();
        let Some(header) = Header::parse(bytes, role, self.inflater.is_some())? else {
            self.header_len = u8::try_from(len).unwrap_or(0);
            return Ok((len.saturating_sub(before), None));
        };
        self.header_len = 0;
        self.check(header, config, wanted)?;
        let used = header.size.saturating_sub(before);
        if header.len == 0 {
            // No byte will follow that could complete it.
            return Ok((used, self.whole(header, &mut [], config, wanted)?));
        }
        self.partial = Some(Partial { header, done: 0 });
        Ok((used, None))
    }

    /// The rules that need the state: fragmentation order and limits. Limits bound what is
    /// kept, so they do not apply to a message that is handed out in chunks; but to its empty fragments.
    #[inline]
    fn check(
        &mut self,
        header: Header,
        config: &Config,
        wanted: Wanted,
    ) -> Result<(), ProtocolError> {
        if header.opcode.is_control() {
            return Ok(());
        }
        let mut kept = wanted == Wanted::Messages;
        match (&mut self.open, header.opcode) {
            (None, Opcode::Continuation) => return Err(ProtocolError::UnexpectedContinuation),
            (Some(_), Opcode::Text | Opcode::Binary) => {
                return Err(ProtocolError::ExpectedContinuation);
            }
            (Some(open), _) => {
                kept &= !open.streamed;
                // Where nothing is kept, those count that bring nothing: there is no other end to them.
                open.frames = open.frames.saturating_add((kept || header.len == 0).into());
                if open.frames > config.fragments_max {
                    return Err(ProtocolError::TooManyFragments {
                        max: config.fragments_max,
                    });
                }
            }
            (None, _) => {}
        }
        if !kept {
            return Ok(());
        }
        if header.len > config.frame_bytes_max as u64 {
            return Err(ProtocolError::FrameTooBig {
                len: header.len,
                max: config.frame_bytes_max,
            });
        }
        let total = header.len.saturating_add(self.assembly.len() as u64);
        // A compressed message is counted as it inflates.
        if total > config.message_bytes_max as u64 && !self.is_compressed(header) {
            return Err(ProtocolError::MessageTooBig {
                max: config.message_bytes_max,
            });
        }
        Ok(())
    }

    /// A frame whose payload lies whole in the input.
    #[inline]
    fn whole<'a>(
        &'a mut self,
        header: Header,
        payload: &'a mut [u8],
        config: &Config,
        wanted: Wanted,
    ) -> Result<Option<Event<'a>>, ProtocolError> {
        let ascii = match header.key {
            Some(key) => mask::apply(payload, key, 0),
            None => payload.is_ascii(),
        };
        if header.opcode.is_control() {
            return control(header.opcode, payload).map(Some);
        }
        if header.fin && self.open.is_none() && !header.compressed {
            let kind = kind_of(header.opcode);
            if kind == Kind::Text && !ascii && mask::is_utf8(payload).is_none() {
                return Err(ProtocolError::InvalidUtf8);
            }
            return Ok(Some(match wanted {
                Wanted::Messages => Event::Message(MessageRef::whole(kind, payload)),
                Wanted::Chunks => Event::Chunk(Chunk {
                    kind,
                    data: payload,
                    last: true,
                }),
            }));
        }
        let piece = Piece {
            data: payload,
            ascii,
            frame_ends: true,
        };
        self.data(header, piece, config, wanted)
    }

    /// More payload of a frame that was cut.
    fn payload<'a>(
        &'a mut self,
        mut partial: Partial,
        config: &Config,
        input: &'a mut [u8],
        wanted: Wanted,
    ) -> Result<(usize, Option<Event<'a>>), ProtocolError> {
        let header = partial.header;
        let left = header.len.saturating_sub(partial.done);
        let mut taken = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        if self.in_steps(header, wanted) {
            taken = taken.min(compressed::STEP);
        }
        let chunk = input.get_mut(..taken).unwrap_or_default();
        let ascii = match header.key {
            // The phase repeats every four bytes, so two bits of the count are enough.
            Some(key) => mask::apply(chunk, key, usize::from(partial.done.to_le_bytes()[0])),
            None => chunk.is_ascii(),
        };
        partial.done = partial.done.saturating_add(taken as u64);
        let whole = partial.done == header.len;
        self.partial = (!whole).then_some(partial);
        if !header.opcode.is_control() {
            let piece = Piece {
                data: chunk,
                ascii,
                frame_ends: whole,
            };
            return Ok((taken, self.data(header, piece, config, wanted)?));
        }
        self.control.extend_from_slice(chunk);
        if !whole {
            return Ok((taken, None));
        }
        self.handed_out = HandedOut::Control;
        Ok((taken, Some(control(header.opcode, &self.control)?)))
    }

    /// Data of a message in pieces, opening it if this is its first.
    fn data<'a>(
        &'a mut self,
        header: Header,
        piece: Piece<'a>,
        config: &Config,
        wanted: Wanted,
    ) -> Result<Option<Event<'a>>, ProtocolError> {
        let open = self.open.get_or_insert_with(|| Open {
            kind: kind_of(header.opcode),
            frames: 1,
            compressed: header.compressed,
            utf8: Utf8::default(),
            streamed: false,
        });
        if open.compressed {
            return self.compressed(header, piece, config, wanted);
        }
        let Piece {
            data: chunk, ascii, ..
        } = piece;
        let kind = open.kind;
        if kind == Kind::Text && !(ascii && open.utf8.is_complete()) && !open.utf8.push(chunk) {
            return Err(ProtocolError::InvalidUtf8);
        }
        let last = piece.frame_ends && header.fin;
        if last && kind == Kind::Text && !open.utf8.is_complete() {
            return Err(ProtocolError::InvalidUtf8);
        }
        open.streamed |= wanted == Wanted::Chunks;
        let streamed = open.streamed;
        if last {
            self.open = None;
        }
        match (streamed, wanted) {
            (true, Wanted::Messages) => Ok(None), // its beginning is gone
            (true, Wanted::Chunks) => {
                Ok((last || !chunk.is_empty()).then_some(Event::Chunk(Chunk {
                    kind,
                    data: chunk,
                    last,
                })))
            }
            (false, _) => {
                append(&mut self.assembly, chunk, config.message_bytes_max);
                if !last {
                    return Ok(None);
                }
                self.handed_out = HandedOut::Assembly;
                Ok(Some(Event::Message(MessageRef::assembled(
                    kind,
                    &mut self.assembly,
                ))))
            }
        }
    }
}

/// Appends to a message. The allocation grows by doubling, from a size on by half, and to no more than the limit: it
/// is what a peer makes us hold.
fn append(message: &mut Vec<u8>, chunk: &[u8], bytes_max: usize) {
    let needed = message.len().saturating_add(chunk.len());
    let capacity = message.capacity();
    if needed > capacity && capacity >= DOUBLED_MAX {
        let grown = capacity.saturating_add(capacity / 2).min(bytes_max);
        message.reserve_exact(grown.max(needed).saturating_sub(message.len()));
    }
    message.extend_from_slice(chunk);
}

fn control(opcode: Opcode, body: &[u8]) -> Result<Event<'_>, ProtocolError> {
    match opcode {
        Opcode::Ping => Ok(Event::Ping(body)),
        Opcode::Close => CloseFrame::parse(body).map(Event::Close),
        Opcode::Pong | Opcode::Continuation | Opcode::Text | Opcode::Binary => {
            Ok(Event::Pong(body))
        }
    }
}

fn kind_of(opcode: Opcode) -> Kind {
    match opcode {
        Opcode::Text => Kind::Text,
        Opcode::Binary | Opcode::Continuation | Opcode::Close | Opcode::Ping | Opcode::Pong => {
            Kind::Binary
        }
    }
}

#[cfg(test)]
mod tests;
