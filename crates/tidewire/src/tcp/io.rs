//! [`Io`]: a connection, as the task that owns it drives it.
//!
//! In: readiness of the stream, time, what others queue and broadcast. Out: bytes received. Invariant: whenever a
//! poll function is pending, the task is woken by the stream, by the next deadline, and by whoever queues something
//! or wants the connection to end.

use std::{
    io,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{
    Broadcaster, Config, RecvError, SendError,
    queue::SendQueue,
    shared::{End, Shared},
};
use crate::{
    broadcast::{Cursor, NextSegment},
    net::{
        buffer::ReadBuffer,
        timer::{Timer, after},
    },
};

/// Queued bytes from which on nothing more is read, and no more of what is broadcast is taken.
pub(super) const WRITE_AT: usize = 64 << 10;

/// A read of at least so many bytes is followed by one into a large buffer.
const BUSY_AT: usize = 4 << 10;

#[derive(Debug)]
pub(super) struct Io<S> {
    stream: S,
    pub(super) shared: Arc<Shared>,
    pub(super) config: Arc<Config>,
    /// Bytes that wait to be written, in front of what others have queued since the last look.
    out: SendQueue,
    /// The place in what a server broadcasts.
    cursor: Option<Cursor>,
    /// Bytes read and not handed out.
    input: Option<ReadBuffer>,
    is_busy: bool,
    /// The stream may hold bytes that it took.
    is_unflushed: bool,
    /// The peer's direction has ended.
    pub(super) input_ended: bool,
    output: Output,
    end: Option<End>,
    failed: Option<RecvError>,
    /// The task that is woken.
    registered: Option<Waker>,
    timer: Timer,
    /// Until when the peer must take something.
    write_deadline: Option<Instant>,
    /// When something was last received or sent, where that matters.
    active_at: Option<Instant>,
}

/// How far our direction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Open,
    /// To be ended behind what is queued.
    Ending,
    Ended,
}

impl<S> Io<S> {
    pub(super) fn new(
        stream: S,
        shared: Arc<Shared>,
        config: Arc<Config>,
        cursor: Option<Cursor>,
    ) -> Self {
        let active_at = config.idle_timeout.map(|_limit| Instant::now());
        Self {
            stream,
            shared,
            config,
            out: SendQueue::default(),
            cursor,
            input: None,
            is_busy: false,
            is_unflushed: false,
            input_ended: false,
            output: Output::Open,
            end: None,
            failed: None,
            registered: None,
            timer: Timer::default(),
            write_deadline: None,
            active_at,
        }
    }

    /// Bytes that wait to be written here.
    pub(super) fn queued(&self) -> usize {
        self.out.len()
    }

    /// Returns a handle to broadcast by, of a server's session.
    pub(super) fn broadcaster(&self) -> Option<Broadcaster> {
        let cursor = self.cursor.as_ref()?;
        Some(Broadcaster::new(cursor.broadcast()))
    }

    /// How others want it to end.
    pub(super) fn end(&self) -> Option<End> {
        self.end
    }

    /// Returns whether our direction has ended, behind everything that was queued.
    pub(super) fn is_output_ended(&self) -> bool {
        self.output == Output::Ended
    }

    pub(super) fn stream(&self) -> &S {
        &self.stream
    }

    pub(super) fn failed(&self) -> Option<&RecvError> {
        self.failed.as_ref()
    }

    /// The connection is over, for this reason.
    pub(super) fn fail(&mut self, error: RecvError) -> RecvError {
        let error = self.failed.get_or_insert(error).clone();
        self.shared.fail(error.clone());
        self.out.clear();
        self.input = None;
        self.cursor = None;
        error
    }

    /// Queues a copy.
    #[inline]
    pub(super) fn queue_slice(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        self.check_room(bytes.len())?;
        self.out.push_slice(bytes);
        Ok(())
    }

    /// Queues shared bytes.
    pub(super) fn queue(&mut self, bytes: Bytes) -> Result<(), SendError> {
        self.check_room(bytes.len())?;
        self.out.push(bytes);
        Ok(())
    }

    /// Counts `len` bytes to be queued, if there is room, behind what others have queued before.
    #[inline]
    fn check_room(&mut self, len: usize) -> Result<(), SendError> {
        if self.shared.has_news() {
            self.take_news();
        }
        if self.output != Output::Open || self.end.is_some() || self.failed.is_some() {
            return Err(SendError::Closed);
        }
        let queued = self.shared.queued.load(Ordering::Relaxed);
        if queued > 0 && queued.saturating_add(len) > self.config.send_queue_bytes_max {
            return Err(SendError::Full);
        }
        self.shared.queued.fetch_add(len, Ordering::Relaxed);
        Ok(())
    }

    fn take_news(&mut self) {
        if let Some(end) = self.shared.take_news(&mut self.out) {
            self.end = Some(end);
        }
    }

    /// Nothing is queued from now on; what is, and what was broadcast before, goes out, then our direction ends.
    pub(super) fn end_output(&mut self) {
        if self.shared.has_news() {
            self.take_news();
        }
        if self.output != Output::Open || self.failed.is_some() {
            return;
        }
        if self.take_broadcast(None, usize::MAX).is_ok() {
            self.output = Output::Ending;
            self.shared.close();
        }
    }

    /// Makes this task the one that is woken.
    #[inline]
    fn register(&mut self, cx: &Context<'_>) {
        let is_same = self
            .registered
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()));
        if !is_same {
            self.registered = Some(cx.waker().clone());
            self.shared.register_owner(cx.waker());
            self.timer.forget_task();
            if let Some(cursor) = &mut self.cursor {
                cursor.forget_task();
            }
        }
    }

    /// Takes what others have queued, and what was broadcast, as far as there is room.
    #[inline]
    fn collect(&mut self, cx: &Context<'_>) -> Result<(), RecvError> {
        if self.shared.has_news() {
            self.take_news();
        }
        if self.end == Some(End::Aborted) {
            return Err(self.fail(RecvError::Aborted));
        }
        if self.output != Output::Open {
            return Ok(());
        }
        self.take_broadcast(Some(cx.waker()), WRITE_AT)
    }

    /// Takes what was broadcast until so many bytes are queued. With a waker, that of the task that owns the
    /// connection, this is woken by the next broadcast.
    #[inline]
    fn take_broadcast(
        &mut self,
        waker: Option<&Waker>,
        queued_max: usize,
    ) -> Result<(), RecvError> {
        while let Some(cursor) = &mut self.cursor
            && self.out.len() < queued_max
        {
            match cursor.take_next(waker) {
                NextSegment::Nothing => break,
                NextSegment::Messages(bytes, _count) => {
                    self.shared.queued.fetch_add(bytes.len(), Ordering::Relaxed);
                    self.out.push(bytes);
                }
                NextSegment::Missed => return Err(self.fail(RecvError::TooSlow)),
            }
        }
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Io<S> {
    /// Writes what is queued, by whomever; ready when all of it has been given to the system, and, once our
    /// direction is ending, when that has ended.
    ///
    /// # Errors
    /// [`RecvError`]; later calls return it again.
    pub(super) fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RecvError>> {
        if let Some(error) = &self.failed {
            return Poll::Ready(Err(error.clone()));
        }
        self.register(cx);
        loop {
            self.collect(cx)?;
            let written = if self.out.is_empty() {
                if !self.is_unflushed && self.output != Output::Ending {
                    self.write_deadline = None;
                    return Poll::Ready(Ok(()));
                }
                self.poll_settle(cx)
            } else {
                self.poll_write_once(cx)
            };
            match written {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(self.fail(RecvError::from_stream(error))));
                }
                Poll::Pending => {
                    if self.write_deadline.is_none() {
                        self.write_deadline = Some(after(self.config.write_timeout));
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    fn poll_write_once(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut parts = SendQueue::no_parts();
        let filled = self.out.parts(&mut parts);
        let stream = Pin::new(&mut self.stream);
        // The system takes one part with less work by `send` than by `writev`.
        let written = match &parts[..filled] {
            [only] => stream.poll_write(cx, only),
            several => stream.poll_write_vectored(cx, several),
        };
        let count = ready!(written)?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.out.written(count);
        self.written(count);
        Poll::Ready(Ok(()))
    }

    /// Flushes the stream, and ends our direction if that is due.
    fn poll_settle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.is_unflushed = false;
        if self.output == Output::Ending {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.output = Output::Ended;
        }
        Poll::Ready(Ok(()))
    }

    /// Counts bytes that the stream has taken.
    fn written(&mut self, count: usize) {
        self.is_unflushed = true;
        self.write_deadline = None;
        self.shared.written(count);
        self.mark_active();
    }

    fn mark_active(&mut self) {
        if let Some(active_at) = &mut self.active_at {
            *active_at = Instant::now();
        }
    }

    /// Gives bytes to the stream without queueing them, as many as it takes; 0 when others are in front.
    pub(super) fn write_through(&mut self, waker: &Waker, bytes: &[u8]) -> usize {
        if !self.out.is_empty() || self.is_unflushed {
            return 0;
        }
        let mut cx = Context::from_waker(waker);
        // A failure shows itself when the rest is written.
        let Poll::Ready(Ok(count)) = Pin::new(&mut self.stream).poll_write(&mut cx, bytes) else {
            return 0;
        };
        self.shared.queued.fetch_add(count, Ordering::Relaxed);
        self.written(count);
        count
    }

    /// Reads; ready with `true` when there is [input](Self::input), with `false` at the end of the peer's direction.
    ///
    /// # Errors
    /// [`RecvError`]; later calls return it again.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, RecvError>> {
        if let Some(error) = &self.failed {
            return Poll::Ready(Err(error.clone()));
        }
        if self.input.is_some() {
            return Poll::Ready(Ok(true));
        }
        if self.input_ended {
            return Poll::Ready(Ok(false));
        }
        let mut buffer = ReadBuffer::take(self.is_busy);
        let mut space = ReadBuf::new(buffer.space());
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut space));
        let count = space.filled().len();
        match read {
            Ok(()) if count == 0 => {
                self.input_ended = true;
                Poll::Ready(Ok(false))
            }
            Ok(()) => {
                self.is_busy = count >= BUSY_AT;
                self.mark_active();
                self.shared.count_received(count);
                buffer.filled(count);
                self.input = Some(buffer);
                Poll::Ready(Ok(true))
            }
            Err(error) => Poll::Ready(Err(self.fail(RecvError::from_stream(error)))),
        }
    }

    /// Takes what was read and not handed out, to be [put back](Self::put_back) as far as it was not used.
    #[inline]
    pub(super) fn take_input(&mut self) -> Option<ReadBuffer> {
        self.input.take()
    }

    pub(super) fn put_back(&mut self, input: ReadBuffer) {
        if !input.unread().is_empty() {
            self.input = Some(input);
        }
    }

    /// To be called by whoever is about to wait: pending until a deadline, then the error.
    pub(super) fn poll_deadlines(&mut self, cx: &mut Context<'_>) -> Poll<RecvError> {
        while let Some(at) = self.next_deadline() {
            if at <= Instant::now() {
                let error = if self.write_deadline == Some(at) {
                    RecvError::WriteTimedOut
                } else {
                    RecvError::Idle
                };
                return Poll::Ready(self.fail(error));
            }
            // It may have been set to a time that counts no more.
            ready!(self.timer.poll(cx, at, None));
        }
        Poll::Pending
    }

    fn next_deadline(&self) -> Option<Instant> {
        let idle = self.active_at.zip(self.config.idle_timeout);
        let idle = idle.and_then(|(at, limit)| at.checked_add(limit));
        self.write_deadline.into_iter().chain(idle).min()
    }

    /// Writes what is queued, ends our direction, and waits for the end of the peer's, so that the last bytes arrive;
    /// what still comes is discarded. Ready also when the deadline has passed, and at once after a failure.
    pub(super) fn poll_finish(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        self.end_output();
        loop {
            let written = self.poll_write_out(cx);
            if matches!(written, Poll::Ready(Err(_))) {
                return Poll::Ready(());
            }
            // Also while our bytes wait: the peer may want to write before it reads.
            match self.poll_fill(cx) {
                Poll::Ready(Ok(true)) => {
                    self.input = None;
                    // A peer that floods is not waited for.
                    if Instant::now() < deadline {
                        continue;
                    }
                    return Poll::Ready(());
                }
                Poll::Ready(Ok(false)) if written.is_pending() => {}
                Poll::Ready(Ok(false) | Err(_)) => return Poll::Ready(()),
                Poll::Pending => {}
            }
            if written.is_pending() && self.poll_deadlines(cx).is_ready() {
                return Poll::Ready(());
            }
            // It may have been set to a time that counts no more.
            while Instant::now() < deadline {
                ready!(self.timer.poll(cx, deadline, None));
            }
            return Poll::Ready(());
        }
    }
}
