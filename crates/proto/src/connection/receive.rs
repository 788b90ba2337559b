//! The receiving half: from bytes to whole frames and messages.
//!
//! In: bytes as they came, in any cut. Out: at most one [`Received`] per call. Invariant: all
//! bytes given are consumed before more are needed, so the caller never keeps any, and what
//! is kept here (a header's beginning, a message in pieces) stays within the limits.
//!
//! A frame that lies whole in the input is handed out from there, unmasked in place: the hot
//! path copies and allocates nothing.

use crate::{
    Config, Kind, MessageRef, ProtocolError, Role,
    frame::{Header, Opcode},
    mask,
    utf8::Utf8,
};

/// One whole thing received.
#[derive(Debug)]
pub(super) enum Received<'a> {
    Message(MessageRef<'a>),
    Control(Opcode, &'a [u8]),
}

/// A frame whose payload has not come in full.
#[derive(Clone, Copy, Debug)]
struct Partial {
    header: Header,
    /// Payload bytes seen.
    done: u64,
}

/// A message whose first frame has come.
#[derive(Clone, Copy, Debug)]
struct Open {
    kind: Kind,
    frames: u32,
    utf8: Utf8,
}

#[derive(Debug, Default)]
pub(super) struct Receiver {
    /// Beginning of a header that was cut.
    header: [u8; Header::LEN_MAX],
    header_len: u8,
    partial: Option<Partial>,
    open: Option<Open>,
    /// Payload of the open message so far.
    assembly: Vec<u8>,
    /// `assembly` or `control` was handed out and is to be forgotten.
    handed_out: bool,
    /// Payload of a control frame that was cut.
    control: Vec<u8>,
}

impl Receiver {
    /// Takes bytes from the start of `input`; returns how many, and what they completed.
    /// `input` is not empty. Call until all is consumed.
    #[inline]
    pub(super) fn receive<'a>(
        &'a mut self,
        role: Role,
        config: &Config,
        input: &'a mut [u8],
    ) -> Result<(usize, Option<Received<'a>>), ProtocolError> {
        if self.handed_out {
            self.forget_handed_out();
        }
        if let Some(partial) = self.partial {
            return self.payload(partial, input);
        }
        if self.header_len > 0 {
            return self.cut_header(role, config, input);
        }
        let Some(header) = Header::parse(input, role)? else {
            self.header_len = u8::try_from(input.len()).unwrap_or(0);
            for (kept, byte) in self.header.iter_mut().zip(input.iter()) {
                *kept = *byte;
            }
            return Ok((input.len(), None));
        };
        self.check(header, config)?;
        let end = usize::try_from(header.len)
            .ok()
            .and_then(|len| header.size.checked_add(len));
        match end {
            Some(end) if end <= input.len() => {
                let payload = input.get_mut(header.size..end).unwrap_or_default();
                Ok((end, self.whole(header, payload)?))
            }
            _ => {
                self.partial = Some(Partial { header, done: 0 });
                Ok((header.size, None))
            }
        }
    }

    /// Whether `input` completes at least one message; control frames before it do not count.
    #[inline]
    pub(super) fn completes_message(&self, role: Role, mut input: &[u8]) -> bool {
        if let Some(partial) = self.partial {
            let left = partial.header.len.saturating_sub(partial.done);
            let rest = usize::try_from(left)
                .ok()
                .and_then(|left| input.get(left..));
            let Some(rest) = rest else { return false };
            if partial.header.ends_message() {
                return true;
            }
            input = rest;
        } else if self.header_len > 0 {
            return false; // rare; the answer only makes a write earlier
        }
        while let Ok(Some(header)) = Header::parse(input, role) {
            let end = usize::try_from(header.len)
                .ok()
                .and_then(|len| len.checked_add(header.size));
            let Some(rest) = end.and_then(|end| input.get(end..)) else {
                return false;
            };
            if header.ends_message() {
                return true;
            }
            input = rest;
        }
        false
    }

    /// Frees what the last event borrowed. A control frame between fragments leaves the
    /// message that is still open.
    fn forget_handed_out(&mut self) {
        self.handed_out = false;
        self.control = Vec::new();
        if self.open.is_none() {
            self.assembly = Vec::new();
        }
    }

    /// Continues a header whose beginning came earlier.
    fn cut_header(
        &mut self,
        role: Role,
        config: &Config,
        input: &[u8],
    ) -> Result<(usize, Option<Received<'_>>), ProtocolError> {
        let before = usize::from(self.header_len);
        let mut len = before;
        for (kept, byte) in self.header.iter_mut().skip(before).zip(input) {
            *kept = *byte;
            len = len.saturating_add(1);
        }
        let Some(header) = Header::parse(self.header.get(..len).unwrap_or_default(), role)? else {
            self.header_len = u8::try_from(len).unwrap_or(0);
            return Ok((len.saturating_sub(before), None));
        };
        self.header_len = 0;
        self.check(header, config)?;
        let used = header.size.saturating_sub(before);
        if header.len == 0 {
            // No byte will follow that could complete it.
            return Ok((used, self.whole(header, &mut [])?));
        }
        self.partial = Some(Partial { header, done: 0 });
        Ok((used, None))
    }

    /// The rules that need the state: fragmentation order and limits.
    #[inline]
    fn check(&mut self, header: Header, config: &Config) -> Result<(), ProtocolError> {
        if header.opcode.is_control() {
            return Ok(());
        }
        match (&mut self.open, header.opcode) {
            (None, Opcode::Continuation) => return Err(ProtocolError::UnexpectedContinuation),
            (Some(_), Opcode::Text | Opcode::Binary) => {
                return Err(ProtocolError::ExpectedContinuation);
            }
            (Some(open), _) => {
                open.frames = open.frames.saturating_add(1);
                if open.frames > config.fragments_max {
                    return Err(ProtocolError::TooManyFragments {
                        max: config.fragments_max,
                    });
                }
            }
            (None, _) => {}
        }
        if header.len > config.frame_bytes_max as u64 {
            return Err(ProtocolError::FrameTooBig {
                len: header.len,
                max: config.frame_bytes_max,
            });
        }
        let total = header.len.saturating_add(self.assembly.len() as u64);
        if total > config.message_bytes_max as u64 {
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
    ) -> Result<Option<Received<'a>>, ProtocolError> {
        let ascii = match header.key {
            Some(key) => mask::apply(payload, key, 0),
            None => payload.is_ascii(),
        };
        if header.opcode.is_control() {
            return Ok(Some(Received::Control(header.opcode, payload)));
        }
        if header.fin && self.open.is_none() {
            let kind = kind_of(header.opcode);
            if kind == Kind::Text && !ascii && mask::is_utf8(payload).is_none() {
                return Err(ProtocolError::InvalidUtf8);
            }
            return Ok(Some(Received::Message(MessageRef::whole(kind, payload))));
        }
        self.append(header, payload, ascii)?;
        self.finish(header)
    }

    /// More payload of a frame that was cut.
    fn payload(
        &mut self,
        mut partial: Partial,
        input: &mut [u8],
    ) -> Result<(usize, Option<Received<'_>>), ProtocolError> {
        let header = partial.header;
        let left = header.len.saturating_sub(partial.done);
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        let chunk = input.get_mut(..taken).unwrap_or_default();
        let ascii = match header.key {
            // The phase repeats every four bytes, so two bits of the count are enough.
            Some(key) => mask::apply(chunk, key, usize::from(partial.done.to_le_bytes()[0])),
            None => chunk.is_ascii(),
        };
        partial.done = partial.done.saturating_add(taken as u64);
        if header.opcode.is_control() {
            self.control.extend_from_slice(chunk);
        } else {
            self.append(header, chunk, ascii)?;
        }
        if partial.done < header.len {
            self.partial = Some(partial);
            return Ok((taken, None));
        }
        self.partial = None;
        if header.opcode.is_control() {
            self.handed_out = true;
            return Ok((taken, Some(Received::Control(header.opcode, &self.control))));
        }
        Ok((taken, self.finish(header)?))
    }

    /// Adds data to the open message, opening it if this is its first frame.
    fn append(&mut self, header: Header, chunk: &[u8], ascii: bool) -> Result<(), ProtocolError> {
        let open = self.open.get_or_insert_with(|| Open {
            kind: kind_of(header.opcode),
            frames: 1,
            utf8: Utf8::default(),
        });
        if open.kind == Kind::Text && !(ascii && open.utf8.is_complete()) && !open.utf8.push(chunk)
        {
            return Err(ProtocolError::InvalidUtf8);
        }
        self.assembly.extend_from_slice(chunk);
        Ok(())
    }

    /// Ends a data frame, and the message with its last frame.
    fn finish(&mut self, header: Header) -> Result<Option<Received<'_>>, ProtocolError> {
        let Some(open) = self.open.filter(|_| header.fin) else {
            return Ok(None);
        };
        if open.kind == Kind::Text && !open.utf8.is_complete() {
            return Err(ProtocolError::InvalidUtf8);
        }
        self.open = None;
        self.handed_out = true;
        Ok(Some(Received::Message(MessageRef::assembled(
            open.kind,
            &mut self.assembly,
        ))))
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
