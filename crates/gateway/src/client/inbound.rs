//! What a client may send: size, rate, room.
//!
//! In: pieces of a client's messages. Out: the same, in the upward [`PieceQueue`], or the close frame that ends the
//! logical socket. Invariant: nothing goes into the queue that the endpoint's limits do not allow.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tidewire::ws::{CloseCode, CloseFrame};
use tokio::time::Instant;

use crate::{
    backend::queue::{Piece, PieceQueue, Up},
    routing::target::{Target, add},
    settings::{Endpoint, Overflow},
};

/// The way of a client's messages into its backend session.
#[derive(Debug)]
pub(crate) struct Inbound {
    queue: Arc<PieceQueue<Up>>,
    target: Arc<Target>,
    messages: Option<Bucket>,
    bytes: Option<Bucket>,
    /// Largest message; `usize::MAX`: any.
    pub(crate) message_bytes_max: usize,
    /// Of the message under way.
    message_len: usize,
    overflow: Overflow,
    /// The backend is being looked for.
    pub(crate) lost: bool,
}

impl Inbound {
    pub(crate) fn new(
        queue: Arc<PieceQueue<Up>>,
        target: Arc<Target>,
        endpoint: &Endpoint,
    ) -> Self {
        let rates = &endpoint.rates;
        let bucket = |rate: u64| (rate > 0).then(|| Bucket::new(rate));
        Self {
            queue,
            target,
            messages: bucket(u64::from(rates.messages_per_second)),
            bytes: bucket(rates.bytes_per_second),
            message_bytes_max: match rates.message_bytes_max {
                0 => usize::MAX,
                most => most,
            },
            message_len: 0,
            overflow: endpoint
                .resume
                .as_ref()
                .map_or(Overflow::Wait, |resume| resume.overflow),
            lost: false,
        }
    }

    /// Waits until something may be read from the client: there is room, or the answer to "full" is
    /// due.
    pub(crate) fn poll_ready(&self, cx: &Context<'_>) -> Poll<()> {
        if self.lost && self.overflow == Overflow::Close {
            return Poll::Ready(());
        }
        self.queue.poll_room(cx)
    }

    /// Takes a piece of a message.
    ///
    /// # Errors
    /// What the client is closed with.
    pub(crate) fn take(&mut self, piece: Piece) -> Result<(), CloseFrame> {
        let now = Instant::now();
        self.message_len = self.message_len.saturating_add(piece.data.len());
        if self.message_len > self.message_bytes_max {
            let why = format!(
                "expected messages of at most {} bytes",
                self.message_bytes_max
            );
            return Err(CloseFrame::new(CloseCode::TOO_BIG, why));
        }
        if piece.last {
            self.message_len = 0;
        }
        let too_many = |bucket: &mut Option<Bucket>, count: u64| {
            bucket
                .as_mut()
                .is_some_and(|bucket| !bucket.take(count, now))
        };
        if too_many(&mut self.messages, u64::from(piece.last))
            || too_many(&mut self.bytes, piece.data.len() as u64)
        {
            let why = "more messages or bytes per second than allowed";
            return Err(CloseFrame::new(CloseCode::POLICY_VIOLATION, why));
        }
        if self.lost && self.overflow == Overflow::Close && !self.queue.has_room() {
            add(&self.target.counters.overflowed, 1);
            let why = "the backend is away and no more can be kept for it";
            return Err(CloseFrame::new(CloseCode::TRY_AGAIN_LATER, why));
        }
        self.queue.push(Up::Piece(piece));
        Ok(())
    }

    /// The client closes.
    pub(crate) fn close(&self, frame: Option<CloseFrame>) {
        self.queue.push(Up::Close(frame));
    }
}

/// Tokens that come back over time: so many per second, and a burst of twice that.
#[derive(Debug)]
struct Bucket {
    per_second: u64,
    /// In billionths of a token.
    left: u128,
    at: Instant,
}

const WHOLE: u128 = 1_000_000_000;

impl Bucket {
    fn new(per_second: u64) -> Self {
        Self {
            per_second,
            left: Self::burst(per_second),
            at: Instant::now(),
        }
    }

    fn burst(per_second: u64) -> u128 {
        u128::from(per_second) * 2 * WHOLE
    }

    fn take(&mut self, count: u64, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.at).as_nanos();
        self.at = now;
        let back = since.saturating_mul(u128::from(self.per_second));
        self.left = self
            .left
            .saturating_add(back)
            .min(Self::burst(self.per_second));
        match self.left.checked_sub(u128::from(count) * WHOLE) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tokens_come_back_with_time_up_to_the_burst() {
        let mut bucket = Bucket::new(10);
        for _ in 0..20 {
            assert!(bucket.take(1, Instant::now()));
        }
        assert!(!bucket.take(1, Instant::now()));
        tokio::time::advance(Duration::from_millis(100)).await;
        assert!(bucket.take(1, Instant::now()));
        assert!(!bucket.take(1, Instant::now()));
        tokio::time::advance(Duration::from_hours(1)).await;
        assert!(bucket.take(20, Instant::now()));
        assert!(!bucket.take(1, Instant::now()));
    }
}
