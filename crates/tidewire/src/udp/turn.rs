//! The turn of a socket: a poll of the task that serves it, at whose end everything it sends leaves together.
//!
//! Invariant: only the thread that polls the task sees its turn; a turn within a turn ends first.

use std::cell::Cell;

thread_local! {
    /// The socket whose task is being polled.
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

/// Ends when it is dropped.
pub(super) struct Turn(usize);

impl Turn {
    pub(super) fn begin<T>(socket: &T) -> Self {
        Self(CURRENT.replace(key(socket)))
    }

    #[inline]
    pub(super) fn is_of<T>(socket: &T) -> bool {
        CURRENT.get() == key(socket)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// Tells a socket from others while it lives; none lies at 0.
fn key<T>(socket: &T) -> usize {
    std::ptr::from_ref(socket).addr()
}
