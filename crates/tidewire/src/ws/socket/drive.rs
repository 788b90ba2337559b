//! What the driver does when it is polled: handle, write, read, wait; and the end.
//!
//! In: readiness of the stream, time, the server's drain. Out: what was received. Invariant:
//! whenever a poll function is pending, the task is woken by the stream, the next deadline and
//! the drain.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tidewire_proto::{CloseCode, Connection, Event, Message, Role};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, sleep_until},
};

use super::{Ending, Incoming, WebSocket};
use crate::{
    buffer::ReadBuffer,
    ws::{RecvError, SendError},
};

/// Queued bytes from which on a batch is written although it is not through.
const WRITE_AT: usize = 64 << 10;

/// Most slices of one vectored write.
const PARTS_MAX: usize = 32;

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// [`recv`](Self::recv) as a poll function.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, RecvError>> {
        loop {
            match ready!(self.poll_recv_any(cx))? {
                Some(Incoming::Message(message)) => return Poll::Ready(Ok(Some(message))),
                Some(Incoming::Ping(_) | Incoming::Pong(_) | Incoming::Closing(_)) => {}
                None => return Poll::Ready(Ok(None)),
            }
        }
    }

    /// [`recv_any`](Self::recv_any) as a poll function.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn poll_recv_any(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Incoming>, RecvError>> {
        loop {
            if self.ending != Ending::No {
                return self.poll_end(cx);
            }
            if let Some(error) = &self.failed {
                return Poll::Ready(Err(error.clone()));
            }
            if let Some(incoming) = self.next_buffered() {
                return Poll::Ready(Ok(Some(incoming)));
            }
            if self.ending != Ending::No {
                continue;
            }
            // Every frame of the batch has been handled: one write for all answers.
            if let Poll::Ready(Err(error)) = self.poll_write(cx) {
                return Poll::Ready(Err(self.fail(RecvError::Io(error))));
            }
            match self.poll_fill(cx) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return Poll::Ready(Err(self.fail(RecvError::Lost))),
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(self.fail(RecvError::Io(Arc::new(error)))));
                }
                Poll::Pending if self.poll_due(cx) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// The next thing in the bytes already read.
    fn next_buffered(&mut self) -> Option<Incoming> {
        let input = self.input.as_mut()?;
        let mut found = None;
        while found.is_none() && !input.unread().is_empty() {
            let (used, event) = self.connection.receive(input.unread_mut());
            match event {
                Ok(Some(Event::Message(message))) => {
                    found = Some(Incoming::Message(message.to_message()));
                }
                Ok(Some(Event::Ping(body))) => {
                    found = Some(Incoming::Ping(Bytes::copy_from_slice(body)));
                }
                Ok(Some(Event::Pong(body))) => {
                    found = Some(Incoming::Pong(Bytes::copy_from_slice(body)));
                }
                Ok(Some(Event::Close(frame))) => {
                    self.close_frame.clone_from(&frame.clone().map(Box::new));
                    found = Some(Incoming::Closing(frame));
                }
                Ok(None | Some(_)) => {}
                Err(error) => {
                    self.failed = Some(RecvError::Protocol(error));
                    found = Some(Incoming::Closing(None));
                }
            }
            input.handled(used);
        }
        if self.connection.is_finished() {
            let wait = self.connection.halves().1.config().close_within;
            self.ending = Ending::Writing {
                deadline: Instant::now() + wait,
            };
            self.timer = None;
            self.input = None;
        } else if input.unread().is_empty() {
            self.input = None;
        }
        found
    }

    /// Reads once; false at the end of the stream.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut input = ReadBuffer::take(self.busy);
        let mut space = ReadBuf::new(input.space());
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut space))?;
        let count = space.filled().len();
        if count == 0 {
            return Poll::Ready(Ok(false));
        }
        input.filled(count);
        self.busy = input.is_full() || (self.busy && count > 4096);
        self.input = Some(input);
        self.connection.handle_activity(Instant::now().into_std());
        Poll::Ready(Ok(true))
    }

    /// Writes what is queued.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Arc<io::Error>>> {
        if self.connection.queued() == 0 {
            return Poll::Ready(Ok(()));
        }
        while self.connection.queued() > 0 {
            let mut parts = [IoSlice::new(&[]); PARTS_MAX];
            let count = self.connection.poll_transmit(&mut parts);
            let stream = Pin::new(&mut self.stream);
            let written = match parts.get(..count) {
                Some([one]) => stream.poll_write(cx, one),
                several => stream.poll_write_vectored(cx, several.unwrap_or_default()),
            };
            match written {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Err(Arc::new(io::ErrorKind::WriteZero.into())));
                }
                Poll::Ready(Ok(count)) => {
                    self.connection.transmitted(count);
                    self.write_deadline = None;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Arc::new(error))),
                Poll::Pending => {
                    self.expect_progress();
                    return Poll::Pending;
                }
            }
        }
        Pin::new(&mut self.stream).poll_flush(cx).map_err(Arc::new)
    }

    /// The stream takes nothing now: it must within the write deadline.
    fn expect_progress(&mut self) {
        if self.write_deadline.is_some() {
            return;
        }
        let deadline = Instant::now() + self.write_within;
        self.write_deadline = Some(deadline);
        if let Some(timer) = &mut self.timer
            && timer.deadline() > deadline
        {
            timer.as_mut().reset(deadline);
        }
    }

    pub(super) fn poll_queue(
        &mut self,
        cx: &mut Context<'_>,
        mut queue: impl FnMut(&mut Connection) -> Result<(), tidewire_proto::SendError>,
    ) -> Poll<Result<(), SendError>> {
        loop {
            if self.failed.is_some() {
                return Poll::Ready(Err(SendError::Closed));
            }
            match queue(&mut self.connection) {
                Ok(()) => break,
                Err(tidewire_proto::SendError::Full) => ready!(self.poll_flush(cx))?,
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        // Servers only: a client sends on its own, and then waits for something else.
        let (incoming, _) = self.connection.halves();
        let more_to_handle = incoming.role() == Role::Server
            && self
                .input
                .as_ref()
                .is_some_and(|input| incoming.completes_message(input.unread()));
        if (!more_to_handle || self.connection.queued() >= WRITE_AT)
            && let Poll::Ready(Err(error)) = self.poll_write(cx)
        {
            self.fail(RecvError::Io(Arc::clone(&error)));
            return Poll::Ready(Err(SendError::Io(error)));
        }
        Poll::Ready(Ok(()))
    }

    /// [`flush`](Self::flush) as a poll function.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        loop {
            match self.poll_write(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => {
                    self.fail(RecvError::Io(Arc::clone(&error)));
                    return Poll::Ready(Err(SendError::Io(error)));
                }
                Poll::Pending if self.poll_due(cx) => {
                    if self.failed.is_some() {
                        return Poll::Ready(Err(SendError::TimedOut));
                    }
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Does what is due now; true when something was done and the caller should look again.
    /// Otherwise the task is woken at the next deadline.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> bool {
        let same_task = self
            .registered
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()));
        if !same_task {
            self.registered = Some(cx.waker().clone());
        }
        if let Some(drain) = &mut self.drain
            && (drain.token.is_cancelled()
                || (!same_task && drain.fired.as_mut().poll(cx).is_ready()))
        {
            self.drain = None;
            self.start_close(CloseCode::GOING_AWAY, "server is shutting down");
            return true;
        }
        loop {
            let Some(deadline) = self.next_deadline() else {
                return false;
            };
            let known = same_task && self.timer.is_some();
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if (known && !timer.is_elapsed()) || timer.as_mut().poll(cx).is_pending() {
                return false;
            }
            let now = Instant::now();
            if self.write_deadline.is_some_and(|deadline| now >= deadline) {
                self.fail(RecvError::TimedOut);
                return true;
            }
            let queued = self.connection.queued();
            if self.connection.handle_timeout(now.into_std()) {
                // The last word, if the system takes it at once.
                let _last_word = self.poll_write(cx);
                self.fail(RecvError::TimedOut);
                return true;
            }
            // Fired early for what has moved since: wait for that instead.
            self.timer = None;
            if self.connection.queued() > queued {
                return true;
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let protocol = self.connection.poll_timeout().map(Instant::from_std);
        protocol.into_iter().chain(self.write_deadline).min()
    }

    /// The end of the stream, after the end of the protocol.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Incoming>, RecvError>> {
        loop {
            let deadline = match self.ending {
                Ending::Writing { deadline } => {
                    if self.poll_write(cx).is_ready()
                        && Pin::new(&mut self.stream).poll_shutdown(cx).is_ready()
                    {
                        self.ending = Ending::Lingering { deadline };
                        continue;
                    }
                    deadline
                }
                Ending::Lingering { deadline } => {
                    match self.poll_fill(cx) {
                        Poll::Ready(Ok(true)) => {
                            self.input = None;
                            if Instant::now() < deadline {
                                continue;
                            }
                            self.ending = Ending::Done;
                            continue;
                        }
                        Poll::Ready(Ok(false) | Err(_)) => {
                            self.ending = Ending::Done;
                            continue;
                        }
                        Poll::Pending => {}
                    }
                    deadline
                }
                Ending::Done | Ending::No => {
                    return Poll::Ready(self.failed.clone().map_or(Ok(None), Err));
                }
            };
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            ready!(timer.as_mut().poll(cx));
            self.ending = Ending::Done;
        }
    }

    fn fail(&mut self, error: RecvError) -> RecvError {
        self.input = None;
        self.failed.get_or_insert(error).clone()
    }
}
