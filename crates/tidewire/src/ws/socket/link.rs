//! What several places of a program share of one connection: the stream and the sending half.
//!
//! In: messages from the socket's owner and from any number of [`Sender`](super::Sender)s. Out:
//! bytes to the stream. Invariants: the lock is never held over an await or while user code runs;
//! whoever waits for the stream to take bytes is woken when it does, even if another task
//! registered later (one waker wakes them all).
//!
//! The task that serves the socket may take the sending half out for a batch of answers
//! ([`check_out`](Link::check_out), see `turn`), so that the batch costs one lock. Others leave what
//! they have in `later` meanwhile, or wait; checking in queues it and wakes them.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker, ready},
    time::Duration,
};

use tidewire_proto::{CloseCode, CloseFrame, Encoder, Stats};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{
    half::{Half, Written},
    later::Item,
    turn,
};
use crate::ws::{Peer, RecvError, SendError};

/// A connection's shared part.
pub(crate) struct Link<S> {
    /// Number given by a server; 0 without.
    id: AtomicU64,
    /// There are senders: writes wake everyone.
    shared: AtomicBool,
    /// The stream did not take everything the last time.
    behind: AtomicBool,
    half: Mutex<Half<S>>,
    wakers: Mutex<Wakers>,
    peer: Arc<Peer>,
    subprotocol: Option<Arc<str>>,
}

/// Tasks to wake when something changed. A leaf lock of its own, since a waker may be woken
/// from within a poll of the stream.
#[derive(Default)]
struct Wakers {
    /// The task that receives.
    reader: Option<Waker>,
    /// Tasks that wait in a [`Sender`](super::Sender).
    senders: Vec<Waker>,
}

impl<S> Link<S> {
    pub(super) fn new(stream: S, encoder: Encoder) -> Self {
        Self {
            id: AtomicU64::new(0),
            shared: AtomicBool::new(false),
            behind: AtomicBool::new(false),
            half: Mutex::new(Half::new(stream, encoder)),
            wakers: Mutex::default(),
            peer: Arc::default(),
            subprotocol: None,
        }
    }

    /// Before the link is shared.
    pub(super) fn describe(
        &mut self,
        peer: Arc<Peer>,
        subprotocol: Option<Arc<str>>,
        write_within: Duration,
    ) {
        self.peer = peer;
        self.subprotocol = subprotocol;
        let half = self.half.get_mut();
        half.unwrap_or_else(PoisonError::into_inner).write_within = write_within;
    }

    pub(crate) fn set_id(&self, id: u64) {
        self.id.store(id, Ordering::Relaxed);
    }

    pub(super) fn id(&self) -> u64 {
        self.id.load(Ordering::Relaxed)
    }

    pub(super) fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    pub(super) fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// The locked part. What the current turn of this thread has taken out is put back.
    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, Half<S>> {
        match turn::release(self) {
            None => self.lock_only(),
            Some(encoder) => self.checked_in(encoder),
        }
    }

    #[inline]
    fn lock_only(&self) -> MutexGuard<'_, Half<S>> {
        self.half.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the sending half out, to queue a batch of messages; `None` when it is out already or
    /// nothing can be sent any more.
    pub(super) fn check_out(&self) -> Option<Box<Encoder>> {
        self.lock_only().check_out()
    }

    /// Puts the sending half back.
    pub(super) fn check_in(&self, encoder: Box<Encoder>) {
        drop(self.checked_in(encoder));
    }

    fn checked_in(&self, encoder: Box<Encoder>) -> MutexGuard<'_, Half<S>> {
        let mut half = self.lock_only();
        if half.check_in(encoder) {
            drop(half);
            self.wake_all();
            half = self.lock_only();
        }
        half
    }

    /// Counters, and the bytes queued. What was received counts once more is waited for.
    pub(crate) fn stats(&self) -> (Stats, usize) {
        let half = self.lock();
        (half.stats(), half.queued())
    }

    fn wakers(&self) -> MutexGuard<'_, Wakers> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The receiving task, to be woken when somebody else changed something.
    pub(super) fn register_reader(&self, waker: &Waker) {
        self.wakers().reader = Some(waker.clone());
    }

    fn register_sender(&self, waker: &Waker) {
        let senders = &mut self.wakers().senders;
        if !senders.iter().any(|known| known.will_wake(waker)) {
            senders.push(waker.clone());
        }
    }

    /// Has the receiving task look at the connection.
    pub(crate) fn wake_reader(&self) {
        let reader = self.wakers().reader.clone();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Has senders look again: a message in pieces is over, or the connection is ending.
    pub(super) fn wake_senders(&self) {
        let senders = mem::take(&mut self.wakers().senders);
        senders.into_iter().for_each(Waker::wake);
    }

    fn wake_all(&self) {
        let (reader, senders) = {
            let mut wakers = self.wakers();
            (wakers.reader.clone(), mem::take(&mut wakers.senders))
        };
        reader.into_iter().chain(senders).for_each(Waker::wake);
    }

    /// From now on writes may come from several tasks.
    pub(super) fn share(&self) {
        self.shared.store(true, Ordering::Release);
    }

    /// The socket was dropped: the stream ends, senders are told.
    pub(super) fn abandon(&self) {
        let (stream, encoder) = self.lock().abandon();
        drop((stream, encoder));
        self.wake_all();
    }

    /// For a sender: the peer has taken nothing until the write deadline.
    pub(super) fn time_out(&self) {
        let mut half = self.lock();
        if half
            .write_deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
        {
            half.fail(RecvError::TimedOut);
            drop(half);
            self.wake_all();
        }
    }
}

impl<S: Send + 'static> Wake for Link<S> {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Link<S> {
    /// Writes what is queued, waking `cx`'s task or, when the connection is shared, everyone.
    #[inline]
    pub(super) fn poll_write(
        self: &Arc<Self>,
        half: &mut Half<S>,
        cx: &mut Context<'_>,
    ) -> Poll<Written> {
        let written = if self.shared.load(Ordering::Acquire) {
            let everyone = Waker::from(Arc::clone(self));
            half.poll_write(&mut Context::from_waker(&everyone))
        } else {
            half.poll_write(cx)
        };
        if written.is_pending() {
            self.behind.store(true, Ordering::Relaxed);
        }
        written
    }

    /// For a sender: queues something and writes it, waiting for room.
    pub(super) fn poll_send(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        item: Item<'_>,
    ) -> Poll<Result<(), SendError>> {
        let mut registered = false;
        loop {
            let mut half = self.lock();
            half.check()?;
            match half.offer(item) {
                Ok(()) => {
                    return Poll::Ready(self.writing(half, |half| {
                        let written = self.poll_write(half, cx);
                        half.written(written)
                    }));
                }
                // Before it is tried again, so that no wake is missed.
                Err(SendError::Full | SendError::InFragments) if !registered => {
                    drop(half);
                    self.register_sender(cx.waker());
                    registered = true;
                }
                Err(SendError::Full | SendError::InFragments) => {
                    // With nothing to write it is a message in pieces that has to end first.
                    if half.want() || half.encoder().is_none_or(|it| it.queued() == 0) {
                        return Poll::Pending;
                    }
                    ready!(self.writing(half, |half| self.poll_write_all(half, cx)))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// For a sender: writes everything queued.
    pub(super) fn poll_flush_shared(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        self.register_sender(cx.waker());
        let mut half = self.lock();
        half.check()?;
        if half.want() {
            return Poll::Pending;
        }
        self.writing(half, |half| self.poll_write_all(half, cx))
    }

    fn poll_write_all(
        self: &Arc<Self>,
        half: &mut Half<S>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        let written = ready!(self.poll_write(half, cx));
        Poll::Ready(half.written(Poll::Ready(written)))
    }

    /// For others than the socket's task: writes, and has that task watch the write deadline, if
    /// it has begun with this.
    fn writing<R>(
        &self,
        mut half: MutexGuard<'_, Half<S>>,
        write: impl FnOnce(&mut Half<S>) -> R,
    ) -> R {
        let watched = half.write_deadline.is_some();
        let result = write(&mut half);
        let begun = !watched && half.write_deadline.is_some();
        drop(half);
        if begun {
            self.wake_reader();
        }
        result
    }

    /// For a sender: queues something and writes what the stream takes at once.
    pub(super) fn try_send(self: &Arc<Self>, item: Item<'_>) -> Result<(), SendError> {
        let mut half = self.lock();
        half.check()?;
        half.offer(item)?;
        self.writing(half, |half| self.write_now(half))
    }

    /// As [`Self::try_send`]; gives the connection's byte count at the item's end. A failing write is
    /// left to who waits for the connection: the item is queued all the same.
    pub(super) fn try_send_counted(self: &Arc<Self>, item: Item<'_>) -> Result<u64, SendError> {
        let mut half = self.lock();
        half.check()?;
        half.offer(item)?;
        let end = half.stats().bytes_sent + half.queued() as u64;
        if self.writing(half, |half| self.write_now(half)).is_err() {
            tracing::trace!("a message could not be written");
        }
        Ok(end)
    }

    /// Starts the closing handshake from anywhere; the receiving task goes on with it.
    pub(crate) fn start_close(self: &Arc<Self>, code: CloseCode, reason: &str) {
        {
            let mut half = self.lock();
            half.close(CloseFrame::new(code, reason));
            if self.write_now(&mut half).is_err() {
                tracing::trace!("the close frame could not be written");
            }
        }
        self.wake_all();
    }

    /// Writes what the stream takes, from outside of any task.
    fn write_now(self: &Arc<Self>, half: &mut Half<S>) -> Result<(), SendError> {
        let everyone = Waker::from(Arc::clone(self));
        let written = half.poll_write(&mut Context::from_waker(&everyone));
        if written.is_pending() {
            self.behind.store(true, Ordering::Relaxed);
        }
        half.written(written)
    }

    /// Whether the end of a turn may have something to write: always when something was held back,
    /// and else only when the stream did not take everything before.
    #[inline]
    pub(super) fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }

    /// At the end of the owner's turn: writes what was held back in it, and what the stream did not
    /// take before.
    pub(super) fn end_turn(self: &Arc<Self>, cx: &mut Context<'_>) {
        let mut half = self.lock();
        // Under the lock, so that a write that goes pending after this one is seen.
        self.behind.store(false, Ordering::Relaxed);
        let mut written = self.poll_write(&mut half, cx);
        if written.is_pending() {
            // The turn's task goes on with it, which may never have received anything.
            self.register_sender(cx.waker());
            written = self.poll_write(&mut half, cx);
        }
        if half.written(written).is_err() {
            tracing::trace!("what was held back could not be written");
        }
    }
}
