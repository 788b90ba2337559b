//! [`Rate`]: how often something may happen; [`Pace`]: how often it has.
//!
//! In: events and their time. Out: which of them are within the rate. Invariant: a pace is one number, whatever comes
//! (the generic cell rate algorithm: the time at which the next event of an even flow would be due).

use std::time::Duration;

use tokio::time::Instant;

use crate::sync::Mutex;

/// So many in each second in the long run, and a burst of them at once.
///
/// ```
/// use tidewire::service::{Limits, Rate};
///
/// let limits = Limits::default().accept_rate(Rate::new(500, 1000));
/// # let _ = limits;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    per_second: u32,
    burst: u32,
}

impl Rate {
    /// `per_second` in the long run, `burst` at once after a pause; 0 counts as 1.
    pub fn new(per_second: u32, burst: u32) -> Self {
        Self {
            per_second: per_second.max(1),
            burst: burst.max(1),
        }
    }

    /// Time between two events of an even flow.
    fn interval(self) -> Duration {
        Duration::from_secs(1) / self.per_second
    }
}

/// How often something has happened.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When the next event of an even flow would be due.
    due: Mutex<Option<Instant>>,
}

impl Pace {
    /// Counts an event that is within `rate`; returns whether it is.
    pub(crate) fn admit(&self, rate: Rate, now: Instant) -> bool {
        let interval = rate.interval();
        let burst = interval * (rate.burst - 1);
        let mut due = self.due.lock();
        let next = due.unwrap_or(now).max(now);
        let is_within = next.saturating_duration_since(now) <= burst;
        if is_within {
            *due = next.checked_add(interval);
        }
        is_within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(pace: &Pace, rate: Rate, now: Instant) -> usize {
        (0..1000).filter(|_| pace.admit(rate, now)).count()
    }

    #[test]
    fn a_burst_passes_and_then_what_the_rate_allows() {
        let (pace, rate) = (Pace::default(), Rate::new(10, 25));
        let now = Instant::now();
        assert_eq!(admitted(&pace, rate, now), 25);
        assert_eq!(admitted(&pace, rate, now + Duration::from_millis(250)), 2);
        assert_eq!(admitted(&pace, rate, now + Duration::from_millis(300)), 1);
        // A long pause saves no more than a burst.
        let later = now + Duration::from_hours(1);
        assert_eq!(admitted(&pace, rate, later), 25);
    }

    #[test]
    fn nothing_is_a_rate_of_one() {
        let (pace, now) = (Pace::default(), Instant::now());
        assert_eq!(admitted(&pace, Rate::new(0, 0), now), 1);
    }
}
