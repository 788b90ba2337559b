//! Whose turn it is: lets a socket hold back a write until its task yields.
//!
//! A task that [serves](super::WebSocket::serve) a socket marks its own polls. Within such a poll a
//! sent message may wait for the answers to the messages that came with it, because at the
//! end of the poll everything held back is written, whatever the task waits for; so is what the
//! stream did not take before. Outside of such a poll nothing is held back.

use std::{
    cell::Cell,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite};

use super::link::Link;

thread_local! {
    /// Address of the link whose task is being polled; 0 for none.
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

fn address<S>(link: &Arc<Link<S>>) -> usize {
    Arc::as_ptr(link).addr()
}

/// Whether this is a turn of the task that serves `link`.
#[inline]
pub(super) fn is_of<S>(link: &Arc<Link<S>>) -> bool {
    CURRENT.get() == address(link)
}

/// Sets the current link back when dropped, also when the task panics.
struct Turn {
    before: usize,
}

impl Turn {
    fn of<S>(link: &Arc<Link<S>>) -> Self {
        Self {
            before: CURRENT.replace(address(link)),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        CURRENT.set(self.before);
    }
}

/// A task that serves a socket.
#[must_use = "futures do nothing unless polled"]
pub struct Serving<S, F> {
    link: Arc<Link<S>>,
    task: F,
}

impl<S, F> fmt::Debug for Serving<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving").finish_non_exhaustive()
    }
}

impl<S, F> Serving<S, F> {
    pub(super) fn new(link: Arc<Link<S>>, task: F) -> Self {
        Self { link, task }
    }
}

impl<S, F> Future for Serving<S, F>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future + Unpin,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let turn = Turn::of(&this.link);
        let result = Pin::new(&mut this.task).poll(cx);
        drop(turn);
        if result.is_pending() {
            this.link.uncork(cx);
        }
        result
    }
}
