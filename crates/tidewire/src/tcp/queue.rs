//! [`SendQueue`]: bytes on their way out of a connection.
//!
//! In: slices, which are copied behind one another, and shared bytes, which are not. Out: the same, in order, as
//! parts of one vectored write. Invariant: an empty queue owns no buffer, and room for a few pieces.

use std::{collections::VecDeque, io::IoSlice, mem};

use bytes::{Buf as _, Bytes};

use crate::net::buffer;

/// Shared bytes below this are copied: that costs less than a slice of their own.
const SHARE_AT: usize = 1 << 10;

/// Written bytes in front of those that wait are moved away from here on.
const COMPACT_AT: usize = 64 << 10;

/// So many pieces an idle queue has room for: 128 bytes, and no allocation when it is used again.
const PIECES_KEPT: usize = 4;

/// Most slices of one write.
const SLICES: usize = 32;

#[derive(Debug, Default)]
pub(super) struct SendQueue {
    /// Bytes of the copied pieces; those before `start` are written.
    copied: Vec<u8>,
    start: usize,
    pieces: VecDeque<Piece>,
    len: usize,
}

#[derive(Debug)]
enum Piece {
    /// The next bytes that were copied.
    Copied(usize),
    Shared(Bytes),
}

impl SendQueue {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn push_slice(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.copied.capacity() == 0 {
            self.copied = buffer::write_buffer();
        }
        if self.start >= COMPACT_AT && self.start * 2 >= self.copied.len() {
            self.copied.drain(..mem::take(&mut self.start));
        }
        self.copied.extend_from_slice(bytes);
        self.len += bytes.len();
        match self.pieces.back_mut() {
            Some(Piece::Copied(count)) => *count += bytes.len(),
            Some(Piece::Shared(_)) | None => self.pieces.push_back(Piece::Copied(bytes.len())),
        }
    }

    pub(super) fn push(&mut self, bytes: Bytes) {
        if bytes.len() < SHARE_AT {
            self.push_slice(&bytes);
            return;
        }
        self.len += bytes.len();
        self.pieces.push_back(Piece::Shared(bytes));
    }

    /// Takes what `other` holds behind what is there.
    pub(super) fn append(&mut self, other: &mut Self) {
        if self.is_empty() {
            mem::swap(self, other);
            return;
        }
        let mut other = mem::take(other);
        let mut start = other.start;
        for piece in other.pieces.drain(..) {
            match piece {
                Piece::Copied(count) => {
                    self.push_slice(&other.copied[start..start + count]);
                    start += count;
                }
                Piece::Shared(bytes) => self.push(bytes),
            }
        }
        other.recycle();
    }

    /// The parts of the next write, and how many there are.
    pub(super) fn parts<'a>(&'a self, parts: &mut [IoSlice<'a>; SLICES]) -> usize {
        let mut start = self.start;
        let mut filled = 0;
        for (part, piece) in parts.iter_mut().zip(&self.pieces) {
            *part = IoSlice::new(match piece {
                Piece::Copied(count) => {
                    let bytes = &self.copied[start..start + count];
                    start += count;
                    bytes
                }
                Piece::Shared(bytes) => bytes,
            });
            filled += 1;
        }
        filled
    }

    /// No parts, to be filled.
    pub(super) fn no_parts<'a>() -> [IoSlice<'a>; SLICES] {
        [IoSlice::new(&[]); SLICES]
    }

    /// The first `count` bytes were written.
    pub(super) fn written(&mut self, mut count: usize) {
        self.len -= count;
        while count > 0 {
            let Some(first) = self.pieces.front_mut() else {
                break;
            };
            let done = match first {
                Piece::Copied(left) => {
                    let written = count.min(*left);
                    *left -= written;
                    self.start += written;
                    count -= written;
                    *left == 0
                }
                Piece::Shared(bytes) => {
                    let written = count.min(bytes.len());
                    bytes.advance(written);
                    count -= written;
                    bytes.is_empty()
                }
            };
            if done {
                self.pieces.pop_front();
            }
        }
        if self.is_empty() {
            self.clear();
        }
    }

    /// Forgets everything and gives the buffer back.
    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        if self.pieces.capacity() > PIECES_KEPT {
            self.pieces = VecDeque::new();
        }
        self.len = 0;
        self.recycle();
    }

    /// Gives the buffer back.
    fn recycle(&mut self) {
        self.start = 0;
        let mut buffer = mem::take(&mut self.copied);
        if buffer.capacity() > 0 {
            buffer.clear();
            buffer::keep_write_buffer(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes `count` bytes at most at a time; gives what was written.
    fn drain(queue: &mut SendQueue, count: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while !queue.is_empty() {
            let mut parts = SendQueue::no_parts();
            let filled = queue.parts(&mut parts);
            let all: Vec<u8> = parts[..filled]
                .iter()
                .flat_map(|part| part.iter())
                .copied()
                .collect();
            let written = all.len().min(count);
            out.extend_from_slice(&all[..written]);
            queue.written(written);
        }
        out
    }

    #[test]
    fn whatever_is_queued_comes_out_in_order_however_it_is_written() {
        let large = Bytes::from(vec![b'L'; SHARE_AT + 7]);
        for count in [1, 2, 3, 7, 1000, usize::MAX] {
            let mut expected = Vec::new();
            let mut queue = SendQueue::default();
            let mut other = SendQueue::default();
            for number in 0..100_u8 {
                let small = vec![number; usize::from(number % 5)];
                queue.push_slice(&small);
                expected.extend_from_slice(&small);
                if number % 7 == 0 {
                    queue.push(large.clone());
                    expected.extend_from_slice(&large);
                }
                if number % 11 == 0 {
                    other.push_slice(b"other");
                    other.push(large.clone());
                    queue.append(&mut other);
                    expected.extend_from_slice(b"other");
                    expected.extend_from_slice(&large);
                }
            }
            assert_eq!(queue.len(), expected.len());
            assert_eq!(drain(&mut queue, count), expected, "{count} at a time");
            assert_eq!(queue.copied.capacity(), 0);
            assert!(queue.pieces.capacity() <= PIECES_KEPT);
        }
    }

    #[test]
    fn a_queue_that_never_empties_does_not_grow() {
        let mut queue = SendQueue::default();
        queue.push_slice(&[0; 1000]);
        for _ in 0..10_000 {
            queue.push_slice(&[1; 1000]);
            queue.written(1000);
        }
        assert!(queue.copied.capacity() <= 4 * COMPACT_AT);
    }
}
