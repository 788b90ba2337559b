//! What several places of a program share of one connection: the stream and the sending half.
//!
//! In: messages from the socket's owner and from any number of [`Sender`](super::Sender)s. Out:
//! bytes to the stream. Invariants: the lock is never held over an await or while a waker is woken
//! or user code runs; whoever waits for the stream to take bytes is woken when it does, even
//! if another task registered later (one waker wakes them all).

use std::{
    io::{self, IoSlice},
    mem,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use tidewire_proto::{CloseCode, Event, Incoming, Outgoing, Stats};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use crate::{
    buffer::{self, ReadBuffer},
    ws::{Peer, RecvError, SendError},
};

/// Most slices of one vectored write.
const PARTS_MAX: usize = 32;

/// A connection's shared part.
pub(crate) struct Link<S> {
    /// Number given by a server; 0 without.
    id: AtomicU64,
    /// There are senders: writes wake everyone.
    shared: AtomicBool,
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

/// The locked part.
pub(crate) struct Half<S> {
    /// `None` once the socket was dropped.
    stream: Option<S>,
    pub(super) outgoing: Outgoing,
    /// Why nothing more is sent, apart from the protocol's end.
    failed: Option<RecvError>,
    /// The stream has taken nothing; it must until then.
    pub(super) write_deadline: Option<Instant>,
    write_within: Duration,
    /// Something is queued that will be written when the current turn of the task ends.
    corked: bool,
    /// The stream did not take everything the last time.
    blocked: bool,
    /// It has taken everything since.
    drained: bool,
    /// Counters of the receiving half.
    received: Stats,
}

impl<S> Link<S> {
    pub(super) fn new(stream: S, outgoing: Outgoing) -> Self {
        Self {
            id: AtomicU64::new(0),
            shared: AtomicBool::new(false),
            half: Mutex::new(Half {
                stream: Some(stream),
                outgoing,
                failed: None,
                write_deadline: None,
                write_within: Duration::from_secs(10),
                corked: false,
                blocked: false,
                drained: false,
                received: Stats::default(),
            }),
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

    /// Counters, and the bytes queued. What was received counts once more is waited for.
    pub(crate) fn stats(&self) -> (Stats, usize) {
        let half = self.lock();
        let mut stats = half.received;
        stats.messages_sent = half.outgoing.messages_sent();
        stats.bytes_sent = half.outgoing.bytes_sent();
        (stats, half.outgoing.queued())
    }

    pub(super) fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    pub(super) fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, Half<S>> {
        self.half.lock().unwrap_or_else(PoisonError::into_inner)
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
        let stream = {
            let mut half = self.lock();
            half.failed.get_or_insert(RecvError::Lost);
            half.stream.take()
        };
        drop(stream);
        self.wake_all();
    }
}

impl<S: Send + 'static> Wake for Link<S> {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Link<S> {
    /// Writes what is queued, waking `cx`'s task or, when the connection is shared, everyone.
    pub(super) fn poll_write(
        self: &Arc<Self>,
        half: &mut Half<S>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Arc<io::Error>>> {
        if half.outgoing.queued() == 0 {
            return Poll::Ready(Ok(()));
        }
        if self.shared.load(Ordering::Acquire) {
            let everyone = Waker::from(Arc::clone(self));
            half.poll_write(&mut Context::from_waker(&everyone))
        } else {
            half.poll_write(cx)
        }
    }

    /// For a sender: queues something and writes it, waiting for room. A deadline passes
    /// through `timer`, which belongs to the caller.
    pub(super) fn poll_send(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        mut queue: impl FnMut(&mut Outgoing) -> Result<(), tidewire_proto::SendError>,
    ) -> Poll<Result<(), SendError>> {
        // Before anything is tried, so that no wake is missed.
        let mut registered = false;
        loop {
            let mut half = self.lock();
            half.check()?;
            match half.queue(&mut queue) {
                Ok(()) => {
                    let written = self.poll_write(&mut half, cx);
                    return Poll::Ready(half.written(written));
                }
                Err(SendError::Full) => {
                    if !registered {
                        drop(half);
                        self.register_sender(cx.waker());
                        registered = true;
                        continue;
                    }
                    let written = ready!(self.poll_write(&mut half, cx));
                    half.written(Poll::Ready(written))?;
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
        let written = ready!(self.poll_write(&mut half, cx));
        Poll::Ready(half.written(Poll::Ready(written)))
    }

    /// Queues something and writes what the stream takes at once.
    pub(super) fn try_send(
        self: &Arc<Self>,
        queue: impl FnMut(&mut Outgoing) -> Result<(), tidewire_proto::SendError>,
    ) -> Result<(), SendError> {
        let mut half = self.lock();
        half.check()?;
        half.queue(queue)?;
        let everyone = Waker::from(Arc::clone(self));
        let written = half.poll_write(&mut Context::from_waker(&everyone));
        half.written(written)
    }

    /// Starts the closing handshake from anywhere; the receiving task goes on with it.
    pub(crate) fn start_close(self: &Arc<Self>, code: CloseCode, reason: &str) {
        {
            let mut half = self.lock();
            let now = Instant::now().into_std();
            half.outgoing.close(code, reason, now);
            let everyone = Waker::from(Arc::clone(self));
            let written = half.poll_write(&mut Context::from_waker(&everyone));
            if half.written(written).is_err() {
                tracing::trace!("the close frame could not be written");
            }
        }
        self.wake_reader();
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

    /// At the end of the owner's turn: writes what was corked in it, and what the stream did not
    /// take before.
    pub(super) fn uncork(self: &Arc<Self>, cx: &mut Context<'_>) {
        let mut half = self.lock();
        if mem::take(&mut half.corked) || half.blocked {
            let written = self.poll_write(&mut half, cx);
            if half.written(written).is_err() {
                tracing::trace!("a corked message could not be written");
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Half<S> {
    /// Whether something can still be sent.
    #[inline]
    pub(super) fn check(&self) -> Result<(), SendError> {
        match &self.failed {
            None => Ok(()),
            Some(RecvError::TimedOut) => Err(SendError::TimedOut),
            Some(RecvError::Io(error)) => Err(SendError::Io(Arc::clone(error))),
            Some(RecvError::Protocol(_) | RecvError::Lost) => Err(SendError::Closed),
        }
    }

    /// Queues something, into a pooled buffer.
    #[inline]
    pub(super) fn queue(
        &mut self,
        mut queue: impl FnMut(&mut Outgoing) -> Result<(), tidewire_proto::SendError>,
    ) -> Result<(), SendError> {
        self.outgoing.lend_buffer(buffer::write_buffer);
        Ok(queue(&mut self.outgoing)?)
    }

    /// What a write attempt came to; a pending one goes on later.
    #[inline]
    pub(super) fn written(
        &mut self,
        written: Poll<Result<(), Arc<io::Error>>>,
    ) -> Result<(), SendError> {
        match written {
            Poll::Ready(Err(error)) => {
                self.fail(RecvError::Io(Arc::clone(&error)));
                Err(SendError::Io(error))
            }
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    /// Writes all that is queued.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Arc<io::Error>>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Err(Arc::new(io::ErrorKind::NotConnected.into())));
        };
        while self.outgoing.queued() > 0 {
            let mut parts = [IoSlice::new(&[]); PARTS_MAX];
            let count = self.outgoing.poll_transmit(&mut parts);
            let stream = Pin::new(&mut *stream);
            let written = match parts.get(..count) {
                Some([one]) => stream.poll_write(cx, one),
                several => stream.poll_write_vectored(cx, several.unwrap_or_default()),
            };
            match written {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Err(Arc::new(io::ErrorKind::WriteZero.into())));
                }
                Poll::Ready(Ok(count)) => {
                    self.outgoing.transmitted(count);
                    self.write_deadline = None;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Arc::new(error))),
                Poll::Pending => {
                    self.blocked = true;
                    if self.write_deadline.is_none() {
                        self.write_deadline = Some(Instant::now() + self.write_within);
                    }
                    return Poll::Pending;
                }
            }
        }
        self.corked = false;
        self.drained |= mem::take(&mut self.blocked);
        if let Some(buffer) = self.outgoing.reclaim_buffer() {
            buffer::keep_write_buffer(buffer);
        }
        Pin::new(stream).poll_flush(cx).map_err(Arc::new)
    }

    /// Reads once; `None` at the end of the stream.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        large: bool,
    ) -> Poll<io::Result<Option<ReadBuffer>>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Ok(None));
        };
        let mut input = ReadBuffer::take(large);
        let mut space = ReadBuf::new(input.space());
        match ready!(Pin::new(stream).poll_read(cx, &mut space)) {
            // TLS without close_notify: an end like that of TCP, whose meaning is up to us.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Poll::Ready(Ok(None));
            }
            read => read?,
        }
        let count = space.filled().len();
        if count == 0 {
            return Poll::Ready(Ok(None));
        }
        input.filled(count);
        Poll::Ready(Ok(Some(input)))
    }

    /// Answers a control frame.
    pub(super) fn answer(&mut self, event: &Event<'_>) {
        self.outgoing.lend_buffer(buffer::write_buffer);
        self.outgoing.answer(event);
    }

    /// Queues frames of a topic.
    pub(super) fn publication(&mut self, frames: &Bytes, count: u64) {
        self.outgoing.lend_buffer(buffer::write_buffer);
        if let Err(error) = self.outgoing.send_frames(frames, count) {
            tracing::debug!(%error, "a publication was not sent");
        }
    }

    /// When something has to happen although nothing arrives.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let protocol = self.outgoing.poll_timeout().map(Instant::from_std);
        protocol.into_iter().chain(self.write_deadline).min()
    }

    /// Ends our direction of the stream.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Some(stream) => Pin::new(stream).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Keeps the counters of the receiving half where others can see them.
    #[inline]
    pub(super) fn count(&mut self, incoming: &Incoming) {
        self.received.messages_received = incoming.messages_received();
        self.received.bytes_received = incoming.bytes_received();
    }

    /// Whether a slow peer has taken everything since the last call.
    pub(super) fn take_drained(&mut self) -> bool {
        mem::take(&mut self.drained)
    }

    /// Leaves what is queued until the end of the task's turn.
    #[inline]
    pub(super) fn cork(&mut self) {
        self.corked = true;
    }

    /// Records why the connection ended; the first reason stays.
    pub(super) fn fail(&mut self, error: RecvError) -> RecvError {
        self.failed.get_or_insert(error).clone()
    }

    pub(super) fn failed(&self) -> Option<&RecvError> {
        self.failed.as_ref()
    }
}
