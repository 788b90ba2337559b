//! A WebSocket as the application holds it: a thin face of the [`Driver`].

use std::{
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tidewire_proto::{CloseCode, CloseFrame, Connection, Kind, Message, Prepared, Stats};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

use super::{
    chunks::{Controls, IncomingChunk, MessageChunk, NextChunk},
    deferred::SendItem,
    driver::{Decoded, Driver},
    handler::{self, Handler},
    incoming::{Incoming, NextIncoming},
    sender::Sender,
    serving::Serving,
    shared::SharedConnection,
    writer::MessageWriter,
};
use crate::{
    memory::{MemoryAccount, MemoryBudget},
    net::Stream,
    ws::{Membership, Peer, RecvError, Request, SendError, Topic},
};

/// After so many control frames that `recv` passes over, other tasks have their turn.
const CONTROLS_MAX: u32 = 256;

/// One WebSocket connection.
///
/// Waiting in [`recv`](Self::recv) also writes what is queued, answers pings, keeps the deadlines and
/// hands out what [topics](Topic) publish. A connection that nobody receives from does none of
/// that. Dropping it aborts the connection; [`close`](Self::close) ends it properly. To send from
/// other tasks, take a [`sender`](Self::sender).
pub struct WebSocket<S: AsyncRead + AsyncWrite + Unpin + Send + 'static = Stream> {
    /// Boxed, so that futures which hold and move a socket stay small.
    driver: Box<Driver<S>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> fmt::Debug for WebSocket<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("decoder", &self.driver.receiver.decoder)
            .field("peer", self.driver.shared.peer())
            .finish_non_exhaustive()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> WebSocket<S> {
    /// Drives `connection` over `stream`, right after the handshake. `leftover` is what was
    /// read behind it.
    pub fn new(stream: S, connection: Connection, leftover: Vec<u8>) -> Self {
        let driver = Box::new(Driver::new(stream, connection, leftover));
        Self { driver }
    }

    /// Before anything is done with it.
    pub(crate) fn describe(
        mut self,
        peer: Arc<Peer>,
        subprotocol: Option<Arc<str>>,
        write_timeout: Duration,
    ) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.driver.shared) {
            shared.describe(peer, subprotocol, write_timeout);
        }
        self
    }

    /// Before anything is done with it: its memory counts for this budget.
    pub(crate) fn with_memory(mut self, budget: &MemoryBudget) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.driver.shared) {
            shared.set_budget(budget.clone());
        }
        self
    }

    /// Its memory counts for this account, which others may use, too, and ends it if it is evicted. To be called before
    /// anything is done with it.
    #[must_use]
    pub fn charge_to(self, account: &MemoryAccount) -> Self {
        self.driver.shared.charge_to(account);
        self
    }

    /// The account for which its memory counts, and which ends it if it is evicted. For what else is held because of this
    /// connection.
    pub fn memory(&self) -> &MemoryAccount {
        self.driver.shared.account()
    }

    pub(crate) fn with_request(mut self, request: Request) -> Self {
        self.driver.request = Some(Box::new(request));
        self
    }

    pub(crate) fn shared(&self) -> &Arc<SharedConnection<S>> {
        &self.driver.shared
    }

    /// Runs `task` with this socket, so that sent messages may wait for the rest of a batch
    /// (auto-cork): what was held back is written whenever the task yields. Servers do this for
    /// their endpoints; without it every message is written at once.
    pub fn serve<F: Future + Unpin>(self, task: impl FnOnce(Self) -> F) -> Serving<S, F> {
        let shared = Arc::clone(&self.driver.shared);
        Serving::new(shared, task(self))
    }

    /// The next message; `None` once the connection was closed properly by both ends (see
    /// [`close_frame`](Self::close_frame)).
    ///
    /// # Errors
    /// [`RecvError`]; the connection is over, later calls return it again.
    ///
    /// # Cancel safety
    /// Cancel safe: no message is lost when the future is dropped.
    // Not an async fn, here and below: its state would be written and read for every message.
    #[inline]
    pub fn recv(&mut self) -> impl Future<Output = Result<Option<Message>, RecvError>> {
        poll_fn(|cx| self.poll_recv(cx))
    }

    /// As [`recv`](Self::recv), but also tells pings, pongs and the beginning of the end.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    /// Cancel safe.
    #[inline]
    pub fn recv_any(&mut self) -> impl Future<Output = Result<Option<Incoming>, RecvError>> {
        poll_fn(|cx| self.poll_recv_any(cx))
    }

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
        self.driver.poll_receive(cx, |driver, _drained| {
            let mut next = NextIncoming {
                shared: &driver.shared,
                found: None,
            };
            let _flow = driver.receiver.decode(&mut next);
            next.found.map_or(Decoded::Exhausted, Decoded::Found)
        })
    }

    /// [`flush`](Self::flush) as a poll function.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.driver.poll_flush(cx)
    }

    /// Lets `handler` see the connection until it has ended. Returns the peer's close frame, if
    /// it sent one.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    /// When dropped, the connection is aborted.
    pub async fn run(
        mut self,
        mut handler: impl Handler<S>,
    ) -> Result<Option<CloseFrame>, RecvError> {
        let outcome = handler::run(&mut self.driver, &mut handler).await;
        handler.closed(outcome.as_ref().map(|()| self.close_frame()));
        outcome.map(|()| self.close_frame().cloned())
    }

    /// Queues a message and writes it; waits while the queue is full.
    ///
    /// In a [served](Self::serve) task, as on a server, it may be written later, together with the
    /// answers to what came with the last message, at the latest when the task yields.
    /// Elsewhere, what the stream does not take at once is written by the next receive, send or
    /// [`flush`](Self::flush).
    ///
    /// # Errors
    /// [`SendError`]; the message was not queued.
    ///
    /// # Cancel safety
    /// Cancel safe: when the future is dropped before it is ready, the message was not queued.
    #[inline]
    pub fn send(
        &mut self,
        message: impl Into<Message>,
    ) -> impl Future<Output = Result<(), SendError>> {
        let message = message.into();
        poll_fn(move |cx| self.driver.poll_queue(cx, |encoder| encoder.send(&message)))
    }

    /// As [`send`](Self::send), for at most `limit`.
    ///
    /// # Errors
    /// As [`send`](Self::send); [`SendError::TimedOut`], when there was no room in time.
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn send_timeout(
        &mut self,
        message: impl Into<Message>,
        limit: Duration,
    ) -> Result<(), SendError> {
        let sent = timeout(limit, self.send(message)).await;
        sent.unwrap_or(Err(SendError::TimedOut))
    }

    /// As [`send`](Self::send), for a message that is never compressed: one that holds a secret
    /// next to text that others choose, which compression would leak by its size.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn send_uncompressed(
        &mut self,
        message: impl Into<Message>,
    ) -> Result<(), SendError> {
        let message = message.into();
        poll_fn(|cx| {
            self.driver
                .poll_queue(cx, |encoder| encoder.send_uncompressed(&message))
        })
        .await
    }

    /// As [`send`](Self::send), for a message that was encoded once for many connections.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn send_prepared(&mut self, prepared: &Prepared) -> Result<(), SendError> {
        poll_fn(|cx| {
            self.driver
                .poll_queue(cx, |encoder| encoder.send_prepared(prepared))
        })
        .await
    }

    /// Sends a ping of at most 125 bytes; the pong comes from [`recv_any`](Self::recv_any).
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`SendError::ControlTooLong`].
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        poll_fn(|cx| self.driver.poll_queue(cx, |encoder| encoder.ping(payload))).await
    }

    /// Sends a pong of at most 125 bytes: an answer to a ping that
    /// [`Config::answer_pings`](tidewire_proto::Config::answer_pings) left to the application, or a sign of life that
    /// asks for nothing (RFC 6455 section 5.5.3). Behind much that is queued only the newest pong is kept.
    ///
    /// # Errors
    /// As [`ping`](Self::ping).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn pong(&mut self, payload: &[u8]) -> Result<(), SendError> {
        poll_fn(|cx| self.driver.poll_queue(cx, |encoder| encoder.pong(payload))).await
    }

    /// Queues a message without writing it; [`flush`](Self::flush), any receive or any send
    /// writes it.
    ///
    /// # Errors
    /// [`SendError::Full`], [`SendError::Closed`]; the message was not queued.
    pub fn try_send(&mut self, message: &Message) -> Result<(), SendError> {
        self.offer(SendItem::Message(message))
    }

    /// As [`try_send`](Self::try_send), for a message that is never compressed: one that holds
    /// a secret next to text that others choose.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn try_send_uncompressed(&mut self, message: &Message) -> Result<(), SendError> {
        self.offer(SendItem::Uncompressed(message))
    }

    /// As [`try_send`](Self::try_send), for a prepared message.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn try_send_prepared(&mut self, prepared: &Prepared) -> Result<(), SendError> {
        self.offer(SendItem::Prepared(prepared))
    }

    /// As [`try_send`](Self::try_send), for a ping of at most 125 bytes.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send), and [`SendError::ControlTooLong`].
    pub fn try_ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.offer(SendItem::Ping(payload))
    }

    /// Queues a pong of at most 125 bytes, without writing it: the answer to a ping that
    /// [`Config::answer_pings`](tidewire_proto::Config::answer_pings) left to the application. Behind much that is
    /// queued only the newest pong is kept.
    ///
    /// # Errors
    /// As [`try_ping`](Self::try_ping).
    pub fn try_pong(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.offer(SendItem::Pong(payload))
    }

    /// Pings queued for sending so far, those of the keep-alive too; wraps around.
    pub fn pings_sent(&self) -> u32 {
        self.driver.shared.lock().pings_sent()
    }

    fn offer(&mut self, item: SendItem<'_>) -> Result<(), SendError> {
        let mut locked = self.driver.shared.lock();
        locked.check()?;
        locked.offer(item)
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
    /// stream, all within [`Config::close_timeout`](tidewire_proto::Config::close_timeout).
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
        Ok(self.driver.receiver.close_frame().cloned())
    }

    /// Queues a close frame without waiting; the next receive goes on with the closing handshake.
    /// What was published to its topics before goes out first, as far as there is room.
    pub fn start_close(&mut self, code: CloseCode, reason: &str) {
        self.driver.start_close(code, reason);
    }

    /// A handle to send from other tasks and threads.
    pub fn sender(&self) -> Sender<S> {
        Sender::new(Arc::clone(&self.driver.shared))
    }

    /// Takes the socket apart into a part that receives and one that sends. The part that receives
    /// is the socket itself: it goes on answering pings and keeping the deadlines.
    pub fn split(self) -> (Self, Sender<S>) {
        let sender = self.sender();
        (self, sender)
    }

    /// From now on, while this socket is received from, everything that is published to `topic`
    /// is sent on it; nothing when it is a member already.
    pub fn join(&mut self, topic: &Topic) {
        self.driver.join(topic);
    }

    /// Ends the membership in `topic`.
    pub fn leave(&mut self, topic: &Topic) {
        self.driver.leave(topic);
    }

    /// The membership in `topic`, to publish to everybody else in it.
    pub fn membership(&self, topic: &Topic) -> Option<&Membership> {
        self.driver
            .memberships
            .iter()
            .find(|member| member.is_of(topic))
    }

    /// The close frame the peer sent.
    pub fn close_frame(&self) -> Option<&CloseFrame> {
        self.driver.receiver.close_frame()
    }

    /// The close frame by which this end began the closing handshake, here or by a drain of the server;
    /// `None` when the peer was first. What was queued before it went out before it, so a peer that
    /// answers it has read all of that.
    pub fn started_close(&self) -> Option<CloseFrame> {
        self.driver.shared.lock().started_close()
    }

    /// Bytes received and handled, and bytes given to the system, since the handshake. While one of
    /// them grows, the connection moves.
    pub fn bytes_moved(&self) -> (u64, u64) {
        let sent = self.driver.shared.lock().stats().bytes_sent;
        (self.driver.receiver.decoder.bytes_received(), sent)
    }

    /// Returns whether compressed messages were agreed on (RFC 7692). A [`Prepared`] for such a socket is worth
    /// [compressing](Prepared::compress).
    pub fn is_compressing(&self) -> bool {
        self.driver.shared.lock().is_compressing()
    }

    /// Bytes queued and not yet given to the system.
    pub fn queued(&self) -> usize {
        self.driver.shared.lock().queued()
    }

    /// Returns whether messages can still be sent.
    pub fn is_open(&self) -> bool {
        self.driver.failed().is_none() && self.driver.shared.lock().is_open()
    }

    /// The number a server gave this session, from 1; 0 without a server.
    pub fn id(&self) -> u64 {
        self.driver.shared.id()
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        self.driver.shared.peer()
    }

    /// The request that opened this connection, until the socket is first received from: on a server whose endpoint is a
    /// function of the socket alone, and of an [`Acceptor`](crate::ws::Acceptor). `None` on a client, and where the
    /// request was given to the endpoint beside the socket.
    ///
    /// An idle connection would be half as large again if it held its request. Who needs it longer
    /// [takes](Self::take_request) it.
    pub fn request(&self) -> Option<&Request> {
        self.driver.request.as_deref()
    }

    /// Takes [`request`](Self::request) out of the socket, to keep it as long as it is needed.
    pub fn take_request(&mut self) -> Option<Request> {
        self.driver.request.take().map(|request| *request)
    }

    /// The subprotocol agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.driver.shared.subprotocol()
    }

    /// Counters of this connection.
    pub fn stats(&self) -> Stats {
        let mut locked = self.driver.shared.lock();
        locked.count(&self.driver.receiver.decoder);
        locked.stats()
    }
}

/// Messages too large to hold: received and sent in pieces.
impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> WebSocket<S> {
    /// The next piece of a message, as it arrives. The limits of message and frame size do not
    /// apply, since nothing is put together. `None` once the connection was closed properly.
    ///
    /// Mixing with [`recv`](Self::recv): what is left of a message that was begun in chunks is
    /// skipped by `recv`.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    /// Cancel safe: no piece is lost when the future is dropped.
    pub async fn recv_chunk(&mut self) -> Result<Option<MessageChunk>, RecvError> {
        poll_fn(|cx| self.poll_recv_chunk(cx)).await
    }

    /// As [`recv_chunk`](Self::recv_chunk), for those who write futures by hand.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn poll_recv_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<MessageChunk>, RecvError>> {
        loop {
            match ready!(self.poll_chunk(cx, Controls::Ignored))? {
                Some(IncomingChunk::Chunk(chunk)) => return Poll::Ready(Ok(Some(chunk))),
                Some(IncomingChunk::Ping(_) | IncomingChunk::Pong(_)) => {} // held from before
                None => return Poll::Ready(Ok(None)),
            }
        }
    }

    /// As [`recv_chunk`](Self::recv_chunk), but also tells pings and pongs, in their place between the pieces.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    /// As [`recv_chunk`](Self::recv_chunk).
    pub async fn recv_chunk_any(&mut self) -> Result<Option<IncomingChunk>, RecvError> {
        poll_fn(|cx| self.poll_recv_chunk_any(cx)).await
    }

    /// As [`recv_chunk_any`](Self::recv_chunk_any), for those who write futures by hand.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn poll_recv_chunk_any(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<IncomingChunk>, RecvError>> {
        self.poll_chunk(cx, Controls::Told)
    }

    fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
        controls: Controls,
    ) -> Poll<Result<Option<IncomingChunk>, RecvError>> {
        if let Some(control) = self.driver.take_control() {
            return Poll::Ready(Ok(Some(control)));
        }
        self.driver.poll_receive(cx, |driver, _drained| {
            let mut next = NextChunk::new(&driver.shared, controls);
            let _flow = driver.receiver.decode(&mut next);
            let (chunk, control) = next.into_found();
            match (chunk, control) {
                (Some(chunk), control) => {
                    driver.keep_control(control);
                    Decoded::Found(IncomingChunk::Chunk(chunk))
                }
                (None, Some(control)) => Decoded::Found(control),
                (None, None) => Decoded::Exhausted,
            }
        })
    }

    /// Queues the next piece of a message, or a whole one, as a frame of its own, without writing it; see
    /// [`try_send`](Self::try_send). `kind` counts with the first piece, `last` ends the message. Until then other
    /// messages are refused. Pieces of a text message may cut a character; the whole must be UTF-8.
    ///
    /// # Errors
    /// [`SendError::Full`], [`SendError::Closed`]; the piece was not queued.
    pub fn try_send_fragment(
        &mut self,
        kind: Kind,
        piece: &[u8],
        last: bool,
    ) -> Result<(), SendError> {
        let mut locked = self.driver.shared.lock();
        locked.check()?;
        locked.queue(|encoder| encoder.send_fragment(kind, piece, last))
    }

    /// Begins a message that is sent in pieces, each as a fragment (RFC 6455 section 5.4).
    pub fn start_message(&mut self, kind: Kind) -> MessageWriter<'_, S> {
        MessageWriter::new(&mut self.driver, kind)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Drop for WebSocket<S> {
    fn drop(&mut self) {
        // What came with the close frame was not waited for, and counts all the same.
        self.driver
            .shared
            .lock()
            .count(&self.driver.receiver.decoder);
        self.driver.shared.abandon();
    }
}
