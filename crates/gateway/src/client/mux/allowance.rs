//! How many frames a client may send that carry no data.
//!
//! In: what was sent to the client, and its frames that no credit pays for. Out: whether it may go on.
//! Invariant: such frames are bounded by time and by the data that the client was sent, whatever it opens.
//! The numbers are part of `docs/protocols/mux-v1.md`.

use tidewire::{proto::ControlBucket, ws::ControlRate};
use tokio::time::Instant;

/// A CREDIT is paid for by every frame of data that was sent, and again by so many bytes begun in it.
const CREDIT_PER_BYTES: usize = 1024;

/// The client sends more than the data and the time justify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany {
    pub(super) per_second: u32,
}

/// What a client may still send.
#[derive(Debug)]
pub(super) struct Allowance {
    /// `None`: as much as it likes.
    rate: Option<ControlRate>,
    bucket: ControlBucket,
    since: Instant,
    /// CREDITs that data has paid for.
    credits: u64,
}

impl Allowance {
    /// For a client that may have so many streams.
    pub(super) fn new(rate: Option<ControlRate>, streams_max: usize) -> Self {
        // All may be opened at once, refused, and given up before the client hears that.
        let streams = u32::try_from(streams_max).unwrap_or(u32::MAX);
        let more = streams.saturating_mul(2);
        Self {
            rate: rate.map(|ControlRate { per_second, burst }| ControlRate {
                per_second,
                burst: burst.saturating_add(more),
            }),
            bucket: ControlBucket::default(),
            since: Instant::now(),
            credits: 0,
        }
    }

    /// DATA was sent to the client, which may give credit back for it, in pieces too.
    pub(super) fn data_sent(&mut self, payload_len: usize) {
        let credits = 1 + payload_len.div_ceil(CREDIT_PER_BYTES);
        self.credits = self.credits.saturating_add(credits as u64);
    }

    /// CREDIT was received.
    pub(super) fn credit(&mut self) -> Result<(), TooMany> {
        if self.credits > 0 {
            self.credits -= 1;
            return Ok(());
        }
        self.other()
    }

    /// Another frame was received that nothing has paid for.
    pub(super) fn other(&mut self) -> Result<(), TooMany> {
        let Some(rate) = self.rate else {
            return Ok(());
        };
        let millis = self.since.elapsed().as_millis() & u128::from(u32::MAX);
        let now_ms = u32::try_from(millis).unwrap_or(0);
        if self.bucket.take(rate, now_ms) {
            return Ok(());
        }
        Err(TooMany {
            per_second: rate.per_second,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const RATE: ControlRate = ControlRate {
        per_second: 10,
        burst: 20,
    };

    #[tokio::test(start_paused = true)]
    async fn the_burst_grows_with_the_streams_and_comes_back_with_time() {
        let mut allowance = Allowance::new(Some(RATE), 5);
        for _ in 0..30 {
            allowance.other().unwrap();
        }
        assert_eq!(allowance.other(), Err(TooMany { per_second: 10 }));
        tokio::time::advance(Duration::from_millis(100)).await;
        allowance.other().unwrap();
        allowance.credit().unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn data_pays_for_one_credit_per_frame_and_one_per_kibibyte() {
        let mut allowance = Allowance::new(Some(RATE), 0);
        for _ in 0..20 {
            allowance.other().unwrap();
        }
        allowance.data_sent(0);
        allowance.data_sent(16_384);
        for _ in 0..18 {
            allowance.credit().unwrap();
        }
        allowance.credit().unwrap_err();
        allowance.data_sent(1);
        allowance.other().unwrap_err();
        allowance.credit().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_everything_passes() {
        let mut allowance = Allowance::new(None, 0);
        for _ in 0..10_000 {
            allowance.other().unwrap();
            allowance.credit().unwrap();
        }
    }
}
