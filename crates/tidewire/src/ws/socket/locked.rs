//! The locked part of a [`SharedConnection`](super::SharedConnection): stream, encoder, and what is to be written.
//!
//! In: things to send. Out: bytes to the stream. Invariant: while the encoder is out,
//! nothing is written and what comes is kept in order.

use std::{
    io::{self, IoSlice},
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use tidewire_proto::{CloseFrame, Decoder, Encoder, Event, Stats};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{
    deferred::{Deferred, DeferredItem, SendItem},
    publications::{self, HandedOut, Queue, WRITE_AT},
    timer::after,
};
use crate::{
    net::buffer::{self, ReadBuffer},
    ws::{
        RecvError, SendError,
        topic::{Cursor, Topic},
    },
};

/// Most slices of one vectored write.
const PARTS_MAX: usize = 32;

/// What a write came to.
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

/// What the socket's task waits for.
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
    /// What others wanted to send meanwhile.
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
    pub(super) write_within: Duration,
    /// Where the socket is in the topics it has joined.
    cursors: Vec<Cursor>,
    /// The bound of `deferred`.
    queue_bytes_max: usize,
    /// How long a wish to close may wait in `deferred`.
    close_within: Duration,
    /// Counters of the decoder, and of the encoder when it went out.
    stats: Stats,
}

impl<S> LockedConnection<S> {
    pub(super) fn new(stream: S, encoder: Encoder) -> Self {
        Self {
            stream: Some(stream),
            queue_bytes_max: encoder.config().send_queue_bytes_max,
            close_within: encoder.config().close_within,
            encoder: Some(Box::new(encoder)),
            deferred: Deferred::default(),
            wanted: false,
            backpressure: Backpressure::None,
            pings_sent: 0,
            unflushed: false,
            failed: None,
            write_deadline: None,
            write_within: Duration::from_secs(10),
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

    /// Takes the encoder back; returns whether somebody waits for it.
    pub(super) fn check_in(&mut self, encoder: Box<Encoder>) -> bool {
        self.deferred.apply(self.encoder.insert(encoder));
        self.reclaim();
        if self.stream.is_none() {
            self.abandon();
        }
        mem::take(&mut self.wanted)
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

    /// The socket has joined a topic.
    pub(super) fn join(&mut self, cursor: Cursor) {
        self.cursors.reserve_exact(1);
        self.cursors.push(cursor);
    }

    /// The socket leaves a topic.
    pub(super) fn leave(&mut self, topic: &Topic) {
        self.cursors.retain(|cursor| !cursor.is_of(topic));
    }

    /// The socket leaves all topics.
    pub(super) fn leave_all(&mut self) {
        self.cursors = Vec::new();
    }

    /// Another task waits for publications from now on.
    pub(super) fn forget_task(&mut self) {
        self.cursors.iter_mut().for_each(Cursor::forget_task);
    }

    /// For the task that receives: queues what was published, as far as there is room. It is woken when
    /// there is more.
    #[inline]
    pub(super) fn hand_out(&mut self, waker: &Waker) -> HandedOut {
        if self.cursors.is_empty() {
            return HandedOut::All;
        }
        self.apply_deferred();
        let Some(encoder) = &mut self.encoder else {
            return HandedOut::All;
        };
        if !self.deferred.is_empty() {
            // What others sent before keeps its place; while a message in pieces holds it up, nothing is written
            // that could change that.
            return if encoder.is_fragmenting() {
                HandedOut::All
            } else {
                HandedOut::MoreWaits
            };
        }
        let queue = Queue::Encoder(encoder);
        let handed_out = publications::hand_out(&mut self.cursors, queue, WRITE_AT, Some(waker));
        self.closed_if_too_slow(handed_out)
    }

    /// For who has checked the encoder out: queues in it what others deferred, then what was published.
    pub(super) fn hand_out_into(&mut self, encoder: &mut Encoder, bytes_max: usize) -> HandedOut {
        encoder.lend_buffer(buffer::write_buffer);
        self.deferred.apply(encoder);
        if !self.deferred.is_empty() && !encoder.is_fragmenting() {
            return HandedOut::MoreWaits;
        }
        let queue = Queue::Encoder(encoder);
        publications::hand_out(&mut self.cursors, queue, bytes_max, None)
    }

    /// Before something is sent: queues what was published, so that it is not overtaken.
    #[inline]
    fn hand_out_before(&mut self) -> Result<(), SendError> {
        if self.cursors.is_empty() {
            return Ok(());
        }
        match self.hand_out_for_others(self.queue_bytes_max) {
            HandedOut::All => Ok(()),
            HandedOut::MoreWaits => Err(SendError::Full),
            HandedOut::TooSlow(_) => Err(SendError::Closed),
        }
    }

    fn hand_out_for_others(&mut self, bytes_max: usize) -> HandedOut {
        self.apply_deferred();
        let queue = match &mut self.encoder {
            Some(encoder) if self.deferred.is_empty() => Queue::Encoder(encoder),
            Some(_) | None => Queue::Deferred(&mut self.deferred),
        };
        let handed_out = publications::hand_out(&mut self.cursors, queue, bytes_max, None);
        self.closed_if_too_slow(handed_out)
    }

    fn closed_if_too_slow(&mut self, handed_out: HandedOut) -> HandedOut {
        if let HandedOut::TooSlow(end) = &handed_out {
            self.close_now(end.clone());
        }
        handed_out
    }

    /// Starts the closing handshake. What was published before goes out first, as far as there is room.
    pub(super) fn close(&mut self, frame: CloseFrame) {
        if !self.cursors.is_empty() {
            let _as_far_as_there_is_room = self.hand_out_for_others(WRITE_AT);
        }
        self.close_now(frame);
    }

    fn close_now(&mut self, frame: CloseFrame) {
        self.deferred.close(frame, after(self.close_within));
        self.apply_deferred();
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

    /// Whether messages can still be sent, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        let open = self
            .encoder
            .as_ref()
            .is_none_or(|encoder| encoder.is_open());
        self.failed.is_none() && open
    }

    /// See [`Encoder::started_close`].
    pub(super) fn started_close(&self) -> Option<CloseFrame> {
        self.encoder
            .as_ref()
            .and_then(|encoder| encoder.started_close().cloned())
    }

    /// Bytes queued, as far as is known.
    #[inline]
    pub(super) fn queued(&self) -> usize {
        let queued = self.encoder.as_ref().map_or(0, |encoder| encoder.queued());
        queued + self.deferred.bytes()
    }

    /// Whether the stream has taken all that was queued, and holds nothing back.
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

    /// Whether something should have happened before `now`.
    #[inline]
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        let deadline = self.next_deadline(Waiting::ToReceive);
        deadline.is_some_and(|deadline| now >= deadline)
    }

    /// The time is `now`: does what is due; returns whether the peer is to be given up.
    pub(super) fn handle_timeout(&mut self, now: Instant, waiting: Waiting) -> bool {
        let ours = self.write_deadline.into_iter();
        if ours
            .chain(self.deferred.close_deadline())
            .any(|deadline| now >= deadline)
        {
            return true;
        }
        let Some(encoder) = &mut self.encoder else {
            return false;
        };
        if waiting == Waiting::ToWrite && encoder.is_open() {
            return false;
        }
        encoder.lend_buffer(buffer::write_buffer);
        let over = encoder.handle_timeout(now.into_std());
        self.reclaim();
        over
    }

    /// Whether a slow peer has taken everything since the last call.
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

    /// What a write attempt came to; a pending one goes on later.
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
            self.write_deadline = Some(after(self.write_within));
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
