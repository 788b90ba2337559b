//! The part of a connection that several places of a program share.
//!
//! In: bytes and the wish to end, from [`Sender`](super::Sender)s of any thread. Out: both, to the task that owns
//! the connection. Invariants: what is queued here is taken before that task waits; of a batch of bytes the first
//! wakes it; the lock is never held while anything is called.

use std::{
    mem,
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use super::{RecvError, SendError, queue::SendQueue};
use crate::{net::Peer, sync::Mutex};

/// A connection's shared part.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) id: u64,
    pub(super) peer: Peer,
    pub(super) local: Option<SocketAddr>,
    /// Bytes that may be queued.
    bytes_max: usize,
    /// Bytes queued here and by the owner.
    pub(super) queued: AtomicUsize,
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
    /// There is something for the owner in `state`.
    news: AtomicBool,
    /// Somebody waits for bytes to be written.
    is_awaited: AtomicBool,
    /// The connection has ended, and something was left.
    has_lost: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    deferred: SendQueue,
    owner: Option<Waker>,
    waiting: Vec<Waker>,
    end: Option<End>,
    /// Nothing is taken any more.
    is_closed: bool,
    failure: Option<RecvError>,
}

/// How a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// When everything queued has been sent.
    Closed,
    /// At once.
    Aborted,
}

impl Shared {
    pub(super) fn new(id: u64, peer: Peer, local: Option<SocketAddr>, bytes_max: usize) -> Self {
        Self {
            id,
            peer,
            local,
            bytes_max,
            queued: AtomicUsize::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            news: AtomicBool::new(false),
            is_awaited: AtomicBool::new(false),
            has_lost: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// Queues bytes for the owner, if there is room. An empty queue takes any number.
    pub(super) fn try_send(&self, bytes: Bytes) -> Result<(), (SendError, Bytes)> {
        let owner = {
            let mut state = self.state.lock();
            if state.is_closed {
                return Err((SendError::Closed, bytes));
            }
            let queued = self.queued.load(Ordering::SeqCst);
            if queued > 0 && queued.saturating_add(bytes.len()) > self.bytes_max {
                return Err((SendError::Full, bytes));
            }
            self.queued.fetch_add(bytes.len(), Ordering::Relaxed);
            state.deferred.push(bytes);
            self.tell_owner(&state)
        };
        wake(owner);
        Ok(())
    }

    /// Queues bytes, waiting for room.
    pub(super) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        bytes: &mut Bytes,
    ) -> Poll<Result<(), SendError>> {
        for is_registered in [false, true] {
            match self.try_send(mem::take(bytes)) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err((SendError::Full, back)) => *bytes = back,
                Err((error, _bytes)) => return Poll::Ready(Err(error)),
            }
            // Once more after that, so that no room is missed.
            if !is_registered {
                self.wait(cx);
            }
        }
        Poll::Pending
    }

    /// Waits until nothing is queued.
    pub(super) fn poll_flushed(&self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        for is_registered in [false, true] {
            let is_written = self.queued.load(Ordering::SeqCst) == 0;
            // Behind that: what is dropped is none that was written.
            if self.has_lost.load(Ordering::SeqCst) {
                return Poll::Ready(Err(SendError::Closed));
            }
            if is_written {
                return Poll::Ready(Ok(()));
            }
            if !is_registered {
                self.wait(cx);
            }
        }
        Poll::Pending
    }

    fn wait(&self, cx: &Context<'_>) {
        let mut state = self.state.lock();
        if !state
            .waiting
            .iter()
            .any(|known| known.will_wake(cx.waker()))
        {
            state.waiting.push(cx.waker().clone());
        }
        self.is_awaited.store(true, Ordering::SeqCst);
    }

    /// Has the connection end.
    pub(super) fn end(&self, end: End) {
        let owner = {
            let mut state = self.state.lock();
            if state.end >= Some(end) {
                return;
            }
            state.end = Some(end);
            state.is_closed = true;
            self.tell_owner(&state)
        };
        wake(owner);
    }

    /// Tells the owner that there is something, unless it was told before.
    fn tell_owner(&self, state: &State) -> Option<Waker> {
        if self.news.swap(true, Ordering::SeqCst) {
            return None;
        }
        state.owner.clone()
    }

    pub(super) fn is_open(&self) -> bool {
        !self.state.lock().is_closed
    }

    /// Why it ended, if that was a failure.
    pub(super) fn failure(&self) -> Option<RecvError> {
        self.state.lock().failure.clone()
    }
}

/// For the owner.
impl Shared {
    /// The task that is woken from now on.
    pub(super) fn register_owner(&self, waker: &Waker) {
        self.state.lock().owner = Some(waker.clone());
    }

    /// Returns whether there is something to be [taken](Self::take_news).
    #[inline]
    pub(super) fn has_news(&self) -> bool {
        self.news.load(Ordering::SeqCst)
    }

    /// Moves what others have queued behind `out`, and tells how the connection is to end.
    pub(super) fn take_news(&self, out: &mut SendQueue) -> Option<End> {
        let mut state = self.state.lock();
        self.news.store(false, Ordering::SeqCst);
        out.append(&mut state.deferred);
        state.end
    }

    /// The owner takes no more bytes to send.
    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
    }

    /// The connection has failed.
    pub(super) fn fail(&self, error: RecvError) {
        self.state.lock().failure = Some(error);
        self.end_now();
    }

    /// `count` bytes have been given to the system.
    #[inline]
    pub(super) fn written(&self, count: usize) {
        self.queued.fetch_sub(count, Ordering::SeqCst);
        let sent = self.sent.load(Ordering::Relaxed) + count as u64;
        self.sent.store(sent, Ordering::Relaxed); // only the owner writes it
        if self.is_awaited.load(Ordering::SeqCst) {
            self.wake_waiting();
        }
    }

    #[inline(never)]
    fn wake_waiting(&self) {
        self.is_awaited.store(false, Ordering::SeqCst);
        let waiting = mem::take(&mut self.state.lock().waiting);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// `count` bytes were received.
    #[inline]
    pub(super) fn count_received(&self, count: usize) {
        let received = self.received.load(Ordering::Relaxed) + count as u64;
        self.received.store(received, Ordering::Relaxed); // only the owner writes it
    }

    /// The connection is over: what is queued is dropped, whoever waits is told.
    pub(super) fn abandon(&self) {
        self.state.lock().owner = None;
        self.end_now();
    }

    fn end_now(&self) {
        let dropped = {
            let mut state = self.state.lock();
            state.is_closed = true;
            mem::take(&mut state.deferred)
        };
        drop(dropped); // outside of the lock
        if self.queued.load(Ordering::SeqCst) > 0 {
            // First, or who waits for the bytes to be written would see none left.
            self.has_lost.store(true, Ordering::SeqCst);
            self.queued.store(0, Ordering::SeqCst);
        }
        self.wake_waiting();
    }
}

fn wake(owner: Option<Waker>) {
    if let Some(owner) = owner {
        owner.wake();
    }
}
