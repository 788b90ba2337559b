//! Message → compressed payload (RFC 7692 section 7.2.1).
//!
//! In: whole messages, or one in pieces. Out: payloads of frames, without the four bytes that end
//! every one of them. Invariant: what the compressor refers to is what the peer has inflated. A
//! message that did not shrink is not sent compressed, so the peer never sees it in its window:
//! the compressor forgets everything then.

use zlib_rs::{Deflate, DeflateConfig as Tuning, DeflateFlush};

use super::{
    DeflateConfig, DeflateParameters, DeflatePool,
    config::{BITS_MAX, BITS_MIN},
};
use crate::Role;

/// Compresses the messages of one connection.
#[derive(Debug)]
pub(crate) struct Deflater {
    pool: DeflatePool,
    settings: Settings,
    takeover: bool,
    threshold: usize,
    /// A message is being sent in pieces.
    streaming: bool,
    /// With context takeover from the first compressed message on; without it only while
    /// a message is sent in pieces.
    engine: Option<Box<Engine>>,
}

/// The parameters of a compressor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    level: u8,
    window_bits: u8,
    memory_level: u8,
}

/// A compressor and the buffer its output goes to.
pub(super) struct Engine {
    settings: Settings,
    deflate: Deflate,
    scratch: Vec<u8>,
}

/// The output buffer grows in steps of this many bytes, and keeps as many between two messages.
const SCRATCH: usize = 16 << 10;

/// The end of a flushed piece: an empty stored block (section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

impl Settings {
    pub(super) fn new(config: &DeflateConfig, window_bits: u8) -> Self {
        Self {
            level: config.level.clamp(1, 9),
            window_bits: window_bits.clamp(BITS_MIN, BITS_MAX),
            memory_level: config.memory_level.clamp(1, 9),
        }
    }
}

impl Deflater {
    /// For what this end in the role `sender` compresses. `None` when the peer allows only a
    /// window that no compressor keeps to: then everything is sent as it is, which is always
    /// allowed.
    pub(crate) fn new(
        agreed: DeflateParameters,
        sender: Role,
        config: &DeflateConfig,
    ) -> Option<Self> {
        let (bits, takeover) = agreed.of(sender);
        (bits >= BITS_MIN).then(|| Self {
            pool: config.pool.clone(),
            settings: Settings::new(config, bits.min(config.own_bits())),
            takeover: takeover && config.context_takeover,
            threshold: config.threshold,
            streaming: false,
            engine: None,
        })
    }

    /// Returns whether a message of this length is worth compressing.
    pub(crate) fn wants(&self, len: usize) -> bool {
        len >= self.threshold
    }

    /// The window of what is sent, as a power of two.
    pub(crate) fn window_bits(&self) -> u8 {
        self.settings.window_bits
    }

    /// Compresses a whole message and gives it to `send`. False: it did not shrink and `send` was
    /// not called; it is to be sent as it is.
    pub(crate) fn message(&mut self, payload: &[u8], send: impl FnOnce(&[u8])) -> bool {
        let engine = self.engine();
        let compressed = engine.compress(payload, payload.len());
        let shrunk = compressed.is_some();
        match compressed {
            Some(compressed) => send(compressed),
            None => engine.reset(),
        }
        self.message_done();
        shrunk
    }

    /// Compresses a piece of a message that is sent in several frames; `last` ends it. All of the
    /// piece is in the result.
    pub(crate) fn piece(&mut self, piece: &[u8], last: bool, send: impl FnOnce(&[u8])) {
        self.streaming = !last;
        let engine = self.engine();
        engine.flush(piece, usize::MAX);
        if last {
            engine.cut_tail();
        }
        send(&engine.scratch);
        engine.scratch.clear();
        if last {
            self.message_done();
        }
    }

    /// Returns whether a message is being sent in pieces.
    pub(crate) fn is_streaming(&self) -> bool {
        self.streaming
    }

    /// The peer got a compressed message that did not come from here: its window moved on.
    pub(crate) fn forget(&mut self) {
        if let Some(engine) = &mut self.engine {
            engine.reset();
        }
    }

    fn engine(&mut self) -> &mut Engine {
        let (pool, settings) = (&self.pool, self.settings);
        self.engine.get_or_insert_with(|| pool.compressor(settings))
    }

    fn message_done(&mut self) {
        if self.takeover {
            if let Some(engine) = &mut self.engine {
                engine.scratch = Vec::new();
            }
        } else if let Some(engine) = self.engine.take() {
            self.pool.keep_compressor(engine);
        }
    }
}

/// Compresses a message for connections that are not known yet: without context, and with the
/// window it takes of the receiver. `None` when it is too short or does not shrink.
pub(crate) fn compress_once(config: &DeflateConfig, payload: &[u8]) -> Option<(Vec<u8>, u8)> {
    if payload.len() < config.threshold {
        return None;
    }
    let settings = Settings::new(config, config.own_bits());
    let mut engine = config.pool.compressor(settings);
    let compressed = engine.compress(payload, payload.len()).map(<[u8]>::to_vec);
    config.pool.keep_compressor(engine);
    // No reference reaches back farther than to the message's own beginning.
    let needed = payload.len().next_power_of_two().trailing_zeros();
    let needed = u8::try_from(needed).unwrap_or(BITS_MAX).max(BITS_MIN);
    Some((compressed?, needed.min(settings.window_bits)))
}

impl Engine {
    pub(super) fn new(settings: Settings) -> Self {
        let deflate = Deflate::new_with_config(Tuning {
            level: i32::from(settings.level),
            window_bits: 0_i32.saturating_sub(i32::from(settings.window_bits)), // raw
            mem_level: i32::from(settings.memory_level),
            ..Tuning::default()
        });
        Self {
            settings,
            deflate,
            scratch: Vec::new(),
        }
    }

    pub(super) fn settings(&self) -> Settings {
        self.settings
    }

    pub(super) fn reset(&mut self) {
        self.deflate.reset();
        self.scratch.clear();
        self.scratch.shrink_to(SCRATCH);
    }

    /// A whole message without its tail; `None` when that is not below `below` bytes.
    pub(super) fn compress(&mut self, payload: &[u8], below: usize) -> Option<&[u8]> {
        if !self.flush(payload, below.saturating_add(TAIL.len())) {
            return None;
        }
        self.cut_tail();
        (self.scratch.len() < below).then_some(self.scratch.as_slice())
    }

    /// Compresses `input` into the empty scratch and flushes it to a byte boundary; false when
    /// that took `max` bytes or more. Then it runs to the end all the same: zlib-rs 0.6.8 loses
    /// room in its buffer with every reset before the output was drained, and panics in the end.
    fn flush(&mut self, mut input: &[u8], max: usize) -> bool {
        let mut len = 0_usize;
        let mut fits = true;
        loop {
            if len == self.scratch.len() {
                // With little room a flush would write its marker again and again.
                let more = SCRATCH.min(max.saturating_sub(len).max(16));
                self.scratch.resize(len.saturating_add(more), 0);
            }
            let (before, made_before) = (self.deflate.total_in(), self.deflate.total_out());
            let room = self.scratch.get_mut(len..).unwrap_or_default();
            let result = self.deflate.compress(input, room, DeflateFlush::SyncFlush);
            debug_assert!(
                result.is_ok(),
                "the compressor was made with valid settings"
            );
            let used = self.deflate.total_in().saturating_sub(before);
            let made = self.deflate.total_out().saturating_sub(made_before);
            input = usize::try_from(used)
                .ok()
                .and_then(|used| input.get(used..))
                .unwrap_or_default();
            len = len.saturating_add(usize::try_from(made).unwrap_or(usize::MAX));
            let done = (len < self.scratch.len() && input.is_empty()) || result.is_err();
            fits &= len < max && result.is_ok();
            if done {
                self.scratch.truncate(len);
                return fits;
            }
            if !fits {
                len = 0; // the rest is of no use
            }
        }
    }

    /// Removes the tail; where nothing was left to flush, begins an empty block that the tail
    /// ends.
    fn cut_tail(&mut self) {
        match self.scratch.strip_suffix(&TAIL).map(<[u8]>::len) {
            Some(len) => self.scratch.truncate(len),
            None => self.scratch.push(0),
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
