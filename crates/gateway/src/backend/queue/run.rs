//! [`Run`]: small pieces of messages, side by side in one buffer.
//!
//! In: pieces. Out: the same, in order. A piece of its own costs more than a hundred bytes whatever it
//! holds, so a client whose credit is 64 KiB could make the gateway keep megabytes of nothing.
//! Invariant: a run takes one buffer of a fixed size.

use bytes::Bytes;
use tidewire::ws::Kind;

use super::Piece;

/// Bytes of a run.
const BYTES: usize = 2048;
/// Before each piece: its flags and length.
const HEADER: usize = 2;

const TEXT: u8 = 1;
const LAST: u8 = 2;

/// Small pieces.
#[derive(Debug, Default)]
pub(super) struct Run {
    bytes: Vec<u8>,
    /// Where the first one begins.
    at: usize,
}

impl Run {
    /// Returns whether a piece may be in a run.
    pub(super) fn is_small(piece: &Piece) -> bool {
        u8::try_from(piece.data.len()).is_ok()
    }

    /// Returns whether there is room behind the others.
    pub(super) fn has_room(&self, piece: &Piece) -> bool {
        self.bytes.len() + HEADER + piece.data.len() <= BYTES
    }

    /// Puts a small piece behind the others.
    pub(super) fn push(&mut self, piece: &Piece) {
        let len = u8::try_from(piece.data.len()).expect("only small pieces are pushed");
        if self.bytes.capacity() == 0 {
            self.bytes.reserve_exact(BYTES);
        }
        let text = if piece.kind == Kind::Text { TEXT } else { 0 };
        let last = if piece.last { LAST } else { 0 };
        self.bytes.extend_from_slice(&[text | last, len]);
        self.bytes.extend_from_slice(&piece.data);
    }

    /// Takes the first one out.
    pub(super) fn pop(&mut self) -> Option<Piece> {
        let (flags, len, rest) = match self.bytes.get(self.at..)? {
            [flags, len, rest @ ..] => (*flags, usize::from(*len), rest),
            _ => return None,
        };
        let data = Bytes::copy_from_slice(rest.get(..len)?);
        self.at += HEADER + len;
        Some(Piece {
            kind: if flags & TEXT == 0 {
                Kind::Binary
            } else {
                Kind::Text
            },
            data,
            last: flags & LAST != 0,
        })
    }

    /// Returns whether all were taken out.
    pub(super) fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }
}
