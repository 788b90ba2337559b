//! Time and randomness, the two things that code must ask its surroundings for; pure code gets both as arguments.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Instant,
};

/// The time by which upstreams and processes are judged; virtual in tests.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A random number for spreading things over time; not for secrets.
pub(crate) fn random() -> u32 {
    let hash = RandomState::new().hash_one(0);
    u32::try_from(hash >> 32).unwrap_or_default()
}
