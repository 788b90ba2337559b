//! [`Pace`]: what one connection sends, against the rates of the connection, its user and its address.
//!
//! In: messages as they are read. Out: what is to be done about those beyond the rates. Invariant: while nothing is limited,
//! a connection has no pace, and pays nothing.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    bucket::{Bucket, Rate},
    rules::Flow,
};
use crate::config::WhenExceeded;

/// The rates of one connection.
#[derive(Debug)]
pub(crate) struct Pace {
    limits: Vec<Limit>,
    when_exceeded: WhenExceeded,
    /// Of refusals, as many as messages are allowed, before the connection is closed.
    refusals: Bucket,
}

/// A bucket and the rate that fills it.
#[derive(Debug)]
struct Limit {
    bucket: Arc<Bucket>,
    rate: Rate,
    counts: Counts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counts {
    Messages,
    Bytes,
}

/// The treatment of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Paced {
    /// It is taken.
    Go,
    /// It is taken, and the next one is to be read this much later.
    Wait(Duration),
    /// It is refused.
    Refuse,
    /// The connection is to be closed; the client may come back after this.
    Close(Duration),
}

/// Buckets for messages and for bytes that several connections share.
pub(super) type Shared = (Flow, Arc<Bucket>, Arc<Bucket>);

impl Pace {
    /// `None` when nothing is limited.
    pub(super) fn new(
        flows: impl IntoIterator<Item = Shared>,
        when_exceeded: WhenExceeded,
    ) -> Option<Self> {
        let mut limits = Vec::new();
        for (flow, messages, bytes) in flows {
            let kinds = [
                (flow.messages, messages, Counts::Messages),
                (flow.bytes, bytes, Counts::Bytes),
            ];
            for (rate, bucket, counts) in kinds {
                limits.extend(rate.map(|rate| Limit {
                    bucket,
                    rate,
                    counts,
                }));
            }
        }
        (!limits.is_empty()).then(|| Self {
            limits,
            when_exceeded,
            refusals: Bucket::default(),
        })
    }

    /// Counts a message of so many bytes.
    pub(crate) fn charge(&self, bytes: usize, now: Instant) -> Paced {
        if self.when_exceeded == WhenExceeded::Wait {
            let wait = self.limits.iter().map(|limit| limit.charge(bytes, now));
            return match wait.max() {
                None | Some(Duration::ZERO) => Paced::Go,
                Some(wait) => Paced::Wait(wait),
            };
        }
        // What is not taken must not count: else who goes on trying would never get through.
        let beyond = self.limits.iter().filter_map(|limit| {
            let wait = limit.bucket.charge(limit.rate, 0, now);
            (wait > Duration::ZERO).then_some((wait, limit))
        });
        let Some((wait, limit)) = beyond.max_by_key(|(wait, _)| *wait) else {
            for limit in &self.limits {
                limit.charge(bytes, now);
            }
            return Paced::Go;
        };
        match self.when_exceeded {
            WhenExceeded::Refuse => match limit.counts {
                Counts::Messages if self.refusals.charge(limit.rate, 1, now) > Duration::ZERO => {
                    Paced::Close(wait)
                }
                Counts::Bytes
                    if self.refusals.charge(limit.rate, bytes as u64, now) > Duration::ZERO =>
                {
                    Paced::Close(wait)
                }
                Counts::Messages | Counts::Bytes => Paced::Refuse,
            },
            WhenExceeded::Close | WhenExceeded::Wait => Paced::Close(wait),
        }
    }
}

impl Limit {
    fn charge(&self, bytes: usize, now: Instant) -> Duration {
        let amount = match self.counts {
            Counts::Messages => 1,
            Counts::Bytes => bytes as u64,
        };
        self.bucket.charge(self.rate, amount, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pace(messages: u64, bytes: u64, when_exceeded: WhenExceeded) -> Option<Pace> {
        let flow = Flow {
            messages: Rate::new(messages, SECOND, SECOND),
            bytes: Rate::new(bytes, SECOND, SECOND),
        };
        Pace::new([(flow, Arc::default(), Arc::default())], when_exceeded)
    }

    #[test]
    fn without_a_rate_there_is_no_pace() {
        assert!(pace(0, 0, WhenExceeded::Wait).is_none());
    }

    #[test]
    fn who_waits_loses_nothing_and_keeps_to_the_lower_rate() {
        let pace = pace(10, 1000, WhenExceeded::Wait).unwrap();
        let now = Instant::now();
        for _ in 0..9 {
            assert_eq!(pace.charge(1, now), Paced::Go);
        }
        assert_eq!(pace.charge(991, now), Paced::Go);
        assert_eq!(pace.charge(1000, now), Paced::Wait(SECOND));
        assert_eq!(pace.charge(100, now + SECOND), Paced::Wait(SECOND / 10));
    }

    #[test]
    fn refusals_come_first_then_the_close_and_patience_is_rewarded() {
        let pace = pace(10, 0, WhenExceeded::Refuse).unwrap();
        let now = Instant::now();
        let count = |now, wanted| {
            let paced = (0..20).map(|_| pace.charge(1, now));
            paced.filter(|paced| *paced == wanted).count()
        };
        assert_eq!(
            count(now, Paced::Go),
            11,
            "a burst, and one that exceeds it"
        );
        let closed = (0..9).map(|_| pace.charge(1, now));
        assert!(
            closed
                .last()
                .is_some_and(|it| matches!(it, Paced::Close(_)))
        );
        assert_eq!(count(now + 5 * SECOND, Paced::Refuse), 9);
    }

    #[test]
    fn who_is_closed_hears_when_to_come_back() {
        let pace = pace(1, 0, WhenExceeded::Close).unwrap();
        let now = Instant::now();
        let first: Vec<_> = (0..3).map(|_| pace.charge(1, now)).collect();
        assert_eq!(first, [Paced::Go, Paced::Go, Paced::Close(SECOND)]);
    }
}
