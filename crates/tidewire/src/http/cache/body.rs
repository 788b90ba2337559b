//! The body of an answer out of the cache.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, SizeHint};
use tokio::{fs::File, io::AsyncRead as _, io::ReadBuf};

/// The body of an answer out of a [`FileCache`](super::FileCache): pieces that are in memory anyway, or a part of a file
/// on disk, read 64 KiB at a time.
#[derive(Debug)]
pub struct CachedBody {
    source: Source,
    left: u64,
}

#[derive(Debug)]
enum Source {
    Memory(VecDeque<Bytes>),
    File { file: File, buffer: BytesMut },
}

impl CachedBody {
    pub(super) fn empty() -> Self {
        Self::pieces(VecDeque::new())
    }

    pub(super) fn whole(bytes: Bytes) -> Self {
        Self::pieces(VecDeque::from([bytes]))
    }

    pub(super) fn pieces(pieces: VecDeque<Bytes>) -> Self {
        Self {
            left: pieces.iter().map(|piece| piece.len() as u64).sum(),
            source: Source::Memory(pieces),
        }
    }

    /// `len` bytes from where `file` stands.
    pub(super) fn file(file: File, len: u64) -> Self {
        Self {
            left: len,
            source: Source::File {
                file,
                buffer: BytesMut::new(),
            },
        }
    }

    /// Reads it as a whole.
    ///
    /// # Errors
    /// Those of reading a file.
    pub async fn read(self) -> io::Result<Bytes> {
        Ok(self.collect().await?.to_bytes())
    }
}

impl Body for CachedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let piece = match &mut this.source {
            Source::Memory(pieces) => pieces.pop_front().unwrap_or_default(),
            Source::File { file, buffer } => {
                let len =
                    usize::try_from(this.left).map_or(READ_BYTES, |left| left.min(READ_BYTES));
                buffer.resize(len, 0);
                let mut space = ReadBuf::new(buffer);
                if let Err(error) = ready!(Pin::new(file).poll_read(context, &mut space)) {
                    this.left = 0;
                    return Poll::Ready(Some(Err(error)));
                }
                let len = space.filled().len();
                buffer.split_to(len).freeze()
            }
        };
        if piece.is_empty() {
            // Cut off, the client sees that something is missing.
            this.left = 0;
            let shorter = io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter");
            return Poll::Ready(Some(Err(shorter)));
        }
        this.left = this.left.saturating_sub(piece.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Read of a file at a time.
const READ_BYTES: usize = 64 << 10;
