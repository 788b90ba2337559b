//! The locked part of a [`SharedConnection`](super::SharedConnection): stream, encoder, and what is to be written.
//!
//! In: things to send. Out: bytes to the stream. Invariant: while the encoder is out,
//! nothing is written and what comes is kept in order.

mod members; // publications of the topics it is a member of

use std::{
    io::{self, IoSlice},
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tidewire_proto::{CloseFrame, Decoder, Encoder, Event, PeerState, Stats};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::deferred::{Deferred, DeferredItem, SendItem};
use crate::{
    net::{
        buffer::{self, ReadBuffer},
        timer::after,
    },
    ws::{RecvError, SendError, topic::Cursor},
};

/// Most slices of one vectored write.
const PARTS_MAX: usize = 32;

/// Bytes that others queue for a peer that does not read are counted in steps of so many.
const COUNTED_STEP: usize = 64 << 10;

/// The outcome of a write.
pub(super) type WriteResult = Result<(), Arc<io::Error>>;

/// How the stream takes what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backpressure {
    /// As it comes.
    None,
    /// It did not take everything the last time.
    Blocked,
    /// It had not, and has now.
    Relieved,
}

/// Tasks that wait for the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "whoever waits for the encoder is to be woken"]
pub(super) enum Waiters {
    None,
    Some,
}

/// The reason for which the socket's task waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// Everything.
    ToReceive,
    /// For the stream to take bytes, reading nothing: so it cannot tell a silent peer.
    ToWrite,
}

/// See the module.
pub(crate) struct LockedConnection<S> {
    /// `None` once the socket was dropped.
    stream: Option<S>,
    /// `None` while the socket's task has checked it out.
    encoder: Option<Box<Encoder>>,
    /// The messages of others meanwhile.
    deferred: Deferred,
    /// Somebody waits for the encoder to come back.
    wanted: bool,
    backpressure: Backpressure,
    /// By the encoder, as far as is known.
    pings_sent: u32,
    /// It was given everything but may hold some of that itself, as TLS does.
    unflushed: bool,
    /// Why nothing more is sent, apart from the protocol's end.
    failed: Option<RecvError>,
    /// The stream has taken nothing; it must until then.
    pub(super) write_deadline: Option<Instant>,
    pub(super) write_timeout: Duration,
    /// Bytes queued when the socket's task last counted the memory that a slow peer costs.
    counted: usize,
    /// Where the socket is in the topics it has joined.
    cursors: Vec<Cursor>,
    /// The bound of `deferred`.
    queue_bytes_max: usize,
    /// How long a wish to close may wait in `deferred`.
    close_timeout: Duration,
    /// Counters of the decoder, and of the encoder when it went out.
    stats: Stats,
}

impl<S> LockedConnection<S> {
    pub(super) fn new(stream: S, encoder: Encoder) -> Self {
        Self {
            stream: Some(stream),
            queue_bytes_max: encoder.config().send_queue_bytes_max,
            close_timeout: encoder.config().close_timeout,
            encoder: Some(Box::new(encoder)),
            deferred: Deferred::default(),
            wanted: false,
            backpressure: Backpressure::None,
            pings_sent: 0,
            unflushed: false,
            failed: None,
            write_deadline: None,
            write_timeout: Duration::from_secs(10),
            counted: 0,
            cursors: Vec::new(),
            stats: Stats::default(),
        }
    }

    /// See [`SharedConnection::check_out`](super::SharedConnection::check_out).
    pub(super) fn check_out(&mut self) -> Option<Box<Encoder>> {
        if self.failed.is_some() || !self.deferred.is_empty() {
            return None;
        }
        self.stats = self.stats();
        let mut encoder = self.encoder.take()?;
        self.pings_sent = encoder.pings_sent();
        encoder.lend_buffer(buffer::write_buffer);
        Some(encoder)
    }

    /// Takes the encoder back.
    pub(super) fn check_in(&mut self, encoder: Box<Encoder>) -> Waiters {
        self.deferred.apply(self.encoder.insert(encoder));
        self.reclaim();
        if self.stream.is_none() {
            self.abandon();
        }
        if mem::take(&mut self.wanted) {
            Waiters::Some
        } else {
            Waiters::None
        }
    }

    /// Gives the buffer of an empty queue back to the pool, so that a connection with nothing to
    /// send owns none.
    #[inline]
    fn reclaim(&mut self) {
        let encoder = self.encoder.as_mut();
        if let Some(buffer) = encoder.and_then(|encoder| encoder.reclaim_buffer()) {
            buffer::keep_write_buffer(buffer);
        }
    }

    /// Ready when the encoder is here; otherwise the caller, who has registered, is woken when it is
    /// back.
    #[inline]
    pub(super) fn poll_available(&mut self) -> Poll<()> {
        if self.encoder.is_some() {
            return Poll::Ready(());
        }
        self.wanted = true;
        Poll::Pending
    }

    /// The encoder, unless it is out.
    #[inline]
    pub(super) fn encoder(&mut self) -> Option<&mut Encoder> {
        self.encoder.as_deref_mut()
    }

    /// Queues a message, now or for later, behind what was published before.
    pub(super) fn offer(&mut self, item: SendItem<'_>) -> Result<(), SendError> {
        if !item.is_control() {
            self.hand_out_before()?;
        }
        let result = match &mut self.encoder {
            Some(encoder) if self.deferred.is_empty() => {
                encoder.lend_buffer(buffer::write_buffer);
                item.queue(encoder)
            }
            Some(_) | None => self.deferred.offer(item, self.queue_bytes_max),
        };
        Ok(result?)
    }

    /// Queues something by a function of the owner's, who has made sure that the encoder is
    /// here; behind what was published before.
    #[inline]
    pub(super) fn queue(
        &mut self,
        mut queue: impl FnMut(&mut Encoder) -> Result<(), tidewire_proto::SendError>,
    ) -> Result<(), SendError> {
        self.hand_out_before()?;
        let Some(encoder) = &mut self.encoder else {
            return Err(SendError::Full);
        };
        encoder.lend_buffer(buffer::write_buffer);
        Ok(queue(encoder)?)
    }

    /// Takes an answer, which is never refused.
    pub(super) fn keep(&mut self, kept: DeferredItem) {
        self.deferred.keep(kept);
        self.apply_deferred();
    }

    fn apply_deferred(&mut self) {
        if let Some(encoder) = &mut self.encoder {
            encoder.lend_buffer(buffer::write_buffer);
            self.deferred.apply(encoder);
        }
    }

    /// Answers a control frame. Returns [`Encoder::pings_sent`], to one of which it may be the answer.
    pub(super) fn answer(&mut self, event: &Event<'_>) -> u32 {
        match (&mut self.encoder, event) {
            (Some(encoder), _) => {
                encoder.lend_buffer(buffer::write_buffer);
                encoder.answer(event);
                self.pings_sent = encoder.pings_sent();
                self.reclaim();
            }
            (None, Event::Ping(body)) => self.deferred.keep(DeferredItem::Pinged((*body).into())),
            (None, Event::Close(frame)) => self.deferred.keep(DeferredItem::Closed(frame.clone())),
            (None, _) => {}
        }
        self.pings_sent
    }

    /// See [`Encoder::pings_sent`]; while the encoder is out, when it went.
    pub(super) fn pings_sent(&self) -> u32 {
        let encoder = self.encoder.as_ref();
        encoder.map_or(self.pings_sent, |encoder| encoder.pings_sent())
    }

    /// Returns whether something can still be sent.
    #[inline]
    pub(super) fn check(&self) -> Result<(), SendError> {
        match &self.failed {
            None => Ok(()),
            Some(RecvError::TimedOut) => Err(SendError::TimedOut),
            Some(RecvError::Io(error)) => Err(SendError::Io(Arc::clone(error))),
            Some(RecvError::Protocol(_) | RecvError::Lost) => Err(SendError::Closed),
        }
    }

    /// Returns whether messages can still be sent, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        let open = self
            .encoder
            .as_ref()
            .is_none_or(|encoder| encoder.is_open());
        self.failed.is_none() && open
    }

    /// Returns whether our close frame has been written. Then the end of the stream is an answer to it: there are peers
    /// that know no other.
    pub(super) fn is_close_sent(&self) -> bool {
        let encoder = self.encoder.as_ref();
        self.queued() == 0 && encoder.is_some_and(|it| it.started_close().is_some())
    }

    /// See [`Encoder::started_close`].
    pub(super) fn started_close(&self) -> Option<CloseFrame> {
        self.encoder
            .as_ref()
            .and_then(|encoder| encoder.started_close().cloned())
    }

    /// Returns whether messages may be compressed; `false` while the encoder is elsewhere.
    pub(super) fn is_compressing(&self) -> bool {
        let encoder = self.encoder.as_ref();
        encoder.is_some_and(|encoder| encoder.is_compressing())
    }

    /// Bytes queued, as far as is known.
    #[inline]
    pub(super) fn queued(&self) -> usize {
        let queued = self.encoder.as_ref().map_or(0, |encoder| encoder.queued());
        queued + self.deferred.bytes()
    }

    /// Returns whether much more is queued than when [`memory`](Self::memory) was last looked at.
    pub(super) fn has_grown(&self) -> bool {
        self.queued() > self.counted + COUNTED_STEP
    }

    /// Bytes of memory that are held because the peer does not read.
    pub(super) fn memory(&mut self) -> usize {
        self.counted = self.queued();
        if self.backpressure != Backpressure::Blocked {
            return 0;
        }
        let encoder = self.encoder.as_ref().map_or(0, |encoder| encoder.memory());
        encoder + self.deferred.bytes()
    }

    /// Returns whether the stream has taken all that was queued, and holds nothing back.
    #[inline]
    pub(super) fn is_written(&self) -> bool {
        self.queued() == 0 && !self.unflushed
    }

    pub(super) fn stats(&self) -> Stats {
        let mut stats = self.stats;
        if let Some(encoder) = &self.encoder {
            stats.messages_sent = encoder.messages_sent();
            stats.bytes_sent = encoder.bytes_sent();
        }
        stats
    }

    /// Keeps the counters of the decoder where others can see them.
    #[inline]
    pub(super) fn count(&mut self, decoder: &Decoder) {
        self.stats.messages_received = decoder.messages_received();
        self.stats.bytes_received = decoder.bytes_received();
    }

    /// When something has to happen although nothing arrives.
    #[inline]
    pub(super) fn next_deadline(&self, waiting: Waiting) -> Option<Instant> {
        let encoder = self.encoder.as_ref();
        let encoder = encoder.filter(|it| waiting == Waiting::ToReceive || !it.is_open());
        let protocol = encoder.and_then(|encoder| encoder.poll_timeout());
        let protocol = protocol.map(Instant::from_std);
        protocol
            .into_iter()
            .chain(self.write_deadline)
            .chain(self.deferred.close_deadline())
            .min()
    }

    /// Something was received at `now`.
    #[inline]
    pub(super) fn handle_activity(&mut self, now: Instant) {
        if let Some(encoder) = &mut self.encoder {
            encoder.handle_activity(now.into_std());
        }
    }

    /// Returns whether something should have happened before `now`.
    #[inline]
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        let deadline = self.next_deadline(Waiting::ToReceive);
        deadline.is_some_and(|deadline| now >= deadline)
    }

    /// The time is `now`: does what is due, or gives the peer up.
    pub(super) fn handle_timeout(&mut self, now: Instant, waiting: Waiting) -> PeerState {
        let ours = self.write_deadline.into_iter();
        if ours
            .chain(self.deferred.close_deadline())
            .any(|deadline| now >= deadline)
        {
            return PeerState::GivenUp;
        }
        let Some(encoder) = &mut self.encoder else {
            return PeerState::Alive;
        };
        if waiting == Waiting::ToWrite && encoder.is_open() {
            return PeerState::Alive;
        }
        encoder.lend_buffer(buffer::write_buffer);
        let peer = encoder.handle_timeout(now.into_std());
        self.reclaim();
        peer
    }

    /// Returns whether a slow peer has taken everything since the last call.
    pub(super) fn take_drained(&mut self) -> bool {
        let drained = self.backpressure == Backpressure::Relieved;
        if drained {
            self.backpressure = Backpressure::None;
        }
        drained
    }

    /// Records why the connection ended; the first reason stays.
    pub(super) fn fail(&mut self, error: RecvError) -> RecvError {
        self.failed.get_or_insert(error).clone()
    }

    pub(super) fn failed(&self) -> Option<&RecvError> {
        self.failed.as_ref()
    }

    /// The owner is gone; gives the stream and what was queued, to be dropped: a forgotten sender
    /// must not keep it.
    pub(super) fn abandon(&mut self) -> (Option<S>, Option<Box<Encoder>>) {
        self.leave_all();
        self.failed.get_or_insert(RecvError::Lost);
        self.deferred = Deferred::default();
        self.stats = self.stats();
        (self.stream.take(), self.encoder.take())
    }

    /// Records the outcome of a write attempt; a pending one goes on later.
    #[inline]
    pub(super) fn written(&mut self, written: Poll<WriteResult>) -> Result<(), SendError> {
        match written {
            Poll::Ready(Err(error)) => {
                self.fail(RecvError::Io(Arc::clone(&error)));
                Err(SendError::Io(error))
            }
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> LockedConnection<S> {
    /// Writes all that is queued, if the encoder is here.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<WriteResult> {
        let Some(encoder) = &mut self.encoder else {
            return Poll::Ready(Ok(()));
        };
        if encoder.queued() == 0 && !self.unflushed {
            return Poll::Ready(Ok(()));
        }
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Err(Arc::new(io::ErrorKind::NotConnected.into())));
        };
        while encoder.queued() > 0 {
            let mut parts = [IoSlice::new(&[]); PARTS_MAX];
            let count = encoder.poll_transmit(&mut parts);
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
                    encoder.transmitted(count);
                    self.write_deadline = None;
                    self.deferred.apply(encoder);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Arc::new(error))),
                Poll::Pending => return self.blocked(),
            }
        }
        self.unflushed = true;
        if let Some(buffer) = encoder.reclaim_buffer() {
            buffer::keep_write_buffer(buffer);
        }
        match Pin::new(stream).poll_flush(cx) {
            Poll::Ready(flushed) => {
                self.unflushed = false;
                self.write_deadline = None;
                if self.backpressure == Backpressure::Blocked {
                    self.backpressure = Backpressure::Relieved;
                }
                Poll::Ready(flushed.map_err(Arc::new))
            }
            Poll::Pending => self.blocked(),
        }
    }

    /// The stream takes nothing more for now.
    fn blocked(&mut self) -> Poll<WriteResult> {
        self.backpressure = Backpressure::Blocked;
        if self.write_deadline.is_none() {
            self.write_deadline = Some(after(self.write_timeout));
        }
        Poll::Pending
    }

    /// Reads once; `None` at the end of the stream.
    #[inline]
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

    /// Ends our direction of the stream.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Some(stream) => Pin::new(stream).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}
