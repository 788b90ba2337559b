//! The task that serves a socket: its polls are corked.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    cork::{self, Outer},
    shared::SharedConnection,
};

/// A task that serves a socket.
#[must_use = "futures do nothing unless polled"]
pub struct Serving<S, F> {
    shared: Arc<SharedConnection<S>>,
    task: F,
}

impl<S, F> fmt::Debug for Serving<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving").finish_non_exhaustive()
    }
}

impl<S, F> Serving<S, F> {
    pub(super) fn new(shared: Arc<SharedConnection<S>>, task: F) -> Self {
        Self { shared, task }
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
        let corked = CorkedPoll::begin(&this.shared);
        let result = Pin::new(&mut this.task).poll(cx);
        if corked.end() == HeldBack::Something || this.shared.is_behind() {
            this.shared.uncork(cx);
        }
        result
    }
}

/// The messages that a poll had held back when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeldBack {
    Nothing,
    Something,
}

/// A poll; the one around it, if any, goes on when it is dropped, as by a panic.
struct CorkedPoll<'a, S> {
    shared: &'a SharedConnection<S>,
    outer: Option<Outer>,
}

impl<'a, S> CorkedPoll<'a, S> {
    fn begin(shared: &'a SharedConnection<S>) -> Self {
        Self {
            shared,
            outer: Some(cork::begin(shared.key())),
        }
    }

    fn end(mut self) -> HeldBack {
        self.put_back()
    }

    fn put_back(&mut self) -> HeldBack {
        match self.outer.take().and_then(cork::end) {
            Some(encoder) => {
                self.shared.check_in(encoder);
                HeldBack::Something
            }
            None => HeldBack::Nothing,
        }
    }
}

impl<S> Drop for CorkedPoll<'_, S> {
    fn drop(&mut self) {
        self.put_back();
    }
}
