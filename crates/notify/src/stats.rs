//! Counters of one target.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::BreakerState;

/// Tells what a worker counts; read by anybody.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    delivered: AtomicU64,
    filtered: AtomicU64,
    failures: AtomicU64,
    rescued: AtomicU64,
    dead: AtomicU64,
    unreadable: AtomicU64,
    in_hand: AtomicU64,
    breaker: AtomicU8,
}

/// A snapshot of a target's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TargetCounts {
    /// Events that it has taken.
    pub delivered: u64,
    /// Events that it was not to get.
    pub filtered: u64,
    /// Deliveries that failed.
    pub failures: u64,
    /// Events that one of its fallbacks has taken.
    pub rescued: u64,
    /// Events that became dead letters.
    pub dead: u64,
    /// Events that another program has written, passed over.
    pub unreadable: u64,
    /// Gauge: events read and not done with.
    pub in_hand: u64,
}

impl Counters {
    pub(crate) fn snapshot(&self) -> TargetCounts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TargetCounts {
            delivered: load(&self.delivered),
            filtered: load(&self.filtered),
            failures: load(&self.failures),
            rescued: load(&self.rescued),
            dead: load(&self.dead),
            unreadable: load(&self.unreadable),
            in_hand: load(&self.in_hand),
        }
    }

    pub(crate) fn delivered(&self, count: usize) {
        add(&self.delivered, count);
    }

    pub(crate) fn filtered(&self) {
        add(&self.filtered, 1);
    }

    pub(crate) fn failed(&self) {
        add(&self.failures, 1);
    }

    pub(crate) fn rescued(&self) {
        add(&self.rescued, 1);
    }

    pub(crate) fn dead(&self) {
        add(&self.dead, 1);
    }

    pub(crate) fn unreadable(&self) {
        add(&self.unreadable, 1);
    }

    pub(crate) fn set_in_hand(&self, count: u64) {
        self.in_hand.store(count, Ordering::Relaxed);
    }

    pub(crate) fn set_breaker(&self, state: BreakerState) {
        self.breaker.store(state as u8, Ordering::Relaxed);
    }

    pub(crate) fn breaker(&self) -> BreakerState {
        match self.breaker.load(Ordering::Relaxed) {
            0 => BreakerState::Closed,
            1 => BreakerState::Open,
            _ => BreakerState::HalfOpen,
        }
    }
}

fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}
