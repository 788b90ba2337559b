//! How what belongs to a server or connection is told to end.
//!
//! In: one wish to end. Out: everybody who waits for it wakes, now and later. Invariant: a wish is never
//! taken back.

use std::sync::Arc;

use tokio::sync::watch;

/// A wish to end; clones are the same wish.
#[derive(Clone, Debug)]
pub struct Drain(Arc<watch::Sender<bool>>);

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

impl Drain {
    /// Nobody wishes to end yet.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// It is time to end, for ever.
    pub fn start(&self) {
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
