//! Buffers shared by all connections of a thread.
//!
//! A connection takes a read buffer when bytes may be there and gives it back when every byte was
//! handled; its send queue borrows a write buffer while something is queued. So an idle
//! connection owns none, nothing is zeroed per read, and a busy thread allocates none.
//! Invariant: the pool keeps at most [`POOLED_MAX`] buffers of each kind per thread.

use std::{cell::RefCell, mem};

/// First read of a batch, and reads of quiet connections.
const SMALL: usize = 4 << 10;

/// Reads of a connection that filled its last buffer.
const LARGE: usize = 64 << 10;

/// A write buffer's first allocation, for a few replies.
const WRITE: usize = 1 << 10;

/// Write buffers that grew beyond are freed.
const WRITE_MAX: usize = 128 << 10;

const POOLED_MAX: usize = 8;

#[derive(Default)]
struct Pool {
    small: Vec<Box<[u8]>>,
    large: Vec<Box<[u8]>>,
    write: Vec<Vec<u8>>,
}

impl Pool {
    fn of_size(&mut self, len: usize) -> &mut Vec<Box<[u8]>> {
        if len == SMALL {
            &mut self.small
        } else {
            &mut self.large
        }
    }
}

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

/// A buffer for a send queue; give it back with [`keep_write_buffer`].
pub(crate) fn write_buffer() -> Vec<u8> {
    let pooled = POOL.try_with(|pool| pool.borrow_mut().write.pop());
    pooled
        .ok()
        .flatten()
        .unwrap_or_else(|| Vec::with_capacity(WRITE))
}

/// Keeps the buffer of an empty send queue for the next one.
pub(crate) fn keep_write_buffer(buffer: Vec<u8>) {
    if buffer.capacity() > WRITE_MAX {
        return;
    }
    // At the end of a thread the pool is gone first; then the buffer simply goes too.
    let kept = POOL.try_with(|pool| {
        let write = &mut pool.borrow_mut().write;
        if write.len() < POOLED_MAX {
            write.push(buffer);
        }
    });
    kept.ok();
}

/// A read buffer of the pool; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct ReadBuffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl ReadBuffer {
    /// An empty buffer.
    pub(crate) fn take(large: bool) -> Self {
        let len = if large { LARGE } else { SMALL };
        let pooled = POOL.with_borrow_mut(|pool| pool.of_size(len).pop());
        Self {
            bytes: pooled.unwrap_or_else(|| vec![0; len].into_boxed_slice()),
            start: 0,
            end: 0,
        }
    }

    /// A buffer holding `bytes`, which are not given to the pool.
    pub(crate) fn holding(bytes: Vec<u8>) -> Self {
        let end = bytes.len();
        Self {
            bytes: bytes.into_boxed_slice(),
            start: 0,
            end,
        }
    }

    /// Where to read to.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        &mut self.bytes[self.end..]
    }

    /// `count` bytes were read into [`Self::space`].
    pub(crate) fn filled(&mut self, count: usize) {
        self.end += count;
        assert!(
            self.end <= self.bytes.len(),
            "a read fills at most the space it was given"
        );
    }

    /// Whether the last read used all space: more is likely waiting.
    pub(crate) fn is_full(&self) -> bool {
        self.end == self.bytes.len()
    }

    /// Bytes read and not yet handled.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The same, to be unmasked in place.
    pub(crate) fn unread_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// Forgets what is unread behind its first `len` bytes.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start + len);
    }

    /// `count` bytes were handled.
    pub(crate) fn handled(&mut self, count: usize) {
        self.start += count;
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        let len = self.bytes.len();
        if len != SMALL && len != LARGE {
            return;
        }
        let bytes = mem::take(&mut self.bytes);
        let kept = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            let pooled = pool.of_size(len);
            if pooled.len() < POOLED_MAX {
                pooled.push(bytes);
            }
        });
        kept.ok();
    }
}
