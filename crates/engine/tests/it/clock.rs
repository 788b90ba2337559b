//! A clock that only moves when a test says so.

use std::sync::atomic::{AtomicU64, Ordering};

use tidewire_engine::embedded::Clock;

#[derive(Debug)]
pub(crate) struct TestClock {
    wall_ms: AtomicU64,
    monotonic_ms: AtomicU64,
}

impl TestClock {
    pub(crate) fn new() -> Self {
        Self {
            wall_ms: AtomicU64::new(1_800_000_000_000),
            monotonic_ms: AtomicU64::new(7),
        }
    }

    /// Time passes.
    pub(crate) fn advance(&self, ms: u64) {
        self.wall_ms.fetch_add(ms, Ordering::SeqCst);
        self.monotonic_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Somebody sets the wall clock.
    pub(crate) fn set_wall(&self, change: impl Fn(u64) -> u64) {
        self.wall_ms.store(
            change(self.wall_ms.load(Ordering::SeqCst)),
            Ordering::SeqCst,
        );
    }
}

impl Clock for TestClock {
    fn wall_ms(&self) -> u64 {
        self.wall_ms.load(Ordering::SeqCst)
    }

    fn monotonic_ms(&self) -> u64 {
        self.monotonic_ms.load(Ordering::SeqCst)
    }
}
