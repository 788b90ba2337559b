//! What the driver does when it is polled: handle what was read, write, read, wait.
//!
//! In: readiness of the stream, time, publications of topics. Out: what was received. Invariant:
//! whenever a poll function is pending, the task is woken by the stream, by the next deadline, by
//! the topics and by whoever closes the connection from elsewhere.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tidewire_proto::{Encoder, Event, Message};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{
    Ending, Incoming, LastControl, WebSocket,
    controls::Control,
    cork,
    deferred::DeferredItem,
    locked::{LockedConnection, Waiting},
};
use crate::ws::{Membership, RecvError, SendError, topic::Taken};

/// Queued bytes from which on a batch is written although it is not through.
pub(super) const WRITE_AT: usize = 64 << 10;

/// After a read that brought nothing for the application, other tasks have their turn. A peer that
/// sends nothing but empty fragments or pings would otherwise have 128 (tokio's budget), and millions of
/// frames, before anybody else.
pub(super) const READS_MAX: u32 = 1;

/// After so many control frames, likewise.
const CONTROLS_MAX: u32 = 256;

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> WebSocket<S> {
    /// [`recv`](Self::recv) as a poll function.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    #[inline]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, RecvError>> {
        for _ in 0..CONTROLS_MAX {
            match ready!(self.poll_recv_any(cx))? {
                Some(Incoming::Message(message)) => return Poll::Ready(Ok(Some(message))),
                Some(Incoming::Ping(_) | Incoming::Pong(_) | Incoming::Closing(_)) => {}
                None => return Poll::Ready(Ok(None)),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// [`recv_any`](Self::recv_any) as a poll function.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    #[inline]
    pub fn poll_recv_any(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Incoming>, RecvError>> {
        let mut reads = 0;
        loop {
            if self.inner.ending != Ending::No {
                return self.poll_end(cx);
            }
            if let Some(error) = &self.inner.failed {
                return Poll::Ready(Err(error.clone()));
            }
            if let Some(incoming) = self.next_buffered() {
                return Poll::Ready(Ok(Some(incoming)));
            }
            if self.inner.ending == Ending::No {
                if reads == READS_MAX {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                reads += 1;
                ready!(self.poll_input(cx))?;
            }
        }
    }

    /// The next thing in the bytes already read.
    #[inline]
    fn next_buffered(&mut self) -> Option<Incoming> {
        let input = self.inner.input.as_mut()?;
        if let Some((used, message)) = self.inner.decoder.receive_whole(input.unread_mut()) {
            let message = message.to_message();
            input.handled(used);
            if input.unread().is_empty() {
                self.inner.input = None;
            }
            return Some(Incoming::Message(message));
        }
        self.next_unusual()
    }

    /// The next thing in the bytes already read, when it is no small whole message.
    fn next_unusual(&mut self) -> Option<Incoming> {
        let input = self.inner.input.as_mut()?;
        let mut found = None;
        while found.is_none() && !input.unread().is_empty() {
            let (used, event) = self.inner.decoder.receive(input.unread_mut());
            let broken = match event {
                Ok(Some(Event::Message(message))) => {
                    found = Some(Incoming::Message(message.to_message()));
                    None
                }
                Ok(Some(event)) => {
                    let control = Control::of(&event);
                    let pings_sent = self.inner.shared.lock().answer(&event);
                    found = match event {
                        Event::Ping(body) => Some(Incoming::Ping(Bytes::copy_from_slice(body))),
                        Event::Pong(body) => Some(Incoming::Pong(Bytes::copy_from_slice(body))),
                        Event::Close(frame) => {
                            self.inner.last_control = LastControl::close(frame.clone());
                            Some(Incoming::Closing(frame))
                        }
                        Event::Message(_) | Event::Chunk(_) | _ => None,
                    };
                    let (answered, decoder) = (&mut self.inner.answered, &mut self.inner.decoder);
                    control.and_then(|it| answered.count(it, pings_sent, decoder).err())
                }
                Ok(None) => None,
                Err(error) => Some(error),
            };
            if let Some(error) = broken {
                self.inner.shared.lock().keep(DeferredItem::Failed(error));
                self.inner.failed = Some(RecvError::Protocol(error));
                found = Some(Incoming::Closing(None));
            }
            input.handled(used);
        }
        self.after_events();
        found
    }

    /// Gives the read buffer back when it has been handled; begins the end when the protocol is
    /// through.
    #[inline]
    pub(super) fn after_events(&mut self) {
        if self.inner.decoder.is_finished() {
            self.begin_end();
            return;
        }
        self.inner.decoder.settle();
        if self
            .inner
            .input
            .as_ref()
            .is_some_and(|input| input.unread().is_empty())
        {
            self.inner.input = None;
        }
    }

    /// Everything read has been handled: one write for all answers, then the next read. Ready when
    /// there is something new to look at.
    pub(super) fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RecvError>> {
        self.register(cx);
        let mut locked = self.inner.shared.lock();
        locked.count(&self.inner.decoder);
        if let Some(error) = locked.failed().cloned() {
            drop(locked);
            return Poll::Ready(Err(self.fail(error)));
        }
        if locked.want() {
            return Poll::Pending;
        }
        loop {
            let more = hand_out(&mut self.inner.memberships, &mut locked, cx);
            match self.inner.shared.poll_write(&mut locked, cx) {
                Poll::Ready(Ok(())) if more => {}
                Poll::Ready(Ok(())) | Poll::Pending => break,
                Poll::Ready(Err(error)) => {
                    drop(locked);
                    return Poll::Ready(Err(self.fail(RecvError::Io(error))));
                }
            }
        }
        let read = locked.poll_read(cx, self.inner.busy);
        if let Poll::Ready(Ok(Some(input))) = read {
            let now = Instant::now();
            locked.handle_activity(now);
            // A peer that floods must not keep the connection: then the timer is never looked at.
            let overdue = locked.is_overdue(now);
            drop(locked);
            self.inner.read_at = cork::number(&self.inner.shared).map(|turn| (now, turn));
            self.inner.busy = input.is_full() || (self.inner.busy && input.unread().len() > 4096);
            self.inner.input = Some(input);
            if overdue {
                self.handle_timeout(cx, now, Waiting::ToReceive);
            }
            return Poll::Ready(Ok(()));
        }
        let deadline = locked.next_deadline(Waiting::ToReceive);
        drop(locked);
        match read {
            Poll::Ready(Ok(_ended)) => Poll::Ready(Err(self.fail(RecvError::Lost))),
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.fail(RecvError::Io(Arc::new(error))))),
            Poll::Pending if self.poll_due(cx, deadline, Waiting::ToReceive) => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Makes this task the one that is woken. What knows another one is told, whether it is looked
    /// at in this poll or not: the next one sees no change any more.
    #[inline]
    pub(super) fn register(&mut self, cx: &Context<'_>) {
        let same_task = self
            .inner
            .registered
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()));
        if !same_task {
            self.inner.registered = Some(cx.waker().clone());
            self.inner.shared.register_reader(cx.waker());
            self.inner.timer.forget_task();
            let memberships = self.inner.memberships.iter_mut();
            memberships.for_each(Membership::forget_task);
        }
    }

    /// Queues something and writes it, unless it may wait for the rest of the batch.
    #[inline]
    pub(super) fn poll_queue(
        &mut self,
        cx: &mut Context<'_>,
        mut queue: impl FnMut(&mut Encoder) -> Result<(), tidewire_proto::SendError>,
    ) -> Poll<Result<(), SendError>> {
        if self.inner.input.is_some()
            && cork::is_of(&self.inner.shared)
            && let Some((Ok(()), queued)) = cork::hold(&self.inner.shared, |encoder| {
                (queue(encoder), encoder.queued())
            })
        {
            if queued >= WRITE_AT {
                self.inner.shared.end_turn(cx);
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
            let mut locked = self.inner.shared.lock();
            locked.check()?;
            if locked.want() {
                drop(locked);
                self.register(cx);
                // It may have come back before this task could be woken for it.
                if self.inner.shared.lock().want() {
                    return Poll::Pending;
                }
                continue;
            }
            match locked.queue(&mut queue) {
                Ok(()) => {
                    let written = self.inner.shared.poll_write(&mut locked, cx);
                    return Poll::Ready(locked.written(written));
                }
                Err(SendError::Full) => {
                    let queued = locked.queued();
                    drop(locked);
                    match self.poll_flush(cx) {
                        Poll::Ready(flushed) => flushed?,
                        // A part of the queue was written: there may be room now.
                        Poll::Pending if self.inner.shared.lock().queued() < queued => {}
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
        let mut locked = self.inner.shared.lock();
        if let Some(error) = locked.failed().cloned() {
            drop(locked);
            return Poll::Ready(Err(self.fail(error)));
        }
        if locked.want() {
            return Poll::Pending;
        }
        drop(locked);
        ready!(self.poll_flush(cx)).ok(); // a failure is seen by the next look
        Poll::Ready(Ok(()))
    }

    /// [`flush`](Self::flush) as a poll function.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        if self.inner.shared.lock().is_written() {
            return Poll::Ready(Ok(()));
        }
        // Before the write is tried: another task's try must not make this one miss its wake.
        self.register(cx);
        loop {
            let mut locked = self.inner.shared.lock();
            locked.check()?;
            if locked.want() {
                return Poll::Pending;
            }
            let written = self.inner.shared.poll_write(&mut locked, cx);
            if written.is_ready() {
                return Poll::Ready(locked.written(written));
            }
            let deadline = locked.next_deadline(Waiting::ToWrite);
            drop(locked);
            if !self.poll_due(cx, deadline, Waiting::ToWrite) {
                return Poll::Pending;
            }
            if self.inner.failed.is_some() {
                return Poll::Ready(Err(SendError::TimedOut));
            }
        }
    }

    /// Does what is due; true when something was done and the caller should look again.
    /// Otherwise the task is woken at `deadline`, or before.
    fn poll_due(
        &mut self,
        cx: &mut Context<'_>,
        deadline: Option<Instant>,
        waiting: Waiting,
    ) -> bool {
        let Some(deadline) = deadline else {
            return false;
        };
        // A time in this very poll of the task tells what the timer knows, without a look at it.
        let turn = cork::number(&self.inner.shared);
        let read_at = self.inner.read_at.take();
        let now = read_at.and_then(|(now, read_in)| (Some(read_in) == turn).then_some(now));
        if self.inner.timer.poll(cx, deadline, now).is_pending() {
            return false;
        }
        // It may have fired early, for what has moved since: then it is set anew.
        self.handle_timeout(cx, Instant::now(), waiting);
        true
    }

    fn handle_timeout(&mut self, cx: &mut Context<'_>, now: Instant, waiting: Waiting) {
        let mut locked = self.inner.shared.lock();
        if locked.handle_timeout(now, waiting) {
            // The last word, if the system takes it at once.
            let _last_word = self.inner.shared.poll_write(&mut locked, cx);
            drop(locked);
            self.fail(RecvError::TimedOut);
        }
    }

    pub(super) fn fail(&mut self, error: RecvError) -> RecvError {
        self.inner.input = None;
        self.inner.memberships = Vec::new();
        let error = self.inner.shared.lock().fail(error);
        self.inner.failed.get_or_insert(error).clone()
    }
}

/// Queues what was published to the topics this socket is a member of, as far as there is room;
/// returns whether there may be more.
#[inline]
pub(super) fn hand_out<S: AsyncRead + AsyncWrite + Unpin>(
    memberships: &mut [Membership],
    locked: &mut LockedConnection<S>,
    cx: &Context<'_>,
) -> bool {
    let mut more = false;
    for member in memberships {
        loop {
            let Some(encoder) = locked.encoder() else {
                return false;
            };
            if !encoder.is_open() || encoder.is_fragmenting() {
                return false;
            }
            if encoder.queued() >= WRITE_AT {
                more = true;
                break;
            }
            match member.take(cx.waker()) {
                Taken::Nothing => break,
                Taken::Frames(frames, count) => locked.publication(&frames, count),
                Taken::TooSlow(end) => {
                    locked.close(end);
                    return false;
                }
            }
        }
    }
    more
}
