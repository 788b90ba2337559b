//! [`Random`]: choices that a seed repeats.

use std::{ops::RangeInclusive, time::Duration};

/// `SplitMix64`: small, and good enough to choose with.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// Different streams of one seed make different choices.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut mixed = Self(seed);
        let start = mixed.next();
        Self(start ^ stream.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn between(&mut self, range: &RangeInclusive<u64>) -> u64 {
        let (low, high) = (*range.start(), *range.end());
        low + self.below(high.saturating_sub(low) + 1)
    }

    pub(super) fn milliseconds(&mut self, range: &RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.between(range))
    }

    /// True in so many of 100 cases.
    pub(super) fn is_within(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// `None` of an empty list.
    pub(super) fn pick<T: Copy>(&mut self, list: &[T]) -> Option<T> {
        let index = self.next() % (list.len() as u64).max(1);
        list.get(usize::try_from(index).ok()?).copied()
    }

    /// Another one that goes its own way from here.
    pub(super) fn split(&mut self) -> Self {
        Self(self.next())
    }
}
