//! The store's time, which expiry is measured with.
//!
//! The wall clock is asked once, at open; after that the time advances with the monotonic
//! clock only. So nobody loses messages because a machine's clock was set while the store was
//! running, and a clock set back between two runs does not bring expired messages back.

use std::{
    fmt,
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// Where the store takes its time from. [`SystemClock`] is right everywhere but in tests.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Milliseconds since 1970 by the wall clock; may jump. Asked once, when opening.
    fn wall_ms(&self) -> u64;
    /// Milliseconds since any fixed moment; never falls.
    fn monotonic_ms(&self) -> u64;
}

/// The clocks of the operating system.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn wall_ms(&self) -> u64 {
        // A clock before 1970 is a machine without a clock; the persisted time takes over.
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Time that never goes back, not even over a restart.
#[derive(Debug)]
pub(super) struct StoreClock {
    clock: Arc<dyn Clock>,
    base_ms: u64,
    started_ms: u64,
}

impl StoreClock {
    /// Starts at the wall time, or at the latest time an earlier run has persisted.
    pub(super) fn start(clock: Arc<dyn Clock>, persisted_ms: u64) -> Self {
        let base_ms = clock.wall_ms().max(persisted_ms).min(WALL_MS_MAX);
        let started_ms = clock.monotonic_ms();
        Self {
            clock,
            base_ms,
            started_ms,
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.base_ms + self.clock.monotonic_ms().saturating_sub(self.started_ms)
    }
}

/// The year 10889: beyond it a clock is broken, and sums with it could leave the range of
/// SQLite's integers.
const WALL_MS_MAX: u64 = 1 << 48;
