//! What happens when a socket is polled: decode what was read, write, read, wait.
//!
//! In: readiness of the stream, time, publications of topics. Out: what was received, through the sink
//! of whoever receives. Invariant: whenever a poll function is pending, the task is woken by the stream, by
//! the next deadline, by the topics and by whoever closes the connection from elsewhere.

mod room; // the end of a connection that holds too much

use std::{
    mem,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use tidewire_proto::{CloseCode, CloseFrame, Connection, Encoder, PeerState, ProtocolError};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{
    chunks::IncomingChunk,
    cork,
    ending::Ending,
    held::Held,
    locked::Waiting,
    publications::{HandedOut, WRITE_AT},
    receiver::Receiver,
    shared::SharedConnection,
};
use crate::{
    net::timer::{Timer, after},
    ws::{
        RecvError, Request, SendError,
        topic::{Membership, Topic},
    },
};
use room::Room;

/// After a read that brought nothing for the application, other tasks have their turn. A peer that
/// sends nothing but empty fragments would otherwise have 128 (tokio's budget), and millions of
/// frames, before anybody else.
const READS_MAX: u32 = 1;

/// A connection, as the task that owns it drives it.
pub(super) struct Driver<S> {
    pub(super) shared: Arc<SharedConnection<S>>,
    pub(super) receiver: Receiver,
    /// Memory that the peer makes us hold.
    memory: Held,
    ending: Ending,
    timer: Timer,
    /// When something was last read, and in which poll of the task.
    read_at: Option<(Instant, u64)>,
    /// The task that is woken by the connection and the timer; while it is the same, they need no
    /// polling.
    registered: Option<Waker>,
    /// Boxed: most connections have none of it.
    seldom: Option<Box<Seldom>>,
    pub(super) memberships: Vec<Membership>,
    /// Until something is received, so that an idle connection does not hold it. Boxed: it is small, and seldom there.
    pub(super) request: Option<Box<Request>>,
}

/// State that is there at a connection's end, or between pieces of a message.
#[derive(Default)]
struct Seldom {
    /// Why the connection is over, apart from the protocol's end.
    failed: Option<RecvError>,
    /// A ping or pong behind the piece of a message that was handed out last.
    control: Option<IncomingChunk>,
}

/// The outcome of one look at the bytes already read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decoded<T> {
    /// Something for the application to return with.
    Found(T),
    /// Everything was handled, and the application was given some of it.
    Delivered,
    /// Everything was handled, and nothing of it was for the application.
    Exhausted,
    /// Too much is queued: the peer must take it before more of its own is handled.
    Full,
    /// The encoder is checked out, or others' messages wait to be queued first.
    Waiting,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Driver<S> {
    /// Drives `connection` over `stream`, right after the handshake. `leftover` is what was read
    /// behind it.
    pub(super) fn new(stream: S, connection: Connection, leftover: Vec<u8>) -> Self {
        let (decoder, encoder) = connection.split();
        Self {
            shared: Arc::new(SharedConnection::new(stream, encoder)),
            receiver: Receiver::new(decoder, leftover),
            memory: Held::default(),
            ending: Ending::No,
            timer: Timer::default(),
            read_at: None,
            registered: None,
            seldom: None,
            memberships: Vec::new(),
            request: None,
        }
    }

    /// Why the connection is over, apart from the protocol's end.
    pub(super) fn failed(&self) -> Option<&RecvError> {
        self.seldom
            .as_ref()
            .and_then(|seldom| seldom.failed.as_ref())
    }

    /// Receives until `decode` has found something; `None` once the connection was closed properly by
    /// both ends. `decode` looks at the bytes already read, whenever there may be more of them, and is
    /// told when the peer was slow and has now taken everything.
    ///
    /// # Errors
    /// [`RecvError`]; later calls return it again.
    #[inline]
    pub(super) fn poll_receive<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut decode: impl FnMut(&mut Self, bool) -> Decoded<T>,
    ) -> Poll<Result<Option<T>, RecvError>> {
        let decoded = self.decode(&mut decode, false);
        if let Decoded::Found(found) = decoded {
            return Poll::Ready(Ok(Some(found)));
        }
        self.poll_receive_more(cx, decode, decoded)
    }

    /// Decodes once, and begins the end when the protocol is through.
    #[inline]
    fn decode<T>(
        &mut self,
        decode: &mut impl FnMut(&mut Self, bool) -> Decoded<T>,
        drained: bool,
    ) -> Decoded<T> {
        let decoded = decode(self, drained);
        let bytes = self.receiver.decoder.memory();
        if self.memory.message(bytes, &self.shared).is_err() {
            self.give_up(ProtocolError::MemoryExhausted);
        }
        if self.receiver.decoder.is_finished() {
            self.begin_end();
        }
        decoded
    }

    /// The rest of [`poll_receive`](Self::poll_receive), when what was read before has brought nothing:
    /// apart, so that the usual way through a batch stays short.
    #[inline(never)]
    fn poll_receive_more<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut decode: impl FnMut(&mut Self, bool) -> Decoded<T>,
        mut decoded: Decoded<T>,
    ) -> Poll<Result<Option<T>, RecvError>> {
        self.request = None;
        let mut reads = 0;
        let mut drained = false;
        loop {
            if let Decoded::Found(found) = decoded {
                return Poll::Ready(Ok(Some(found)));
            }
            if self.ending.has_begun() {
                ready!(self.poll_end(cx));
                return Poll::Ready(self.failed().cloned().map_or(Ok(None), Err));
            }
            if let Some(error) = self.failed() {
                return Poll::Ready(Err(error.clone()));
            }
            match decoded {
                Decoded::Full => {
                    if ready!(self.poll_flush(cx)).is_err() && self.failed().is_none() {
                        let error = self.shared.lock().failed().cloned();
                        self.fail(error.unwrap_or(RecvError::Lost));
                    }
                }
                Decoded::Waiting => ready!(self.poll_behind_others(cx))?,
                Decoded::Delivered | Decoded::Exhausted | Decoded::Found(_) => {
                    if matches!(decoded, Decoded::Delivered) {
                        reads = 0;
                    }
                    if reads == READS_MAX {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    match self.poll_input(cx, &mut drained) {
                        Poll::Ready(input) => {
                            input?;
                            reads += 1;
                        }
                        Poll::Pending if drained => {}
                        Poll::Pending => return Poll::Pending,
                    }
                }
            }
            decoded = self.decode(&mut decode, mem::take(&mut drained));
        }
    }

    /// The protocol is through, by a close frame or by a broken rule.
    fn begin_end(&mut self) {
        if self.ending.has_begun() {
            return;
        }
        if let Some(error) = self.receiver.decoder.failure() {
            let failed = &mut self.seldom.get_or_insert_default().failed;
            failed.get_or_insert(RecvError::Protocol(error));
        }
        self.ending = Ending::Writing {
            deadline: after(self.receiver.decoder.config().close_timeout),
        };
        self.timer.unset();
        self.receiver.discard_input();
        self.receiver.decoder.settle();
        let _shrunk = self.memory.message(0, &self.shared);
        self.leave_all();
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.register(cx);
        self.ending.poll(cx, &self.shared, &mut self.timer)
    }

    /// Everything read has been handled: one write for all answers, then the next read. Ready when
    /// there is something new to look at. `drained` is set when the peer was slow and has now been sent
    /// all that was queued.
    fn poll_input(
        &mut self,
        cx: &mut Context<'_>,
        drained: &mut bool,
    ) -> Poll<Result<(), RecvError>> {
        self.register(cx);
        let mut locked = self.shared.lock();
        locked.count(&self.receiver.decoder);
        if let Some(error) = locked.failed().cloned() {
            drop(locked);
            return Poll::Ready(Err(self.fail(error)));
        }
        ready!(locked.poll_available());
        loop {
            let handed_out = locked.hand_out(cx.waker());
            match self.shared.poll_write(&mut locked, cx) {
                Poll::Ready(Ok(())) if matches!(handed_out, HandedOut::MoreWaits) => {}
                Poll::Ready(Ok(())) | Poll::Pending => break,
                Poll::Ready(Err(error)) => {
                    drop(locked);
                    return Poll::Ready(Err(self.fail(RecvError::Io(error))));
                }
            }
        }
        *drained = locked.take_drained();
        let read = locked.poll_read(cx, self.receiver.is_busy());
        if let Poll::Ready(Ok(Some(input))) = read {
            let now = Instant::now();
            locked.handle_activity(now);
            // A peer that floods must not keep the connection: then the timer is never looked at.
            let overdue = locked.is_overdue(now);
            drop(locked);
            self.read_at = cork::number(self.shared.key()).map(|poll| (now, poll));
            self.receiver.fill(input);
            if overdue {
                self.handle_timeout(cx, now, Waiting::ToReceive);
            }
            return Poll::Ready(Ok(()));
        }
        let deadline = locked.next_deadline(Waiting::ToReceive);
        let memory = locked.memory();
        let is_close_sent = locked.is_close_sent();
        drop(locked);
        if self.count_queue(memory) == Room::None {
            return Poll::Ready(Ok(()));
        }
        match read {
            Poll::Ready(Ok(_ended)) if is_close_sent => {
                self.begin_end();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(_ended)) => Poll::Ready(Err(self.fail(RecvError::Lost))),
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.fail(RecvError::Io(Arc::new(error))))),
            Poll::Pending => {
                let message = self.memory.due(&self.receiver.decoder);
                let deadline = deadline.into_iter().chain(message).min();
                self.poll_due(cx, deadline, Waiting::ToReceive).map(Ok)
            }
        }
    }

    /// Makes this task the one that is woken. What knows another one is told, whether it is looked
    /// at in this poll or not: the next one sees no change any more.
    #[inline]
    pub(super) fn register(&mut self, cx: &Context<'_>) {
        let same_task = self
            .registered
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()));
        if !same_task {
            self.registered = Some(cx.waker().clone());
            self.shared.register_reader(cx.waker());
            self.timer.forget_task();
            if !self.memberships.is_empty() {
                self.shared.lock().forget_task();
            }
        }
    }

    /// Queues something and writes it, unless it may wait for the rest of the batch.
    #[inline]
    pub(super) fn poll_queue(
        &mut self,
        cx: &mut Context<'_>,
        mut queue: impl FnMut(&mut Encoder) -> Result<(), tidewire_proto::SendError>,
    ) -> Poll<Result<(), SendError>> {
        if self.receiver.has_input()
            && cork::is_of(self.shared.key())
            && let Some((Ok(()), queued)) = self.shared.with_corked(|encoder| {
                let before = self.shared.hand_out_before(&mut self.memberships, encoder);
                let queued = before.and_then(|()| queue(encoder));
                (queued, encoder.queued())
            })
        {
            if queued >= WRITE_AT {
                self.shared.uncork(cx);
            }
            return Poll::Ready(Ok(()));
        }
        self.poll_queue_and_write(cx, queue)
    }

    fn poll_queue_and_write(
        &mut self,
        cx: &mut Context<'_>,
        mut queue: impl FnMut(&mut Encoder) -> Result<(), tidewire_proto::SendError>,
    ) -> Poll<Result<(), SendError>> {
        loop {
            let mut locked = self.shared.lock();
            locked.check()?;
            if locked.poll_available().is_pending() {
                drop(locked);
                self.register(cx);
                // It may have come back before this task could be woken for it.
                ready!(self.shared.lock().poll_available());
                continue;
            }
            match locked.queue(&mut queue) {
                Ok(()) => {
                    let written = self.shared.poll_write(&mut locked, cx);
                    return Poll::Ready(locked.written(written));
                }
                Err(SendError::Full) => {
                    let queued = locked.queued();
                    drop(locked);
                    match self.poll_flush(cx) {
                        Poll::Ready(flushed) => flushed?,
                        // A part of the queue was written: there may be room now.
                        Poll::Pending if self.shared.lock().queued() < queued => {}
                        Poll::Pending => return Poll::Pending,
                    }
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// The encoder was not to be had: waits until it is, or until what others sent before has
    /// been written.
    pub(super) fn poll_behind_others(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), RecvError>> {
        self.register(cx);
        let mut locked = self.shared.lock();
        if let Some(error) = locked.failed().cloned() {
            drop(locked);
            return Poll::Ready(Err(self.fail(error)));
        }
        ready!(locked.poll_available());
        drop(locked);
        ready!(self.poll_flush(cx)).ok(); // a failure is seen by the next look
        Poll::Ready(Ok(()))
    }

    /// See [`WebSocket::flush`](super::WebSocket::flush).
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        if self.shared.lock().is_written() {
            return Poll::Ready(Ok(()));
        }
        // Before the write is tried: another task's try must not make this one miss its wake.
        self.register(cx);
        loop {
            let mut locked = self.shared.lock();
            locked.check()?;
            ready!(locked.poll_available());
            let written = self.shared.poll_write(&mut locked, cx);
            if written.is_ready() {
                return Poll::Ready(locked.written(written));
            }
            let deadline = locked.next_deadline(Waiting::ToWrite);
            let memory = locked.memory();
            drop(locked);
            if self.count_queue(memory) == Room::None {
                return Poll::Ready(Err(SendError::Closed));
            }
            ready!(self.poll_due(cx, deadline, Waiting::ToWrite));
            if self.failed().is_some() {
                return Poll::Ready(Err(SendError::TimedOut));
            }
        }
    }

    /// Does what is due; ready when something was done and the caller should look again.
    /// Otherwise the task is woken at `deadline`, or before.
    fn poll_due(
        &mut self,
        cx: &mut Context<'_>,
        deadline: Option<Instant>,
        waiting: Waiting,
    ) -> Poll<()> {
        let Some(deadline) = deadline else {
            return Poll::Pending;
        };
        // A time in this very poll of the task tells what the timer knows, without a look at it.
        let poll = cork::number(self.shared.key());
        let read_at = self.read_at.take();
        let now = read_at.and_then(|(now, read_in)| (Some(read_in) == poll).then_some(now));
        ready!(self.timer.poll(cx, deadline, now));
        // It may have fired early, for what has moved since: then it is set anew.
        self.handle_timeout(cx, Instant::now(), waiting);
        Poll::Ready(())
    }

    fn handle_timeout(&mut self, cx: &mut Context<'_>, now: Instant, waiting: Waiting) {
        // A message that is not read cannot go on.
        if waiting == Waiting::ToReceive && self.memory.is_stalled(&self.receiver.decoder, now) {
            self.give_up(ProtocolError::MessageStalled);
            return;
        }
        let mut locked = self.shared.lock();
        if locked.handle_timeout(now, waiting) == PeerState::GivenUp {
            // The last word, if the system takes it at once.
            let _last_word = self.shared.poll_write(&mut locked, cx);
            drop(locked);
            self.fail(RecvError::TimedOut);
        }
    }

    /// See [`WebSocket::start_close`](super::WebSocket::start_close).
    pub(super) fn start_close(&mut self, code: CloseCode, reason: &str) {
        self.shared.lock().close(CloseFrame::new(code, reason));
        self.shared.wake_senders();
    }

    /// See [`WebSocket::join`](super::WebSocket::join).
    pub(super) fn join(&mut self, topic: &Topic) {
        if self.memberships.iter().all(|member| !member.is_of(topic)) {
            self.memberships.reserve_exact(1);
            let (membership, cursor) = topic.join();
            self.memberships.push(membership);
            self.shared.lock().join(cursor);
        }
    }

    /// See [`WebSocket::leave`](super::WebSocket::leave).
    pub(super) fn leave(&mut self, topic: &Topic) {
        self.memberships.retain(|member| !member.is_of(topic));
        self.shared.lock().leave(topic);
    }

    fn leave_all(&mut self) {
        if !self.memberships.is_empty() {
            self.memberships = Vec::new();
            self.shared.lock().leave_all();
        }
    }

    pub(super) fn fail(&mut self, error: RecvError) -> RecvError {
        self.receiver.discard_input();
        self.leave_all();
        let error = self.shared.lock().fail(error);
        let failed = &mut self.seldom.get_or_insert_default().failed;
        failed.get_or_insert(error).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::Driver;
    use crate::net::Stream;

    #[test]
    fn the_driver_of_an_idle_connection_stays_in_its_class_of_allocations() {
        assert!(
            size_of::<Driver<Stream>>() <= 384,
            "{}",
            size_of::<Driver<Stream>>()
        );
    }
}
