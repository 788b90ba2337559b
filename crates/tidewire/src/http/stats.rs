//! How much a server has answered: [`Stats`].

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of a server since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Requests whose head was read, HTTP/1.1 and HTTP/2.
    pub requests: u64,
    /// Those of them that were answered out of the [cache](super::FileCache).
    pub cached: u64,
    /// Requests that were refused before any service saw them: malformed, too large, too slow.
    pub refused: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    requests: AtomicU64,
    cached: AtomicU64,
    refused: AtomicU64,
}

impl Counters {
    pub(super) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn cached(&self) {
        self.cached.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            requests: read(&self.requests),
            cached: read(&self.cached),
            refused: read(&self.refused),
        }
    }
}
