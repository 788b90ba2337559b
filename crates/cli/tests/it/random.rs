//! [`Random`]: choices that a seed repeats.

use std::{
    env,
    hash::{BuildHasher as _, RandomState},
};

/// `SplitMix64`: small, and good enough to choose with.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The seed in `TIDEWIRE_TEST_SEED`, or a fresh one; printed, which a failing test shows.
    pub(crate) fn printed() -> Self {
        let seed = match env::var("TIDEWIRE_TEST_SEED") {
            Ok(text) => text.parse().expect("TIDEWIRE_TEST_SEED is a number"),
            Err(_) => RandomState::new().hash_one(()),
        };
        println!("to repeat these choices: TIDEWIRE_TEST_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Another one that goes its own way from here.
    pub(crate) fn split(&mut self) -> Self {
        Self(self.next())
    }
}
