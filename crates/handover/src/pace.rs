//! [`Pace`]: when the next of many connections is to be ended.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Gives one turn after the other. The first comes at once.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    deadline: Option<Instant>,
    next: Instant,
}

impl Pace {
    /// So many per second, 1 at least; all before `deadline`, whatever pace that takes.
    pub fn new(per_second: u32, deadline: Option<Instant>) -> Self {
        Self {
            interval: Duration::from_secs(1) / per_second.max(1),
            deadline,
            next: Instant::now(),
        }
    }

    /// Waits for the next turn, when so many (this one too) wait for theirs.
    ///
    /// # Cancel safety
    /// Cancel safe: the turn is not taken.
    pub async fn turn(&mut self, waiting: usize) {
        if let Some(deadline) = self.deadline {
            // More may have come since the turn was set.
            let left = deadline.saturating_duration_since(Instant::now());
            let waiting = u32::try_from(waiting).unwrap_or(u32::MAX).max(1);
            let latest = Instant::now() + (left / waiting);
            self.next = self.next.min(latest);
        }
        sleep_until(self.next).await;
        // What a timer is late by is made up for; what the process was suspended for is not.
        let late = self.next.max(Instant::now() - LATE_MAX);
        self.next = late + self.interval;
    }
}

/// How late a turn may be without delaying the next ones.
const LATE_MAX: Duration = Duration::from_millis(10);
