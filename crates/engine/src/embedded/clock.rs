//! The store's time, which expiry is measured with.
//!
//! It advances with the monotonic clock while the store runs. What passed between two runs
//! only the wall clock can tell, which may be wrong: a gap within a bound is believed at once;
//! a longer one expires nothing until the store has run for a while and the wall clock still
//! says so. Invariant: the store's time never goes back, and no step of the wall clock alone
//! makes a message expire that the running store has not waited for. The rule with its reasons
//! stands in design note 0007.

use std::{
    fmt,
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use super::{
    config::{Config, millis},
    meta::{Jump, Meta},
};

/// Where the store takes its time from. [`SystemClock`] is right everywhere but in tests.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Milliseconds since 1970 by the wall clock; may jump.
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
    jump_max_ms: u64,
    started_ms: u64,
    /// The store's time when it was opened.
    base_ms: u64,
    /// The wall clock when the store was opened, plus what it was set forward since.
    wall_base_ms: u64,
    jump: Option<Jump>,
}

impl StoreClock {
    /// Goes on from what an earlier run has written into `meta`. `next_seq`: greater than the
    /// row key of every message that was stored before.
    pub(super) fn start(
        clock: Arc<dyn Clock>,
        config: &Config,
        meta: &Meta,
        next_seq: i64,
    ) -> Self {
        // 0 means that there is no earlier time.
        let wall_ms = clock.wall_ms().clamp(1, WALL_MS_MAX);
        let is_new = meta.clock_ms == 0;
        let mut started = Self {
            jump_max_ms: millis(config.clock_jump_max),
            started_ms: clock.monotonic_ms(),
            clock,
            base_ms: if is_new { wall_ms } else { meta.clock_ms },
            wall_base_ms: if is_new { wall_ms } else { meta.wall_ms },
            jump: meta.jump,
        };
        let gap_ms = wall_ms.saturating_sub(started.wall_base_ms);
        if gap_ms == 0 {
            started.set_back(started.wall_base_ms - wall_ms);
        } else if gap_ms <= started.jump_max_ms {
            started.base_ms += gap_ms;
            started.wall_base_ms = wall_ms;
            if let Some(jump) = &mut started.jump {
                // Only time in which the store runs confirms.
                jump.confirm_ms += gap_ms;
            }
        } else {
            started.wall_base_ms = wall_ms;
            let earlier = started.jump;
            let jump = Jump {
                before_seq: earlier.map_or(next_seq, |jump| jump.before_seq),
                ms: gap_ms + earlier.map_or(0, |jump| jump.ms),
                confirm_ms: started.base_ms + millis(config.clock_confirm_after),
            };
            tracing::warn!(
                gap_seconds = gap_ms / 1000,
                confirmed_after_seconds = config.clock_confirm_after.as_secs(),
                "the clock is far ahead of the store's last run: nothing expires for that until \
                 the store has run for a while; check the clock if the server was not off so long"
            );
            started.jump = Some(jump);
        }
        started
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.base_ms + self.ran_ms()
    }

    /// Compares with the wall clock. Set forward while the store runs it counts for nothing,
    /// now and after a restart; set back it may take back a jump.
    pub(super) fn observe(&mut self) {
        let wall_ms = self.clock.wall_ms().min(WALL_MS_MAX);
        let known_ms = self.wall_now_ms();
        if wall_ms > known_ms {
            self.wall_base_ms += wall_ms - known_ms;
        } else {
            self.set_back(known_ms - wall_ms);
        }
    }

    /// A jump that the store has run long enough for, once.
    pub(super) fn confirmed(&mut self) -> Option<Jump> {
        if self.jump?.confirm_ms > self.now_ms() {
            return None;
        }
        self.observe();
        self.jump.take()
    }

    /// When the jump is confirmed, if there is one.
    pub(super) fn confirm_ms(&self) -> Option<u64> {
        self.jump.map(|jump| jump.confirm_ms)
    }

    /// Time that is not confirmed yet; 0 if there is none.
    pub(super) fn gap_ms(&self) -> u64 {
        self.jump.map_or(0, |jump| jump.ms)
    }

    /// What a later run has to know.
    pub(super) fn save(&self, meta: &mut Meta) {
        meta.clock_ms = self.now_ms();
        meta.wall_ms = self.wall_now_ms();
        meta.jump = self.jump;
    }

    /// The wall clock went back by `ms`. That cancels a jump; beyond one it counts for nothing:
    /// then no time between runs counts until the wall clock has caught up.
    fn set_back(&mut self, ms: u64) {
        let Some(jump) = &mut self.jump else {
            return;
        };
        let cancelled = ms.min(jump.ms);
        jump.ms -= cancelled;
        self.wall_base_ms -= cancelled;
        if jump.ms <= self.jump_max_ms {
            tracing::info!("the clock was set back: its jump counts for nothing");
            self.jump = None;
        }
    }

    fn wall_now_ms(&self) -> u64 {
        self.wall_base_ms + self.ran_ms()
    }

    fn ran_ms(&self) -> u64 {
        self.clock.monotonic_ms().saturating_sub(self.started_ms)
    }
}

/// The year 10889: beyond it a clock is broken, and sums with it could leave the range of
/// SQLite's integers.
const WALL_MS_MAX: u64 = 1 << 48;
