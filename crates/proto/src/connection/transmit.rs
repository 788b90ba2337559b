//! The sending half: a queue of encoded bytes.
//!
//! In: frames to encode. Out: slices for one vectored write. Invariant: bytes leave in the
//! order in which they were queued. The buffer of an empty queue can be taken away, so an idle
//! connection owns none, and given back before the next frame, so nothing is allocated then.
//!
//! Small frames are copied behind one another into one buffer (one slice, one allocation for
//! many frames); large shared payloads are queued by reference.

use std::{collections::VecDeque, io::IoSlice};

use bytes::Bytes;

use crate::{
    Prepared,
    frame::{self, Opcode},
    mask,
};

/// Payloads from this size on are sent from where they are instead of being copied.
const BY_REFERENCE_MIN: usize = 4096;

/// First allocation of the copy buffer, for a typical lone reply.
const TAIL_MIN: usize = 256;

#[derive(Debug)]
enum Segment {
    Copied(Vec<u8>),
    Shared(Bytes),
    /// Frames that whoever publishes them keeps for all who get them.
    Published(Bytes),
}

impl Segment {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Shared(bytes) | Self::Published(bytes) => bytes,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Transmit {
    /// Complete segments, before `tail`.
    segments: VecDeque<Segment>,
    /// Where small frames are appended.
    tail: Vec<u8>,
    /// Bytes of the first segment (or of `tail`, if there is none) already written.
    written: usize,
    /// Bytes not yet written.
    len: usize,
}

impl Transmit {
    /// Bytes waiting to be written.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory that are held for what waits, without what was published to many.
    pub(super) fn memory(&self) -> usize {
        let segments = self.segments.iter().map(|segment| match segment {
            Segment::Copied(bytes) => bytes.capacity(),
            Segment::Shared(bytes) => bytes.len(),
            Segment::Published(_) => 0,
        });
        segments.fold(self.tail.capacity(), usize::saturating_add)
    }

    /// Queues a frame. With a key (client role) the payload is masked into the queue.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "a tenth of what an answer in handler style costs; what is long is apart"
    )]
    pub(super) fn frame(
        &mut self,
        fin: bool,
        opcode: Opcode,
        payload: &[u8],
        key: Option<[u8; 4]>,
    ) {
        if key.is_none()
            && let Some(header) = frame::short_header(fin, opcode, payload.len())
        {
            let added = payload.len().saturating_add(header.len());
            let tail = self.tail_for(added);
            tail.extend_from_slice(&header);
            tail.extend_from_slice(payload);
            self.len = self.len.saturating_add(added);
            return;
        }
        self.long_or_masked(fin, opcode, payload, key);
    }

    /// Apart, so that [`Self::frame`] is short enough to be inlined where answers are queued.
    #[inline(never)]
    fn long_or_masked(&mut self, fin: bool, opcode: Opcode, payload: &[u8], key: Option<[u8; 4]>) {
        let tail = self.tail_for(payload.len().saturating_add(14));
        let before = tail.len();
        frame::encode(tail, fin, opcode, payload.len(), key);
        let start = tail.len();
        tail.extend_from_slice(payload);
        if let Some(key) = key {
            mask::apply(tail.get_mut(start..).unwrap_or_default(), key, 0);
        }
        let added = tail.len().saturating_sub(before);
        self.len = self.len.saturating_add(added);
    }

    /// As [`Self::frame`], marked as the first of a compressed message.
    pub(super) fn compressed(
        &mut self,
        fin: bool,
        opcode: Opcode,
        payload: &[u8],
        key: Option<[u8; 4]>,
    ) {
        let before = self.len;
        self.frame(fin, opcode, payload, key);
        let added = self.len.saturating_sub(before);
        let start = self.tail.len().saturating_sub(added);
        if let Some(first) = self.tail.get_mut(start) {
            *first |= frame::RSV1;
        }
    }

    /// Queues a frame whose payload is shared; not for clients, which must mask.
    #[inline]
    pub(super) fn shared(&mut self, opcode: Opcode, payload: &Bytes) {
        if payload.len() < BY_REFERENCE_MIN {
            return self.frame(true, opcode, payload, None);
        }
        let tail = self.tail_for(14);
        let before = tail.len();
        frame::encode(tail, true, opcode, payload.len(), None);
        let added = tail.len().saturating_sub(before);
        self.len = self.len.saturating_add(added);
        self.by_reference(Segment::Shared(payload.clone()));
    }

    /// Queues a ready frame.
    #[inline]
    pub(super) fn prepared(&mut self, prepared: &Prepared) {
        self.ready(prepared.frame(), Segment::Shared);
    }

    /// Queues ready frames, which many get.
    #[inline]
    pub(super) fn frames(&mut self, frames: &Bytes) {
        self.ready(frames, Segment::Published);
    }

    #[inline]
    fn ready(&mut self, frames: &Bytes, segment: fn(Bytes) -> Segment) {
        if frames.len() < BY_REFERENCE_MIN {
            self.tail_for(frames.len()).extend_from_slice(frames);
            self.len = self.len.saturating_add(frames.len());
        } else {
            self.by_reference(segment(frames.clone()));
        }
    }

    /// Gives the queue a buffer if it has none.
    #[inline]
    pub(super) fn lend_buffer(&mut self, lend: impl FnOnce() -> Vec<u8>) {
        if self.tail.capacity() == 0 {
            self.tail = lend();
            self.tail.clear();
        }
    }

    /// Takes the buffer of an empty queue.
    #[inline]
    pub(super) fn reclaim_buffer(&mut self) -> Option<Vec<u8>> {
        if self.len > 0 || self.tail.capacity() == 0 {
            return None;
        }
        self.segments = VecDeque::new();
        Some(std::mem::take(&mut self.tail))
    }

    /// Fills `parts` with what is to be written next; returns how many were set.
    pub(super) fn parts<'a>(&'a self, parts: &mut [IoSlice<'a>]) -> usize {
        let mut skip = self.written;
        let mut count = 0_usize;
        let all = self
            .segments
            .iter()
            .map(Segment::bytes)
            .chain(std::iter::once(self.tail.as_slice()));
        for (part, bytes) in parts.iter_mut().zip(all) {
            let bytes = bytes.get(std::mem::take(&mut skip)..).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            *part = IoSlice::new(bytes);
            count = count.saturating_add(1);
        }
        count
    }

    /// The first `count` bytes of what [`Self::parts`] gave have been written.
    pub(super) fn advance(&mut self, count: usize) {
        self.len = self.len.saturating_sub(count);
        if self.len == 0 {
            self.segments.clear();
            self.tail.clear();
            self.written = 0;
            return;
        }
        self.written = self.written.saturating_add(count);
        while let Some(first) = self.segments.front() {
            let len = first.bytes().len();
            if self.written < len {
                return;
            }
            self.written = self.written.saturating_sub(len);
            self.segments.pop_front();
        }
    }

    fn by_reference(&mut self, segment: Segment) {
        if !self.tail.is_empty() {
            self.segments
                .push_back(Segment::Copied(std::mem::take(&mut self.tail)));
        }
        self.len = self.len.saturating_add(segment.bytes().len());
        self.segments.push_back(segment);
    }

    #[inline]
    fn tail_for(&mut self, more: usize) -> &mut Vec<u8> {
        if self.tail.capacity() == 0 {
            self.tail.reserve(more.max(TAIL_MIN));
        } else if self.segments.is_empty()
            && self.written > self.tail.len() / 2
            && self.written > BY_REFERENCE_MIN
        {
            // A slow reader: drop what was written instead of growing behind it.
            self.tail.drain(..self.written);
            self.written = 0;
        }
        &mut self.tail
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drain(queue: &mut Transmit, step: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while queue.len() > 0 {
            let mut parts = [IoSlice::new(&[]); 3];
            let count = queue.parts(&mut parts);
            assert!(
                count > 0,
                "bytes are waiting, so there is something to write"
            );
            let all: Vec<u8> = parts[..count]
                .iter()
                .flat_map(|part| part.iter().copied())
                .collect();
            let taken = step.min(all.len());
            out.extend_from_slice(&all[..taken]);
            queue.advance(taken);
        }
        out
    }

    proptest! {
        #[test]
        fn bytes_leave_in_order_however_little_is_written_at_a_time(
            sizes in prop::collection::vec(prop_oneof![0..300_usize, 4000..9000_usize], 1..12),
            step in 1..5000_usize,
        ) {
            let mut queue = Transmit::default();
            let mut expected = Vec::new();
            for (i, size) in sizes.iter().enumerate() {
                let payload = vec![i as u8; *size];
                match i % 3 {
                    0 => queue.frame(true, Opcode::Binary, &payload, None),
                    1 => queue.shared(Opcode::Binary, &payload.clone().into()),
                    _ => queue.prepared(&Prepared::binary(&payload)),
                }
                expected.extend_from_slice(Prepared::binary(&payload).frame());
                prop_assert_eq!(queue.len(), expected.len());
            }
            prop_assert_eq!(drain(&mut queue, step), expected);
        }
    }

    #[test]
    fn what_is_held_for_one_connection_is_counted_and_what_is_published_to_many_is_not() {
        let mut queue = Transmit::default();
        assert_eq!(queue.memory(), 0);
        queue.shared(Opcode::Text, &vec![b'a'; 100_000].into());
        assert!((100_000..101_000).contains(&queue.memory()));
        queue.frames(&vec![b'a'; 100_000].into());
        assert!((100_000..101_000).contains(&queue.memory()));
        queue.frame(true, Opcode::Text, &vec![b'b'; 70_000], None);
        assert!(
            (170_000..241_000).contains(&queue.memory()),
            "{}",
            queue.memory()
        );
        drain(&mut queue, 10_000);
        queue.reclaim_buffer();
        assert_eq!(queue.memory(), 0);
    }

    #[test]
    fn an_empty_queue_gives_its_memory_away() {
        let mut queue = Transmit::default();
        queue.shared(Opcode::Text, &vec![b'a'; 100_000].into());
        queue.frame(true, Opcode::Text, b"b", None);
        assert!(queue.reclaim_buffer().is_none(), "it is in use");
        drain(&mut queue, 1000);
        let buffer = queue.reclaim_buffer().unwrap();
        queue.lend_buffer(|| buffer);
        assert!(queue.reclaim_buffer().is_some());
        assert_eq!((queue.tail.capacity(), queue.segments.capacity()), (0, 0));
    }
}
