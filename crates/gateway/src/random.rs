//! Randomness for spreading things over time; not for secrets.

use std::hash::{BuildHasher as _, RandomState};

/// A random number.
pub(crate) fn number() -> u32 {
    let hash = RandomState::new().hash_one(0);
    u32::try_from(hash >> 32).unwrap_or_default()
}
