//! Compressed pieces of a message → the message (RFC 7692 section 7.2.2).
//!
//! In: the payloads of a compressed message, in any cut. Out: the inflated bytes, appended to the
//! message. Invariant: the message never passes its limit; what inflates lies in one window of
//! [`SCRATCH`] bytes before it is counted, so a bomb costs no more than the limit and that.
//!
//! With context takeover the connection keeps the end of what it received, not a decompressor:
//! that is given to one from the pool for the time of a message. So the memory is what was really
//! received, at most the window agreed on, and every message ends with a decompressor that
//! can be asked whether it is at the end of a block.

use std::collections::VecDeque;

use zlib_rs::{Inflate, InflateFlush, Status};

use super::{DeflateConfig, DeflateParameters, DeflatePool, config::BITS_MAX};
use crate::{ProtocolError, Role};

/// Inflates the messages of one connection.
#[derive(Debug)]
pub(crate) struct Inflater {
    pool: DeflatePool,
    ratio_max: u32,
    ratio_floor: u64,
    /// While a message is under way.
    engine: Option<Box<Engine>>,
    /// End of the messages before, oldest first; what the peer may refer to. A ring: a message
    /// that comes byte by byte must not move the whole window for each.
    history: VecDeque<u8>,
    /// Most bytes of it: 0 without context takeover.
    history_max: usize,
}

/// A decompressor between two resets, with the window its output passes.
pub(super) struct Engine {
    inflate: Inflate,
    scratch: Box<[u8]>,
    /// Compressed bytes of the message taken so far.
    taken: u64,
    /// Bytes they inflated to.
    made: u64,
    /// Nothing was taken since the beginning of a DEFLATE stream.
    fresh: bool,
}

/// Output is counted in steps of this many bytes.
const SCRATCH: usize = 16 << 10;

/// A decompressor with its window, tables and scratch.
const ENGINE_BYTES: usize = SCRATCH + (48 << 10);

/// The bytes that a sender removes from a message's end (section 7.2.1), and an empty last block: the
/// stream ends exactly behind it if the message ended where it must.
const TAIL: [u8; 9] = [0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff];

impl Inflater {
    /// For what a peer in the role `sender` compresses.
    pub(crate) fn new(agreed: DeflateParameters, sender: Role, config: &DeflateConfig) -> Self {
        let (bits, takeover) = agreed.of(sender);
        // A peer held to 8 may use 9: zlib did (see `BITS_MIN`).
        let window = 1_usize << bits.clamp(super::config::BITS_MIN, BITS_MAX);
        Self {
            pool: config.pool.clone(),
            ratio_max: config.ratio_max,
            ratio_floor: u64::try_from(config.ratio_floor).unwrap_or(u64::MAX),
            engine: None,
            history: VecDeque::new(),
            history_max: if takeover { window } else { 0 },
        }
    }

    /// Inflates the next piece onto the end of `message`; up to an error, if there is one.
    ///
    /// # Errors
    /// [`ProtocolError::CorruptDeflate`], [`ProtocolError::MessageTooBig`] above `bytes_max`,
    /// [`ProtocolError::InflateRatio`]; nothing more can be inflated then.
    pub(crate) fn push(
        &mut self,
        compressed: &[u8],
        message: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Result<(), ProtocolError> {
        let limits = self.limits(bytes_max);
        let start = message.len();
        self.engine()?.run(compressed, message, limits)?;
        self.remember(message.get(start..).unwrap_or_default());
        Ok(())
    }

    /// The message has come in full: what is still inside comes out.
    ///
    /// # Errors
    /// As [`Self::push`]; also when the message stopped in the middle of a block.
    pub(crate) fn finish(
        &mut self,
        message: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Result<(), ProtocolError> {
        let limits = self.limits(bytes_max);
        let start = message.len();
        let engine = self.engine()?;
        // After a block with BFINAL nothing is open; some senders leave out the empty block
        // behind it (section 7.2.3.4).
        if !engine.fresh && !engine.run(&TAIL, message, limits)? {
            return Err(ProtocolError::CorruptDeflate);
        }
        if let Some(engine) = self.engine.take() {
            self.pool.keep_inflater(engine);
        }
        self.remember(message.get(start..).unwrap_or_default());
        Ok(())
    }

    fn limits(&self, bytes_max: usize) -> Limits {
        Limits {
            bytes_max,
            ratio_max: self.ratio_max,
            ratio_floor: self.ratio_floor,
        }
    }

    /// The engine of this message, which knows the history.
    fn engine(&mut self) -> Result<&mut Engine, ProtocolError> {
        if self.engine.is_none() {
            let mut engine = self.pool.inflater();
            if !self.history.is_empty() {
                engine
                    .inflate
                    .set_dictionary(self.history.make_contiguous())
                    .map_err(|_| ProtocolError::CorruptDeflate)?;
            }
            self.engine = Some(engine);
        }
        self.engine
            .as_deref_mut()
            .ok_or(ProtocolError::CorruptDeflate)
    }

    /// Keeps the last `history_max` bytes of all messages, of which `message` is the newest part.
    fn remember(&mut self, message: &[u8]) {
        if self.history_max == 0 {
            return;
        }
        let from_message = message.len().min(self.history_max);
        let kept = self
            .history
            .len()
            .min(self.history_max.saturating_sub(from_message));
        self.history
            .drain(..self.history.len().saturating_sub(kept));
        let needed = kept.saturating_add(from_message);
        if needed > self.history.capacity() {
            let capacity = needed.next_power_of_two().min(self.history_max);
            self.history.reserve_exact(capacity.saturating_sub(kept));
        }
        let start = message.len().saturating_sub(from_message);
        self.history
            .extend(message.get(start..).unwrap_or_default());
    }

    /// Bytes that the decompressor of a message under way takes.
    #[inline]
    pub(crate) fn engine_bytes(&self) -> usize {
        if self.engine.is_some() {
            ENGINE_BYTES
        } else {
            0
        }
    }

    /// Bytes this connection owns between two messages.
    #[cfg(test)]
    pub(super) fn idle_bytes(&self) -> usize {
        assert!(self.engine.is_none(), "no message is under way");
        self.history.capacity()
    }

    /// Where the byte lies that came `ago` bytes before the newest.
    #[cfg(test)]
    pub(super) fn remembered_at(&self, ago: usize) -> Option<*const u8> {
        let index = self.history.len().checked_sub(ago.saturating_add(1))?;
        self.history.get(index).map(std::ptr::from_ref)
    }
}

#[derive(Clone, Copy)]
struct Limits {
    bytes_max: usize,
    ratio_max: u32,
    ratio_floor: u64,
}

impl Limits {
    /// Returns whether `kept` bytes of a message may be held, and `taken` compressed ones may have become
    /// `made`.
    fn check(self, kept: usize, taken: u64, made: u64) -> Result<(), ProtocolError> {
        if kept > self.bytes_max {
            return Err(ProtocolError::MessageTooBig {
                max: self.bytes_max,
            });
        }
        if made > self.ratio_floor && made > taken.saturating_mul(u64::from(self.ratio_max)) {
            return Err(ProtocolError::InflateRatio {
                max: self.ratio_max,
            });
        }
        Ok(())
    }
}

impl Engine {
    /// The window is always 32 KiB: any stream fits, and the library allocates that anyway.
    pub(super) fn new() -> Self {
        Self {
            inflate: Inflate::new(false, BITS_MAX),
            scratch: vec![0; SCRATCH].into(),
            taken: 0,
            made: 0,
            fresh: true,
        }
    }

    pub(super) fn reset(&mut self) {
        self.inflate.reset(false);
        self.taken = 0;
        self.made = 0;
        self.fresh = true;
    }

    /// Inflates all of `input`. Returns whether a DEFLATE stream ended exactly with it.
    fn run(
        &mut self,
        mut input: &[u8],
        message: &mut Vec<u8>,
        limits: Limits,
    ) -> Result<bool, ProtocolError> {
        loop {
            let (before, made_before) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self
                .inflate
                .decompress(input, &mut self.scratch, InflateFlush::NoFlush);
            let used = self.inflate.total_in().saturating_sub(before);
            let made = self.inflate.total_out().saturating_sub(made_before);
            self.taken = self.taken.saturating_add(used);
            self.made = self.made.saturating_add(made);
            self.fresh &= used == 0;
            let made = usize::try_from(made).unwrap_or(usize::MAX);
            let output = self.scratch.get(..made).unwrap_or_default();
            // What came out before the error is the caller's: it may break a rule earlier.
            let len = message.len().saturating_add(made);
            let room = limits.bytes_max.saturating_sub(message.len());
            append(
                message,
                output.get(..room).unwrap_or(output),
                limits.bytes_max,
            );
            limits.check(len, self.taken, self.made)?;
            let status = status.map_err(|_| ProtocolError::CorruptDeflate)?;
            input = usize::try_from(used)
                .ok()
                .and_then(|used| input.get(used..))
                .unwrap_or_default();
            if status == Status::StreamEnd {
                // BFINAL: whoever ended a stream begins the next one without context.
                self.inflate.reset(false);
                self.fresh = true;
                if input.is_empty() {
                    return Ok(true);
                }
            } else if input.is_empty() && made < SCRATCH {
                return Ok(false);
            }
            if used == 0 && made == 0 {
                return Err(ProtocolError::CorruptDeflate); // no way on
            }
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}

/// Appends; reserves at most twice the length, and nothing above the limit.
fn append(message: &mut Vec<u8>, output: &[u8], bytes_max: usize) {
    let needed = message.len().saturating_add(output.len());
    if needed > message.capacity() {
        let capacity = message
            .capacity()
            .saturating_mul(2)
            .min(bytes_max)
            .max(needed);
        message.reserve_exact(capacity.saturating_sub(message.len()));
    }
    message.extend_from_slice(output);
}
