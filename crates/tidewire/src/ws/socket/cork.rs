//! Whose turn it is: lets a socket hold back its writes until its task yields.
//!
//! A task that [serves](super::WebSocket::serve) a socket marks its own polls. Within such a poll the
//! encoder is taken out once and kept here, so that answering a batch of messages costs one
//! lock and one write. At the end of the poll it is put back and everything queued is written,
//! whatever the task waits for; so is what the stream did not take before. Outside of such a poll
//! nothing is held back.
//!
//! Invariant: only the thread that polls the task has the encoder here; whoever locks the
//! connection on that thread puts it back first.

use std::{
    cell::Cell,
    fmt,
    pin::Pin,
    ptr,
    sync::Arc,
    task::{Context, Poll},
};

use tidewire_proto::Encoder;
use tokio::io::{AsyncRead, AsyncWrite};

use super::shared::SharedConnection;

thread_local! {
    /// Address of the connection whose task is being polled; 0 for none.
    static CURRENT: Cell<usize> = const { Cell::new(0) };
    /// Its encoder, while it is out.
    static HELD: Cell<Option<Box<Encoder>>> = const { Cell::new(None) };
    /// How many turns this thread has begun.
    static NUMBER: Cell<u64> = const { Cell::new(0) };
}

/// In place of the address of the turn around one that has ended; no connection has it.
const ENDED: usize = usize::MAX;

fn address<S>(shared: &SharedConnection<S>) -> usize {
    ptr::from_ref(shared).addr()
}

/// Whether this is a turn of the task that serves `shared`.
#[inline]
pub(super) fn is_of<S>(shared: &SharedConnection<S>) -> bool {
    CURRENT.get() == address(shared)
}

/// The number of the current turn of `shared`, never used again on this thread; `None` outside.
#[inline]
pub(super) fn number<S>(shared: &SharedConnection<S>) -> Option<u64> {
    is_of(shared).then(|| NUMBER.get())
}

/// What this thread's turn has of `shared`, to be put back.
#[inline]
pub(super) fn release<S>(shared: &SharedConnection<S>) -> Option<Box<Encoder>> {
    if is_of(shared) { HELD.take() } else { None }
}

/// In a turn of `shared`: queues something to be written at the end of the turn at the latest. `None`
/// when the encoder cannot be had.
#[inline]
pub(super) fn hold<S, R>(
    shared: &SharedConnection<S>,
    queue: impl FnOnce(&mut Encoder) -> R,
) -> Option<R> {
    let mut encoder = HELD.take().or_else(|| shared.check_out())?;
    let result = queue(&mut encoder);
    HELD.set(Some(encoder));
    Some(result)
}

/// A turn; the one around it, if any, goes on when it is dropped.
struct Turn<'a, S> {
    shared: &'a SharedConnection<S>,
    before: usize,
    held_before: Option<Box<Encoder>>,
}

impl<'a, S> Turn<'a, S> {
    fn of(shared: &'a SharedConnection<S>) -> Self {
        NUMBER.set(NUMBER.get().wrapping_add(1));
        Self {
            shared,
            before: CURRENT.replace(address(shared)),
            held_before: HELD.take(),
        }
    }

    /// Ends it; returns whether something was held back.
    fn end(mut self) -> bool {
        let held_back = self.put_back();
        self.before = ENDED;
        held_back
    }

    fn put_back(&mut self) -> bool {
        NUMBER.set(NUMBER.get().wrapping_add(1));
        CURRENT.set(self.before);
        let Some(encoder) = HELD.replace(self.held_before.take()) else {
            return false;
        };
        self.shared.check_in(encoder);
        true
    }
}

impl<S> Drop for Turn<'_, S> {
    fn drop(&mut self) {
        if self.before != ENDED {
            self.put_back();
        }
    }
}

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
        let turn = Turn::of(&this.shared);
        let result = Pin::new(&mut this.task).poll(cx);
        let held_back = turn.end();
        if held_back || this.shared.is_behind() {
            this.shared.end_turn(cx);
        }
        result
    }
}
