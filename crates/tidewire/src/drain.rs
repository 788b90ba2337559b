//! How what belongs to a server or connection is told to end, and how its end is waited for.
//!
//! In: one wish to end. Out: everybody who waits for it wakes, now and later. Invariant: a wish is never
//! taken back, and a task counts until its future has been dropped.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::sync::watch;

/// A wish to end; clones are the same wish.
#[derive(Clone, Debug)]
pub struct Drain(Arc<watch::Sender<bool>>);

impl Drain {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    pub(crate) fn start(&self) {
        self.0.send_replace(true);
    }

    /// Whether it is time to end.
    pub fn is_started(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is time to end.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn started(&self) {
        let mut receiver = self.0.subscribe();
        // `self` keeps the sender alive.
        receiver.wait_for(|started| *started).await.ok();
    }

    /// Starts it when the guard is dropped.
    #[cfg(any(feature = "http2", feature = "blocking"))]
    pub(crate) fn guard(self) -> DrainGuard {
        DrainGuard(self)
    }
}

/// See [`Drain::guard`].
#[cfg(any(feature = "http2", feature = "blocking"))]
#[derive(Debug)]
pub(crate) struct DrainGuard(Drain);

#[cfg(any(feature = "http2", feature = "blocking"))]
impl Drop for DrainGuard {
    fn drop(&mut self) {
        self.0.start();
    }
}

/// Counts tasks, so that their end can be waited for.
#[derive(Clone, Debug)]
pub(crate) struct Tasks(Arc<watch::Sender<usize>>);

impl Tasks {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    /// Runs `task` on the current runtime and counts it.
    pub(crate) fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Unpin + Send + 'static,
    {
        tokio::spawn(Counted {
            task,
            _count: self.count(),
        });
    }

    /// Waits until no task is left.
    pub(crate) async fn ended(&self) {
        let mut receiver = self.0.subscribe();
        receiver.wait_for(|count| *count == 0).await.ok();
    }

    fn count(&self) -> Count {
        self.0.send_modify(|count| *count += 1);
        Count(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Count(Arc<watch::Sender<usize>>);

impl Drop for Count {
    fn drop(&mut self) {
        self.0.send_if_modified(|count| {
            *count -= 1;
            *count == 0
        });
    }
}

/// A task and its count, dropped in this order.
struct Counted<F> {
    task: F,
    _count: Count,
}

impl<F: Future<Output = ()> + Unpin> Future for Counted<F> {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.task).poll(cx)
    }
}
