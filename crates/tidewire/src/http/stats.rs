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
    /// Bytes that came from clients; those of TLS itself are not in it.
    pub bytes_received: u64,
    /// Bytes of answers that were given to the system, their heads included; those of TLS itself are not in it.
    pub bytes_sent: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    requests: AtomicU64,
    cached: AtomicU64,
    refused: AtomicU64,
    bytes_received: AtomicU64,
    bytes_sent: AtomicU64,
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

    pub(super) fn received(&self, bytes: usize) {
        self.bytes_received
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.bytes_sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            requests: read(&self.requests),
            cached: read(&self.cached),
            refused: read(&self.refused),
            bytes_received: read(&self.bytes_received),
            bytes_sent: read(&self.bytes_sent),
        }
    }
}
