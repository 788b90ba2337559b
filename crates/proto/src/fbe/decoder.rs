//! Frames from a stream of bytes that arrives in any cuts.

use super::{
    DecodeError, Frame, MESSAGE_BYTES_MAX_DEFAULT,
    frame::{announced_size, read_u32},
};

/// Bytes of a buffer that are kept for the next message in parts: most messages fit, and an idle connection does not
/// hold on to what a long one needed.
const KEPT_BYTES_MAX: usize = 512;

/// Bytes of the length, which come first.
const LENGTH_BYTES: usize = 4;

/// Frames from a stream of bytes.
///
/// A message that lies whole in the input is borrowed from it; of one that does not, the bytes are kept here as they
/// arrive. After an error every call returns this error.
#[derive(Debug)]
pub struct Decoder {
    message_bytes_max: usize,
    /// The start of a message that has not ended; or a whole one, which the last call gave away.
    buffer: Vec<u8>,
    is_given_away: bool,
    failed: Option<DecodeError>,
}

impl Default for Decoder {
    /// Takes messages of up to [`MESSAGE_BYTES_MAX_DEFAULT`] bytes.
    fn default() -> Self {
        Self::new(MESSAGE_BYTES_MAX_DEFAULT)
    }
}

impl Decoder {
    /// Takes messages of up to this many bytes, their header included.
    pub const fn new(message_bytes_max: usize) -> Self {
        Self {
            message_bytes_max,
            buffer: Vec::new(),
            is_given_away: false,
            failed: None,
        }
    }

    /// Takes bytes from the start of `input`, and says how many. Call it again with the rest until nothing is left.
    ///
    /// # Errors
    /// [`DecodeError`]: the stream is no stream of messages. All of the input counts as taken.
    pub fn receive<'a>(
        &'a mut self,
        input: &'a [u8],
    ) -> (usize, Result<Option<Frame<'a>>, DecodeError>) {
        if let Some(error) = self.failed {
            return (input.len(), Err(error));
        }
        self.forget_given_away();
        let mut taken = 0;
        if self.buffer.is_empty() {
            match Frame::split_first(input, self.message_bytes_max) {
                Ok(Some(frame)) => return (frame.bytes().len(), Ok(Some(frame))),
                Ok(None) => {}
                Err(error) => return self.fail(error, input),
            }
        } else if let Some(missing) = LENGTH_BYTES.checked_sub(self.buffer.len()) {
            taken = self.keep(input, missing);
        }
        let size = match announced_size(self.bytes_of_length(input), self.message_bytes_max) {
            Ok(Some(size)) => size,
            Ok(None) => {
                let rest = input.get(taken..).unwrap_or(&[]);
                return (taken.saturating_add(self.keep(rest, rest.len())), Ok(None));
            }
            Err(error) => return self.fail(error, input),
        };
        let rest = input.get(taken..).unwrap_or(&[]);
        taken = taken.saturating_add(self.keep(rest, size.saturating_sub(self.buffer.len())));
        if self.buffer.len() < size {
            return (taken, Ok(None));
        }
        self.is_given_away = true;
        match Frame::parse(&self.buffer) {
            Ok(frame) => (taken, Ok(Some(frame))),
            Err(error) => {
                self.failed = Some(error);
                (input.len(), Err(error))
            }
        }
    }

    /// Returns how many bytes of a message that has not ended are kept.
    pub fn buffered(&self) -> usize {
        if self.is_given_away {
            0
        } else {
            self.buffer.len()
        }
    }

    /// Returns how many bytes are allocated.
    pub fn memory(&self) -> usize {
        self.buffer.capacity()
    }

    /// Returns whether the stream may end here: not within a message.
    pub fn is_between_messages(&self) -> bool {
        self.buffered() == 0
    }

    /// The length's bytes: in the buffer, or in the input while the buffer is empty.
    fn bytes_of_length<'b>(&'b self, input: &'b [u8]) -> &'b [u8] {
        if self.buffer.is_empty() {
            input
        } else {
            &self.buffer
        }
    }

    /// Keeps at most `count` bytes of the input, and returns how many.
    fn keep(&mut self, input: &[u8], count: usize) -> usize {
        let (kept, _) = input.split_at_checked(count).unwrap_or((input, &[]));
        let len = self.buffer.len();
        let needed = len.saturating_add(kept.len());
        if needed > self.buffer.capacity() {
            // Twice the size, as vectors grow, but not past the announced size.
            let announced = read_u32(&self.buffer, 0).or_else(|| read_u32(input, 0));
            let announced = announced.and_then(|size| usize::try_from(size).ok());
            let capacity = len.saturating_mul(2).min(announced.unwrap_or(LENGTH_BYTES));
            let additional = capacity.max(needed).saturating_sub(len);
            self.buffer.reserve_exact(additional);
        }
        self.buffer.extend_from_slice(kept);
        kept.len()
    }

    fn forget_given_away(&mut self) {
        if std::mem::take(&mut self.is_given_away) {
            self.buffer.clear();
            self.buffer.shrink_to(KEPT_BYTES_MAX);
        }
    }

    fn fail(
        &mut self,
        error: DecodeError,
        input: &[u8],
    ) -> (usize, Result<Option<Frame<'static>>, DecodeError>) {
        self.failed = Some(error);
        self.buffer = Vec::new();
        (input.len(), Err(error))
    }
}
