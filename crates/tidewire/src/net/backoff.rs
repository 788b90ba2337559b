//! How long to wait between attempts: pure functions of counters and a random number.

use std::time::Duration;

/// How long to wait before the next attempt: exponential back-off with full jitter.
///
/// The wait is a random duration between zero and `first * 2^n`, at most `max`, after the n-th
/// failure in a row (from 0). The whole range is used ("full jitter"), so that the clients of a
/// server that went away do not come back in waves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backoff {
    /// Upper end of the first wait. Default 0.5 s.
    pub first: Duration,
    /// Upper end of every wait. Default 30 s.
    pub max: Duration,
    /// A connection that was up for this long ends the row of failures. Default 60 s.
    pub stable_after: Duration,
    /// The longest a server may make us wait (`Retry-After` of 429 and 503); what it asks for is
    /// the least we wait, and the jitter comes on top. Default 5 min.
    pub retry_after_max: Duration,
    /// Failures in a row after which to give up; a failed attempt counts, and so does the end of
    /// a connection that was not stable. Default: never.
    pub failures_max: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            max: Duration::from_secs(30),
            stable_after: Duration::from_mins(1),
            retry_after_max: Duration::from_mins(5),
            failures_max: u32::MAX,
        }
    }
}

impl Backoff {
    /// Waits of up to `first`, doubling up to `max`.
    pub fn new(first: Duration, max: Duration) -> Self {
        Self {
            first,
            max,
            ..Self::default()
        }
    }

    /// Sets [`stable_after`](Self::stable_after).
    #[must_use]
    pub fn stable_after(mut self, limit: Duration) -> Self {
        self.stable_after = limit;
        self
    }

    /// Sets [`retry_after_max`](Self::retry_after_max).
    #[must_use]
    pub fn retry_after_max(mut self, limit: Duration) -> Self {
        self.retry_after_max = limit;
        self
    }

    /// Sets [`failures_max`](Self::failures_max).
    #[must_use]
    pub fn failures_max(mut self, count: u32) -> Self {
        self.failures_max = count;
        self
    }

    /// Upper end of the wait after `failures` earlier failures in a row.
    pub fn ceiling(&self, failures: u32) -> Duration {
        let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.max)
    }

    /// The wait after `failures` earlier failures in a row; `random` is uniform over all values.
    pub fn wait(&self, failures: u32, retry_after: Option<Duration>, random: u64) -> Duration {
        // 32 bits of the random number are finer than any timer.
        let fraction = u32::try_from(random >> 32).unwrap_or(u32::MAX);
        let ceiling = self.ceiling(failures).as_nanos();
        let nanos = ceiling.saturating_mul(u128::from(fraction)) / u128::from(u32::MAX);
        let jitter = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let least = retry_after.unwrap_or_default().min(self.retry_after_max);
        least.saturating_add(jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_maximum_and_use_the_whole_range() {
        let backoff = Backoff::default();
        let ceilings: Vec<_> = (0..8).map(|n| backoff.ceiling(n).as_secs_f32()).collect();
        assert_eq!(ceilings, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]);
        assert_eq!(backoff.ceiling(u32::MAX), backoff.max);
        assert_eq!(backoff.wait(3, None, 0), Duration::ZERO);
        assert_eq!(backoff.wait(3, None, u64::MAX), Duration::from_secs(4));
        let half = backoff.wait(3, None, u64::MAX / 2);
        assert!((1999..=2001).contains(&half.as_millis()), "{half:?}");
    }

    #[test]
    fn a_server_may_ask_for_more_patience_within_bounds() {
        let backoff = Backoff::default().retry_after_max(Duration::from_secs(100));
        let asked = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(backoff.wait(0, asked(7), 0), Duration::from_secs(7));
        assert_eq!(
            backoff.wait(0, asked(7), u64::MAX),
            Duration::from_millis(7500)
        );
        assert_eq!(backoff.wait(0, asked(9999), 0), Duration::from_secs(100));
    }

    #[test]
    fn extreme_settings_do_not_overflow() {
        let backoff = Backoff::new(Duration::MAX, Duration::MAX).retry_after_max(Duration::MAX);
        for failures in [0, 31, 32, u32::MAX] {
            backoff.wait(failures, Some(Duration::MAX), u64::MAX);
        }
        let none = Backoff::new(Duration::ZERO, Duration::ZERO);
        assert_eq!(none.wait(5, None, u64::MAX), Duration::ZERO);
    }
}
