//! What several places of a program share of one connection: the stream and the sending locked.
//!
//! In: messages from the socket's owner and from any number of [`Sender`](super::Sender)s. Out:
//! bytes to the stream. Invariants: the lock is never held over an await or while user code runs;
//! whoever waits for the stream to take bytes is woken when it does, even if another task
//! registered later (one waker wakes them all).
//!
//! The task that serves the socket may take the encoder out for a batch of answers
//! ([`check_out`](SharedConnection::check_out), see `cork`), so that the batch costs one lock. Others leave what
//! they have in `deferred` meanwhile, or wait; checking in queues it and wakes them.

use std::{
    mem,
    sync::{
        Arc, MutexGuard, OnceLock, Weak,
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
    cork::{self, ConnectionKey},
    deferred::SendItem,
    locked::{LockedConnection, Waiters, WriteResult},
    publications::{HandedOut, WRITE_AT},
};
use crate::{
    memory::{Holder, MemoryAccount, MemoryBudget},
    sync::Mutex,
    ws::{Membership, Peer, RecvError, SendError},
};

/// A connection's shared part.
pub(crate) struct SharedConnection<S> {
    /// Number given by a server; 0 without.
    id: AtomicU64,
    /// There are senders: writes wake everyone.
    has_senders: AtomicBool,
    /// The stream did not take everything the last time.
    behind: AtomicBool,
    /// It is to end, so that others have room.
    evicted: AtomicBool,
    /// Its account; most connections never hold anything.
    memory: OnceLock<MemoryAccount>,
    /// `None`: that of the process.
    budget: Option<MemoryBudget>,
    locked: Mutex<LockedConnection<S>>,
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

impl<S> SharedConnection<S> {
    pub(super) fn new(stream: S, encoder: Encoder) -> Self {
        Self {
            id: AtomicU64::new(0),
            has_senders: AtomicBool::new(false),
            behind: AtomicBool::new(false),
            evicted: AtomicBool::new(false),
            memory: OnceLock::new(),
            budget: None,
            locked: Mutex::new(LockedConnection::new(stream, encoder)),
            wakers: Mutex::default(),
            peer: Arc::default(),
            subprotocol: None,
        }
    }

    /// Before the connection is shared.
    pub(super) fn describe(
        &mut self,
        peer: Arc<Peer>,
        subprotocol: Option<Arc<str>>,
        write_timeout: Duration,
    ) {
        self.peer = peer;
        self.subprotocol = subprotocol;
        self.locked.get_mut().write_timeout = write_timeout;
    }

    /// Before the connection is shared: its memory counts for this budget.
    pub(super) fn set_budget(&mut self, budget: MemoryBudget) {
        self.budget = Some(budget);
    }

    /// Returns whether it is to end, so that others have room.
    #[inline]
    pub(super) fn is_evicted(&self) -> bool {
        self.evicted.load(Ordering::Relaxed)
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
    pub(super) fn lock(&self) -> MutexGuard<'_, LockedConnection<S>> {
        match cork::release(self.key()) {
            None => self.lock_only(),
            Some(encoder) => self.checked_in(encoder),
        }
    }

    #[inline]
    fn lock_only(&self) -> MutexGuard<'_, LockedConnection<S>> {
        self.locked.lock()
    }

    /// Tells this connection from others.
    #[inline]
    pub(super) fn key(&self) -> ConnectionKey {
        ConnectionKey::of(self)
    }

    /// In a corked poll of the task that serves this connection: queues something to be written at
    /// the end of the poll at the latest. `None` when the encoder cannot be had.
    #[inline]
    pub(super) fn with_corked<R>(&self, queue: impl FnOnce(&mut Encoder) -> R) -> Option<R> {
        cork::with(|| self.check_out(), queue)
    }

    /// For who has checked the encoder out, before something is sent: queues in it what was published, so
    /// that it is not overtaken.
    #[inline]
    pub(super) fn hand_out_before(
        &self,
        memberships: &mut [Membership],
        encoder: &mut Encoder,
    ) -> Result<(), tidewire_proto::SendError> {
        if memberships.iter().any(Membership::has_news) {
            return self.hand_out_news(memberships, encoder);
        }
        Ok(())
    }

    #[inline(never)]
    fn hand_out_news(
        &self,
        memberships: &mut [Membership],
        encoder: &mut Encoder,
    ) -> Result<(), tidewire_proto::SendError> {
        let bytes_max = encoder.config().send_queue_bytes_max;
        // Before, so that a publication in between is news once more.
        memberships.iter_mut().for_each(Membership::catch_up);
        match self.hand_out_into(encoder, bytes_max) {
            HandedOut::All => Ok(()),
            HandedOut::MoreWaits => {
                memberships.iter_mut().for_each(Membership::fall_back);
                Err(tidewire_proto::SendError::Full)
            }
            HandedOut::TooSlow(_) => Err(tidewire_proto::SendError::Closed),
        }
    }

    /// For who has checked the encoder out, before it closes: queues in it what was published, as far as
    /// there is room.
    pub(super) fn close_into(&self, encoder: &mut Encoder, code: CloseCode, reason: &str) {
        let _as_far_as_there_is_room = self.hand_out_into(encoder, WRITE_AT);
        encoder.close(code, reason, Instant::now().into_std());
    }

    fn hand_out_into(&self, encoder: &mut Encoder, bytes_max: usize) -> HandedOut {
        let handed_out = self.lock_only().hand_out_into(encoder, bytes_max);
        if let HandedOut::TooSlow(end) = &handed_out {
            encoder.close(end.code, &end.reason, Instant::now().into_std());
        }
        handed_out
    }

    /// Takes the encoder out, to queue a batch of messages; `None` when it is out already or
    /// nothing can be sent any more.
    pub(super) fn check_out(&self) -> Option<Box<Encoder>> {
        self.lock_only().check_out()
    }

    /// Puts the encoder back.
    pub(super) fn check_in(&self, encoder: Box<Encoder>) {
        drop(self.checked_in(encoder));
    }

    fn checked_in(&self, encoder: Box<Encoder>) -> MutexGuard<'_, LockedConnection<S>> {
        let mut locked = self.lock_only();
        if locked.check_in(encoder) == Waiters::Some {
            drop(locked);
            self.wake_all();
            locked = self.lock_only();
        }
        locked
    }

    /// Counters, and the bytes queued. What was received counts once more is waited for.
    pub(crate) fn stats(&self) -> (Stats, usize) {
        let locked = self.lock();
        (locked.stats(), locked.queued())
    }

    fn wakers(&self) -> MutexGuard<'_, Wakers> {
        self.wakers.lock()
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
        self.has_senders.store(true, Ordering::Release);
    }

    /// The socket was dropped: the stream ends, senders are told.
    pub(super) fn abandon(&self) {
        let (stream, encoder) = self.lock().abandon();
        drop((stream, encoder));
        self.wake_all();
    }

    /// For a sender: the peer has taken nothing until the write deadline.
    pub(super) fn time_out(&self) {
        let mut locked = self.lock();
        if locked
            .write_deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
        {
            locked.fail(RecvError::TimedOut);
            drop(locked);
            self.wake_all();
        }
    }
}

impl<S: Send + 'static> Wake for SharedConnection<S> {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }
}

impl<S: Send + 'static> SharedConnection<S> {
    /// Its memory is counted here. An eviction ends it.
    pub(super) fn account(self: &Arc<Self>) -> &MemoryAccount {
        self.memory.get_or_init(|| {
            let budget = self.budget.clone().unwrap_or_default();
            let account = budget.account();
            let holder: Weak<Self> = Arc::downgrade(self);
            account.add_holder(holder);
            account
        })
    }

    /// Before it holds anything: counts it for this account, which others may use, too.
    pub(super) fn charge_to(self: &Arc<Self>, account: &MemoryAccount) {
        let charged = self.memory.get_or_init(|| account.clone());
        let holder: Weak<Self> = Arc::downgrade(self);
        charged.add_holder(holder);
    }
}

impl<S: Send + 'static> Holder for SharedConnection<S> {
    fn evicted(&self) {
        self.evicted.store(true, Ordering::Relaxed);
        self.wake_reader();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> SharedConnection<S> {
    /// Writes what is queued, waking `cx`'s task or, when the connection is shared, everyone.
    #[inline]
    pub(super) fn poll_write(
        self: &Arc<Self>,
        locked: &mut LockedConnection<S>,
        cx: &mut Context<'_>,
    ) -> Poll<WriteResult> {
        let written = if self.has_senders.load(Ordering::Acquire) {
            let everyone = Waker::from(Arc::clone(self));
            locked.poll_write(&mut Context::from_waker(&everyone))
        } else {
            locked.poll_write(cx)
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
        item: SendItem<'_>,
    ) -> Poll<Result<(), SendError>> {
        let mut registered = false;
        loop {
            let mut locked = self.lock();
            locked.check()?;
            match locked.offer(item) {
                Ok(()) => {
                    return Poll::Ready(self.writing(locked, |locked| {
                        let written = self.poll_write(locked, cx);
                        locked.written(written)
                    }));
                }
                // Before it is tried again, so that no wake is missed.
                Err(SendError::Full | SendError::InFragments) if !registered => {
                    drop(locked);
                    self.register_sender(cx.waker());
                    registered = true;
                }
                Err(SendError::Full | SendError::InFragments) => {
                    // With nothing to write it is a message in pieces that has to end first.
                    if locked.poll_available().is_pending()
                        || locked.encoder().is_none_or(|it| it.queued() == 0)
                    {
                        return Poll::Pending;
                    }
                    ready!(self.writing(locked, |locked| self.poll_write_all(locked, cx)))?;
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
        let mut locked = self.lock();
        locked.check()?;
        ready!(locked.poll_available());
        self.writing(locked, |locked| self.poll_write_all(locked, cx))
    }

    fn poll_write_all(
        self: &Arc<Self>,
        locked: &mut LockedConnection<S>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        let written = ready!(self.poll_write(locked, cx));
        Poll::Ready(locked.written(Poll::Ready(written)))
    }

    /// For others than the socket's task: writes, and has that task watch the write deadline, if
    /// it has begun with this, and count what is held for a peer that does not read.
    fn writing<R>(
        &self,
        mut locked: MutexGuard<'_, LockedConnection<S>>,
        write: impl FnOnce(&mut LockedConnection<S>) -> R,
    ) -> R {
        let watched = locked.write_deadline.is_some();
        let result = write(&mut locked);
        let begun = locked.write_deadline.is_some() && (!watched || locked.has_grown());
        drop(locked);
        if begun {
            self.wake_reader();
        }
        result
    }

    /// For a sender: queues something and writes what the stream takes at once.
    pub(super) fn try_send(self: &Arc<Self>, item: SendItem<'_>) -> Result<(), SendError> {
        let mut locked = self.lock();
        locked.check()?;
        locked.offer(item)?;
        self.writing(locked, |locked| self.write_now(locked))
    }

    /// As [`Self::try_send`]; gives the connection's byte count at the item's end. A failing write is
    /// left to who waits for the connection: the item is queued all the same.
    pub(super) fn try_send_counted(self: &Arc<Self>, item: SendItem<'_>) -> Result<u64, SendError> {
        let mut locked = self.lock();
        locked.check()?;
        locked.offer(item)?;
        let end = locked.stats().bytes_sent + locked.queued() as u64;
        if self
            .writing(locked, |locked| self.write_now(locked))
            .is_err()
        {
            tracing::trace!("a message could not be written");
        }
        Ok(end)
    }

    /// Starts the closing handshake from anywhere; the receiving task goes on with it. What was
    /// published before goes out first, as far as there is room.
    pub(crate) fn start_close(self: &Arc<Self>, code: CloseCode, reason: &str) {
        {
            let mut locked = self.lock();
            locked.close(CloseFrame::new(code, reason));
            if self.write_now(&mut locked).is_err() {
                tracing::trace!("the close frame could not be written");
            }
        }
        self.wake_all();
    }

    /// Writes what the stream takes, from outside of any task.
    fn write_now(self: &Arc<Self>, locked: &mut LockedConnection<S>) -> Result<(), SendError> {
        let everyone = Waker::from(Arc::clone(self));
        let written = locked.poll_write(&mut Context::from_waker(&everyone));
        if written.is_pending() {
            self.behind.store(true, Ordering::Relaxed);
        }
        locked.written(written)
    }

    /// Returns whether the end of a turn may have something to write: always when something was held back,
    /// and else only when the stream did not take everything before.
    #[inline]
    pub(super) fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }

    /// At the end of a corked poll: writes what was held back in it, and what the stream did not
    /// take before.
    pub(super) fn uncork(self: &Arc<Self>, cx: &mut Context<'_>) {
        let mut locked = self.lock();
        // Under the lock, so that a write that goes pending after this one is seen.
        self.behind.store(false, Ordering::Relaxed);
        let mut written = self.poll_write(&mut locked, cx);
        if written.is_pending() {
            // The turn's task goes on with it, which may never have received anything.
            self.register_sender(cx.waker());
            written = self.poll_write(&mut locked, cx);
        }
        if locked.written(written).is_err() {
            tracing::trace!("what was held back could not be written");
        }
    }
}
