//! Requests of a connection that are under way at a time: [`Progress`].
//!
//! In: beginnings and ends of requests, and pieces of answers. Out: whether anything is under way, and whether it stands
//! still because the client takes nothing. An answer whose own source has nothing to give does not stand still.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Requests that were begun.
    begun: AtomicU64,
    /// Requests whose answer is being made, and answers that wait for their source.
    running: AtomicUsize,
    /// Answers that the client has to take.
    waiting: AtomicUsize,
    moved: AtomicU64,
}

/// The state seen at one time, to be compared.
#[cfg(feature = "http2")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    begun: u64,
    moved: u64,
    pub(super) is_idle: bool,
    pub(super) is_client_waited_for: bool,
}

impl Progress {
    pub(super) fn run(self: &Arc<Self>) -> Running {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.running.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(self))
    }

    #[cfg(feature = "http2")]
    pub(super) fn see(&self) -> Seen {
        let running = self.running.load(Ordering::Relaxed);
        let waiting = self.waiting.load(Ordering::Relaxed);
        Seen {
            begun: self.begun.load(Ordering::Relaxed),
            moved: self.moved.load(Ordering::Relaxed),
            is_idle: running == 0 && waiting == 0,
            is_client_waited_for: running == 0 && waiting > 0,
        }
    }
}

/// A request whose answer is being made.
#[derive(Debug)]
pub(super) struct Running(Arc<Progress>);

impl Running {
    pub(super) fn answered(self) -> Answered {
        self.0.waiting.fetch_add(1, Ordering::Relaxed);
        Answered {
            progress: Arc::clone(&self.0),
            awaits_source: false,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An answer on its way.
#[derive(Debug)]
pub(super) struct Answered {
    progress: Arc<Progress>,
    awaits_source: bool,
}

impl Answered {
    /// The client has taken what was there before, and this is what its source has now.
    pub(super) fn polled(&mut self, is_pending: bool) {
        self.progress.moved.fetch_add(1, Ordering::Relaxed);
        if self.awaits_source == is_pending {
            return;
        }
        self.awaits_source = is_pending;
        let (from, to) = if is_pending {
            (&self.progress.waiting, &self.progress.running)
        } else {
            (&self.progress.running, &self.progress.waiting)
        };
        to.fetch_add(1, Ordering::Relaxed);
        from.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        let count = if self.awaits_source {
            &self.progress.running
        } else {
            &self.progress.waiting
        };
        count.fetch_sub(1, Ordering::Relaxed);
    }
}
