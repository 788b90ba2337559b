//! The driver: joins a byte stream with the protocol core.
//!
//! In: bytes, when the stream is readable, and the application's messages. Out: the peer's
//! messages, and one write per read batch. It takes no protocol decision.
//!
//! **Auto-cork.** A sent message is written at once, unless further complete frames of the same
//! read wait to be handled: then it waits for their answers. So the plain loop "receive, send"
//! costs one read and one write per batch, however many messages a batch holds.
//!
//! **Idle costs nothing.** Read buffers are taken from a pool when bytes are there; the core
//! keeps no buffer while no frame is under way; one lazy timer serves all deadlines and is
//! never touched per message.

use std::{
    fmt,
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use tidewire_proto::{
    CloseCode, CloseFrame, Connection, Event, Message, Prepared, ProtocolError, Stats,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{Peer, RecvError, SendError};
use crate::{buffer::ReadBuffer, stream::Stream};

/// Queued bytes from which on a batch is written although it is not through.
const WRITE_AT: usize = 64 << 10;

/// Most slices of one vectored write.
const PARTS_MAX: usize = 32;

/// Something received.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Incoming {
    /// A whole message.
    Message(Message),
    /// A ping; its pong is queued.
    Ping(Bytes),
    /// A pong, with the payload of the ping it answers.
    Pong(Bytes),
    /// The connection is ending: the peer's close frame, or `None` when it had none or broke
    /// the protocol. What remains is the end of the closing handshake.
    Closing(Option<CloseFrame>),
}

/// One WebSocket connection.
///
/// Receiving and sending take `&mut self`; waiting in one of them also writes what is queued,
/// answers pings and keeps the deadlines. A connection that nobody waits on does none of that.
/// Dropping it aborts the connection; [`close`](Self::close) ends it properly.
pub struct WebSocket<S = Stream> {
    stream: S,
    connection: Connection,
    /// Bytes read and not yet handled.
    input: Option<ReadBuffer>,
    /// The next read takes a large buffer: the last one filled its own.
    busy: bool,
    timer: Option<Pin<Box<Sleep>>>,
    /// The stream has taken nothing since; give up then.
    write_deadline: Option<Instant>,
    write_within: Duration,
    /// Fires when the server drains.
    drain: Option<Drain>,
    /// Who is woken by `drain` and `timer`; while it is the same task, they need no polling.
    registered: Option<Waker>,
    ending: Ending,
    failed: Option<RecvError>,
    peer: Arc<Peer>,
    subprotocol: Option<Arc<str>>,
    close_frame: Option<Box<CloseFrame>>,
}

/// The server's wish that this connection ends.
struct Drain {
    token: CancellationToken,
    fired: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// How far the end of a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    No,
    /// The protocol is through: write what is queued, then end our direction.
    Writing {
        deadline: Instant,
    },
    /// Our direction has ended: read until the peer's has, so that the system does not reset
    /// the connection and take our last bytes with it.
    Lingering {
        deadline: Instant,
    },
    Done,
}

impl<S> fmt::Debug for WebSocket<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("connection", &self.connection)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Drives `connection` over `stream`, right after the handshake. `leftover` is what was
    /// read behind it.
    pub fn new(stream: S, connection: Connection, leftover: Vec<u8>) -> Self {
        Self {
            stream,
            connection,
            input: (!leftover.is_empty()).then(|| ReadBuffer::holding(leftover)),
            busy: false,
            timer: None,
            write_deadline: None,
            write_within: Duration::from_secs(10),
            drain: None,
            registered: None,
            ending: Ending::No,
            failed: None,
            peer: Arc::default(),
            subprotocol: None,
            close_frame: None,
        }
    }

    pub(crate) fn with_peer(mut self, peer: Arc<Peer>, subprotocol: Option<Arc<str>>) -> Self {
        self.peer = peer;
        self.subprotocol = subprotocol;
        self
    }

    pub(crate) fn with_drain(mut self, token: CancellationToken, write_within: Duration) -> Self {
        self.drain = Some(Drain {
            fired: Box::pin(token.clone().cancelled_owned()),
            token,
        });
        self.write_within = write_within;
        self
    }

    /// The next message; `None` once the connection was closed properly by both ends (see
    /// [`close_frame`](Self::close_frame)).
    ///
    /// # Errors
    /// [`RecvError`]; the connection is over, later calls return it again.
    ///
    /// # Cancel safety
    /// Cancel safe: no message is lost when the future is dropped.
    pub async fn recv(&mut self) -> Result<Option<Message>, RecvError> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Self::recv), but also tells pings, pongs and the beginning of the end.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn recv_any(&mut self) -> Result<Option<Incoming>, RecvError> {
        poll_fn(|cx| self.poll_recv_any(cx)).await
    }

    /// Queues a message and writes it (see auto-cork in the module's doc); waits while the
    /// queue is full.
    ///
    /// # Errors
    /// [`SendError`]; the message was not queued.
    ///
    /// # Cancel safety
    /// Cancel safe: when the future is dropped before it is ready, the message was not queued.
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), SendError> {
        let message = message.into();
        poll_fn(|cx| self.poll_queue(cx, |connection| connection.send(&message))).await
    }

    /// As [`send`](Self::send), for a message that was encoded once for many connections.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn send_prepared(&mut self, prepared: &Prepared) -> Result<(), SendError> {
        poll_fn(|cx| self.poll_queue(cx, |connection| connection.send_prepared(prepared))).await
    }

    /// Sends a ping of at most 125 bytes; the pong comes from [`recv_any`](Self::recv_any).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        poll_fn(|cx| self.poll_queue(cx, |connection| connection.ping(payload))).await
    }

    /// Queues a message without writing it; [`flush`](Self::flush), any receive or any send
    /// writes it.
    ///
    /// # Errors
    /// [`SendError::Full`], [`SendError::Closed`]; the message was not queued.
    pub fn try_send(&mut self, message: &Message) -> Result<(), SendError> {
        Ok(self.connection.send(message)?)
    }

    /// As [`try_send`](Self::try_send), for a prepared message.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn try_send_prepared(&mut self, prepared: &Prepared) -> Result<(), SendError> {
        Ok(self.connection.send_prepared(prepared)?)
    }

    /// As [`try_send`](Self::try_send), for a ping of at most 125 bytes.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send), and [`SendError::ControlTooLong`].
    pub fn try_ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        Ok(self.connection.ping(payload)?)
    }

    /// Waits until everything queued has been given to the system.
    ///
    /// # Errors
    /// [`SendError::Io`], [`SendError::TimedOut`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn flush(&mut self) -> Result<(), SendError> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Ends the connection: sends a close frame, waits for the peer's and for the end of the
    /// stream, all within [`Config::close_within`](tidewire_proto::Config::close_within).
    /// Messages still coming in are discarded. Returns the peer's close frame, if it sent one.
    ///
    /// # Errors
    /// [`RecvError`], when the peer did not take part.
    ///
    /// # Cancel safety
    /// When dropped, the close frame is queued and a later call goes on.
    pub async fn close(
        &mut self,
        code: CloseCode,
        reason: &str,
    ) -> Result<Option<CloseFrame>, RecvError> {
        self.start_close(code, reason);
        while self.recv().await?.is_some() {}
        Ok(self.close_frame.as_deref().cloned())
    }

    /// Queues a close frame without waiting; the next receive goes on with the closing handshake.
    pub fn start_close(&mut self, code: CloseCode, reason: &str) {
        self.connection
            .close(code, reason, Instant::now().into_std());
        self.timer = None; // the close deadline may be earlier than what the timer waits for
    }

    /// The close frame the peer sent.
    pub fn close_frame(&self) -> Option<&CloseFrame> {
        self.close_frame.as_deref()
    }

    /// Bytes queued and not yet given to the system.
    pub fn queued(&self) -> usize {
        self.connection.queued()
    }

    /// Whether messages can still be sent.
    pub fn is_open(&self) -> bool {
        self.connection.is_open() && self.failed.is_none()
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The subprotocol agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// Counters of this connection.
    pub fn stats(&self) -> Stats {
        self.connection.stats()
    }

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
            let wait = self.connection.config().close_within;
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

    fn poll_queue(
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
        let more_to_handle = self
            .input
            .as_ref()
            .is_some_and(|input| self.connection.completes_frame(input.unread()));
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

impl RecvError {
    /// The rule the peer broke, if that ended the connection.
    pub fn protocol(&self) -> Option<ProtocolError> {
        match self {
            Self::Protocol(error) => Some(*error),
            Self::TimedOut | Self::Lost | Self::Io(_) => None,
        }
    }
}
