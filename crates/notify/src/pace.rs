//! How long to wait: [`Backoff`] between the attempts for an event, and the breaker of a target.

use std::time::Duration;

use tokio::time::Instant;

/// The pause before the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backoff {
    /// Always the same.
    Fixed(Duration),
    /// Doubled with every attempt up to `max`, of which a random part between half and all is waited, so that what failed
    /// together does not come back together.
    Exponential {
        /// Behind the first attempt.
        first: Duration,
        /// At most.
        max: Duration,
    },
}

impl Backoff {
    /// The pause behind the attempt with this number, at least 1. `random` is any number.
    pub fn pause(self, attempt: u32, random: u32) -> Duration {
        match self {
            Self::Fixed(pause) => pause,
            Self::Exponential { first, max } => {
                let factor = 1_u32
                    .checked_shl(attempt.saturating_sub(1))
                    .unwrap_or(u32::MAX);
                let full = first.saturating_mul(factor.max(1)).min(max);
                let half = full / 2;
                half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
            }
        }
    }
}

/// Tells whether a target is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BreakerState {
    /// It works, as far as is known.
    Closed = 0,
    /// It has failed often enough to be left alone for a while.
    Open = 1,
    /// One delivery finds out whether it works again.
    HalfOpen = 2,
}

impl BreakerState {
    /// Its name in metrics and the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// Leaves a target alone that has failed several times in a row.
#[derive(Debug)]
pub(crate) struct Breaker {
    failures_max: u32,
    pause: Backoff,
    failures: u32,
    /// How often it was opened since it was closed.
    openings: u32,
    open_until: Option<Instant>,
    is_trying: bool,
}

impl Breaker {
    pub(crate) fn new(failures_max: u32, pause: Backoff) -> Self {
        Self {
            failures_max,
            pause,
            failures: 0,
            openings: 0,
            open_until: None,
            is_trying: false,
        }
    }

    pub(crate) fn state(&self) -> BreakerState {
        match self.open_until {
            None => BreakerState::Closed,
            Some(_) if self.is_trying => BreakerState::HalfOpen,
            Some(_) => BreakerState::Open,
        }
    }

    /// Returns whether a delivery may begin; when not, [`Breaker::open_until`] tells how long, unless one is trying.
    pub(crate) fn allows(&self, now: Instant) -> bool {
        match self.open_until {
            None => true,
            Some(until) => !self.is_trying && until <= now,
        }
    }

    /// When it may be tried again, if it is open.
    pub(crate) fn open_until(&self) -> Option<Instant> {
        self.open_until.filter(|_| !self.is_trying)
    }

    /// A delivery begins.
    pub(crate) fn begin(&mut self) {
        self.is_trying = self.open_until.is_some();
    }

    /// The target has answered, whatever it said of the events.
    pub(crate) fn works(&mut self) {
        self.failures = 0;
        self.openings = 0;
        self.open_until = None;
        self.is_trying = false;
    }

    /// The target did not work. Returns whether the attempt counts for the events: not while it is open.
    pub(crate) fn failed(&mut self, now: Instant, random: u32) -> bool {
        if self.open_until.is_some() {
            if self.is_trying {
                self.open(now, random);
            }
            return false;
        }
        self.failures += 1;
        if self.failures >= self.failures_max {
            self.open(now, random);
        }
        true
    }

    fn open(&mut self, now: Instant, random: u32) {
        self.openings = self.openings.saturating_add(1);
        self.is_trying = false;
        self.open_until = Some(now + self.pause.pause(self.openings, random));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S-72.
    #[test]
    fn pauses_are_fixed_or_grow_to_a_maximum_with_a_random_part() {
        let second = Duration::from_secs(1);
        assert_eq!(Backoff::Fixed(second * 10).pause(7, 5), second * 10);
        let growing = Backoff::Exponential {
            first: second,
            max: second * 60,
        };
        for (attempt, full) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (1000, 60)] {
            let full = second * full;
            assert_eq!(growing.pause(attempt, u32::MAX), full, "{attempt}");
            assert_eq!(growing.pause(attempt, 0), full / 2, "{attempt}");
        }
    }

    #[test]
    fn a_breaker_opens_after_failures_in_a_row_and_closes_with_one_delivery() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut breaker = Breaker::new(2, Backoff::Fixed(second));
        assert!(breaker.failed(now, 0));
        breaker.works();
        assert!(breaker.failed(now, 0));
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert!(breaker.failed(now, 0), "it counts for the events");
        assert_eq!(breaker.state(), BreakerState::Open);
        assert!(!breaker.failed(now, 0), "one that was under way");
        assert!(!breaker.allows(now));
        let later = now + second;
        assert!(breaker.allows(later));
        breaker.begin();
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert!(!breaker.allows(later), "one at a time");
        assert!(!breaker.failed(later, 0));
        assert!(!breaker.allows(later), "open again");
        let later = later + second;
        breaker.begin();
        breaker.works();
        assert!(breaker.allows(later));
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
