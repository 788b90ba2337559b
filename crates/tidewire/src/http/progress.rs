//! Requests of a connection that are under way at a time: [`Progress`].
//!
//! In: beginnings and ends of requests, and pieces of answers. Out: whether anything is under way, and since when the
//! client has taken nothing of the answer that has waited longest for it. An answer whose own source has nothing to
//! give does not wait for the client. Invariant: an answer is under way until its last piece has left the connection's
//! buffer, and what other requests do is nothing that it can be excused by.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use tokio::time::Instant;

use crate::sync::Mutex;

#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Requests that were begun.
    begun: AtomicU64,
    /// Requests whose answer is being made, and answers that are on their way.
    running: AtomicUsize,
    /// Answers that the client has to take, by the number of their request: when each has moved last.
    waiting: Mutex<BTreeMap<u64, Instant>>,
}

/// The state seen at one time.
#[cfg(feature = "http2")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) begun: u64,
    pub(super) is_idle: bool,
    /// When the answer that has stood still for longest has moved last.
    pub(super) waited_since: Option<Instant>,
}

impl Progress {
    pub(super) fn run(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Ordering::Relaxed);
        Running {
            progress: Arc::clone(self),
            number: self.begun.fetch_add(1, Ordering::Relaxed),
        }
    }

    #[cfg(feature = "http2")]
    pub(super) fn see(&self) -> Seen {
        Seen {
            begun: self.begun.load(Ordering::Relaxed),
            is_idle: self.running.load(Ordering::Relaxed) == 0,
            waited_since: self.waiting.lock().values().min().copied(),
        }
    }
}

/// A request under way: its answer is being made, or on its way.
#[derive(Debug)]
pub(super) struct Running {
    progress: Arc<Progress>,
    number: u64,
}

impl Running {
    pub(super) fn answered(self) -> Answered {
        self.moved();
        Answered(Arc::new(self))
    }

    fn moved(&self) {
        let mut waiting = self.progress.waiting.lock();
        waiting.insert(self.number, Instant::now());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.progress.waiting.lock().remove(&self.number);
        self.progress.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An answer on its way.
#[derive(Debug)]
pub(super) struct Answered(Arc<Running>);

impl Answered {
    /// The client has taken what was there before, and this is what its source has now.
    pub(super) fn polled(&self, is_pending: bool) {
        if is_pending {
            self.0.progress.waiting.lock().remove(&self.0.number);
        } else {
            self.0.moved();
        }
    }

    /// The same bytes, which tell when they have left the connection's buffer.
    pub(super) fn piece(&self, bytes: Bytes) -> Bytes {
        let running = Arc::clone(&self.0);
        Bytes::from_owner(Piece { bytes, running })
    }
}

/// A piece of an answer in the connection's buffer.
struct Piece {
    bytes: Bytes,
    running: Arc<Running>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut waiting = self.running.progress.waiting.lock();
        if let Some(moved) = waiting.get_mut(&self.running.number) {
            *moved = Instant::now();
        }
    }
}
