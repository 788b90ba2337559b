//! [`Batch`]: answers to pipelined requests, which leave together.
//!
//! In: small writes, while the client's next request lies there whole or in part. Out: the same bytes in the same
//! order, as one write. Bound: [`BATCH_MAX`] bytes of a connection, none of them kept once they are written.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use tokio::io::AsyncWrite;

/// Bytes that are held at most. It has room for the answers of a client that asks for small things one behind
/// the other; a larger answer is worth a write of its own.
const BATCH_MAX: usize = 16 << 10;

/// Bytes up to which a write may be held.
const PIECE_MAX: usize = 4 << 10;

/// Bytes that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: BytesMut,
    /// Something was added since the last time it was asked whether it may stay.
    is_fresh: bool,
    /// The stream may hold bytes that it took from here.
    is_unflushed: bool,
}

impl Batch {
    /// Takes copies of all pieces and returns their bytes; `None` when they are too many to be held.
    pub(super) fn take(&mut self, pieces: &[IoSlice<'_>]) -> Option<usize> {
        let len = pieces.iter().map(|piece| piece.len()).sum();
        if len > PIECE_MAX || self.bytes.len() + len > BATCH_MAX {
            return None;
        }
        for piece in pieces {
            self.bytes.extend_from_slice(piece);
        }
        self.is_fresh = true;
        Some(len)
    }

    /// Returns whether something has come since the last call, so that whoever waits for more of it has a reason to.
    pub(super) fn was_fresh(&mut self) -> bool {
        std::mem::take(&mut self.is_fresh)
    }

    /// Writes all of it, and leaves none of it in the stream.
    pub(super) fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_write_out(context, stream))?;
        if self.is_unflushed {
            ready!(Pin::new(stream).poll_flush(context))?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes all of it, for a caller who flushes later.
    pub(super) fn poll_write_out<S: AsyncWrite + Unpin>(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<()>> {
        while !self.bytes.is_empty() {
            let count = ready!(Pin::new(&mut *stream).poll_write(context, &self.bytes))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.is_unflushed = true;
            self.bytes.advance(count);
            if self.bytes.is_empty() {
                self.bytes = BytesMut::new();
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, io::IoSlice};

    use tokio::io::{AsyncReadExt as _, duplex};

    use super::{BATCH_MAX, Batch, PIECE_MAX};

    fn take(batch: &mut Batch, piece: &[u8]) -> Option<usize> {
        batch.take(&[IoSlice::new(piece)])
    }

    #[tokio::test]
    async fn small_pieces_leave_together_and_nothing_stays() {
        let (mut near, mut far) = duplex(BATCH_MAX);
        let mut batch = Batch::default();
        let pieces = [IoSlice::new(b"one"), IoSlice::new(b"two")];
        assert_eq!(batch.take(&pieces), Some(6));
        assert_eq!(take(&mut batch, b"three"), Some(5));
        assert!(batch.was_fresh());
        assert!(!batch.was_fresh());
        poll_fn(|context| batch.poll_flush(context, &mut near))
            .await
            .unwrap();
        assert_eq!(batch.bytes.capacity(), 0);
        let mut came = [0; 64];
        let count = far.read(&mut came).await.unwrap();
        assert_eq!(&came[..count], b"onetwothree");
    }

    #[test]
    fn what_is_large_or_too_much_is_not_held() {
        let mut batch = Batch::default();
        assert_eq!(take(&mut batch, &vec![0; PIECE_MAX + 1]), None);
        let mut held = 0;
        while let Some(count) = take(&mut batch, &vec![0; PIECE_MAX]) {
            held += count;
        }
        assert_eq!(held, BATCH_MAX);
    }
}
