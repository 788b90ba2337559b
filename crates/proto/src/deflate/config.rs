//! What this end wants of permessage-deflate, before the peer is asked.

use super::DeflatePool;

/// Settings of permessage-deflate (RFC 7692) for all connections of an endpoint.
///
/// Compression next to secrets leaks them by the size of what is sent (CRIME, BREACH): where an
/// attacker can place text into a message that also holds a secret, leave it off, or send that
/// message uncompressed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeflateConfig {
    /// Effort from 1 (fastest) to 9 (smallest). Default 1: a JSON-like message of 1 KiB takes
    /// 2 µs to a third of its size; level 2 takes three times as long for a quarter.
    pub level: u8,
    /// Window of what we send, as a power of two from 9 to 15; values outside are taken as the
    /// nearest. Default 15: a smaller one finds less, and saves memory only with
    /// [`context_takeover`](Self::context_takeover). The peer may ask for less.
    pub window_bits: u8,
    /// Largest window the peer shall use for what it sends, 9 to 15. Default 15. With
    /// [`peer_context_takeover`](Self::peer_context_takeover) a connection keeps up to this much
    /// of what it received.
    pub peer_window_bits: u8,
    /// Compress a message with the ones sent before it as context: smaller, but every connection
    /// then owns a compressor from its first compressed message on (160 to 400 KiB). Default false:
    /// compressors are shared.
    pub context_takeover: bool,
    /// Let the peer do so; costs `2^peer_window_bits` bytes per connection. Default false.
    pub peer_context_takeover: bool,
    /// Messages below this many bytes are sent as they are. Default 512: below a packet there is
    /// little to win.
    pub threshold: usize,
    /// Most bytes a compressed byte may stand for, counted from the message's beginning, once
    /// [`ratio_floor`](Self::ratio_floor) bytes have come out; 1009 above it. Default 100; DEFLATE can
    /// reach 1030, text rarely passes 20. It makes a peer send something for what it makes this end
    /// hold; [`crate::Config::message_bytes_max`] bounds how much that is, whatever the ratio.
    pub ratio_max: u32,
    /// Bytes that a message may inflate to before [`ratio_max`](Self::ratio_max) counts. Default 1 MiB:
    /// logs, tables and text of one repeated line pass the ratio in honest messages of some hundred
    /// KiB. 0 = the ratio counts from the first byte.
    pub ratio_floor: usize,
    /// Memory for symbols not yet written, 1 to 9: 448 bytes × 2^level per compressor. Default 6;
    /// less compresses long messages worse at levels above 1.
    pub memory_level: u8,
    /// Where idle compressors and decompressors wait for the next message. Clones of this
    /// configuration share it. A connection in the middle of a compressed message holds a
    /// decompressor (60 KiB), however little the peer has sent of it.
    pub pool: DeflatePool,
}

impl Default for DeflateConfig {
    fn default() -> Self {
        Self {
            level: 1,
            window_bits: BITS_MAX,
            peer_window_bits: BITS_MAX,
            context_takeover: false,
            peer_context_takeover: false,
            threshold: 512,
            ratio_max: 100,
            ratio_floor: 1 << 20,
            memory_level: 6,
            pool: DeflatePool::default(),
        }
    }
}

impl DeflateConfig {
    /// `window_bits`, in range.
    pub(crate) fn own_bits(&self) -> u8 {
        self.window_bits.clamp(BITS_MIN, BITS_MAX)
    }

    /// `peer_window_bits`, in range.
    pub(crate) fn peer_bits(&self) -> u8 {
        self.peer_window_bits.clamp(BITS_MIN, BITS_MAX)
    }
}

/// The smallest window a compressor can keep to: zlib's format allows 8, its compressors do not.
pub(crate) const BITS_MIN: u8 = 9;

/// The largest window of DEFLATE: 32 KiB.
pub(crate) const BITS_MAX: u8 = 15;
