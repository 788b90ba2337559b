//! HTTP/2 frames that carry nothing, counted: [`CountedFrames`].
//!
//! In: the bytes of a connection in both directions, under the `h2` crate, which answers such frames without counting
//! them. Out: the same bytes, or [`Flood`]. What is allowed is a burst, so many a second, and some for each frame that
//! carries something in either direction: a client may give its window back in the smallest steps, and a large transfer
//! is no flood. Invariant: the work that such frames cause is bounded by time and by the work that is wanted.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tidewire_proto::ControlRate;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    time::Instant,
};

/// The peer has sent too many of them; clones are of the same connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flood(Arc<Notify>);

impl Flood {
    /// Waits for it.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn begun(&self) {
        self.0.notified().await;
    }
}

/// A server's stream under HTTP/2.
#[derive(Debug)]
pub(crate) struct CountedFrames<S> {
    stream: S,
    received: Frames,
    sent: Frames,
    budget: Option<Budget>,
    flood: Flood,
    is_over: bool,
}

impl<S> CountedFrames<S> {
    /// Without a `rate` nothing is counted.
    pub(crate) fn new(stream: S, rate: Option<ControlRate>) -> (Self, Flood) {
        let flood = Flood::default();
        let counted = Self {
            stream,
            received: Frames::behind(PREFACE_LEN),
            sent: Frames::behind(0),
            budget: rate.map(Budget::new),
            flood: flood.clone(),
            is_over: false,
        };
        (counted, flood)
    }

    /// Counts what was received.
    fn count_received(&mut self, bytes: &[u8]) {
        let Some(budget) = &mut self.budget else {
            return;
        };
        let mut is_within = true;
        self.received.advance(bytes, |frame| match frame {
            Frame::Data { is_empty: false } => budget.earn(PER_DATA),
            Frame::Headers => budget.earn(PER_REQUEST),
            Frame::Data { is_empty: true } | Frame::Other => is_within &= budget.spend(),
        });
        if !is_within {
            self.is_over = true;
            self.flood.0.notify_one();
        }
    }

    fn count_sent(&mut self, bytes: &[u8]) {
        let Some(budget) = &mut self.budget else {
            return;
        };
        self.sent.advance(bytes, |frame| {
            if matches!(frame, Frame::Data { is_empty: false }) {
                budget.earn(PER_DATA);
            }
        });
    }
}

/// Frames without content for one with some: the window of stream and connection is given back, a ping measures.
const PER_DATA: u64 = 4;

/// The same for a request: priorities, its reset.
const PER_REQUEST: u64 = 8;

/// RFC 9113 section 3.4.
const PREFACE_LEN: usize = 24;

#[derive(Debug)]
struct Budget {
    rate: ControlRate,
    /// Frames that may come now.
    left: u64,
    filled_at: Instant,
}

impl Budget {
    fn new(rate: ControlRate) -> Self {
        Self {
            left: rate.burst.into(),
            filled_at: Instant::now(),
            rate,
        }
    }

    fn earn(&mut self, frames: u64) {
        self.left = self.left.saturating_add(frames);
    }

    /// Returns whether one more frame is allowed, and counts it.
    #[must_use]
    fn spend(&mut self) -> bool {
        if self.left == 0 {
            self.fill();
        }
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    /// Adds the frames that time has brought since all was spent.
    fn fill(&mut self) {
        let now = Instant::now();
        let millis = now.saturating_duration_since(self.filled_at).as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        let frames = millis.saturating_mul(self.rate.per_second.into()) / 1000;
        if frames > 0 {
            self.filled_at = now;
            self.left = frames.min(self.rate.burst.into());
        }
    }
}

/// Follows frames through a stream of bytes (RFC 9113 section 4.1).
#[derive(Debug)]
struct Frames {
    header: [u8; HEADER_LEN],
    header_len: usize,
    /// Bytes that are no header.
    skip: usize,
}

const HEADER_LEN: usize = 9;

#[derive(Debug, PartialEq, Eq)]
enum Frame {
    Data { is_empty: bool },
    Headers,
    Other,
}

impl Frames {
    fn behind(skip: usize) -> Self {
        Self {
            header: [0; HEADER_LEN],
            header_len: 0,
            skip,
        }
    }

    fn advance(&mut self, mut bytes: &[u8], mut tell: impl FnMut(Frame)) {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let wanted = (HEADER_LEN - self.header_len).min(bytes.len());
            self.header[self.header_len..self.header_len + wanted]
                .copy_from_slice(&bytes[..wanted]);
            self.header_len += wanted;
            bytes = &bytes[wanted..];
            if self.header_len == HEADER_LEN {
                let [a, b, c, kind, flags, ..] = self.header;
                self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
                self.header_len = 0;
                tell(match kind {
                    // The end of a stream is content.
                    0 => Frame::Data {
                        is_empty: self.skip == 0 && flags & 1 == 0,
                    },
                    1 => Frame::Headers,
                    _ => Frame::Other,
                });
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CountedFrames<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_over {
            // Whoever waits for the flood ends the connection.
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.count_received(&buffer.filled()[before..]);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CountedFrames<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = polled {
            self.count_sent(&bytes[..count]);
        }
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        if let Poll::Ready(Ok(mut count)) = polled {
            for slice in slices {
                let taken = count.min(slice.len());
                self.count_sent(&slice[..taken]);
                count -= taken;
            }
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let header = [len[1], len[2], len[3], kind, flags, 0, 0, 0, 1];
        [&header, payload].concat()
    }

    #[test]
    fn frames_are_told_in_any_cut() {
        let bytes = [
            b"preface ".to_vec(),
            frame(4, 0, &[]),
            frame(1, 4, b"headers"),
            frame(0, 0, b"data"),
            frame(0, 0, &[]),
            frame(0, 1, &[]),
            frame(6, 0, b"12345678"),
            frame(0, 0, &[7; 1000]),
        ]
        .concat();
        for step in 1..=bytes.len() {
            let mut frames = Frames::behind(8);
            let mut told = Vec::new();
            for piece in bytes.chunks(step) {
                frames.advance(piece, |frame| told.push(frame));
            }
            let data = |is_empty| Frame::Data { is_empty };
            let expected = [
                Frame::Other,
                Frame::Headers,
                data(false),
                data(true),
                data(false),
                Frame::Other,
                data(false),
            ];
            assert_eq!(told, expected, "{step}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_come_is_a_burst_and_then_the_rate_and_more_for_content() {
        let mut budget = Budget::new(ControlRate {
            per_second: 10,
            burst: 100,
        });
        let spent = |budget: &mut Budget| (0..1000).take_while(|_| budget.spend()).count();
        assert_eq!(spent(&mut budget), 100);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(spent(&mut budget), 20);
        tokio::time::advance(Duration::from_hours(1)).await;
        assert_eq!(spent(&mut budget), 100);
        budget.earn(3);
        assert_eq!(spent(&mut budget), 3);
    }
}
