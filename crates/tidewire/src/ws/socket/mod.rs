//! The driver: joins a byte stream with the protocol core.
//!
//! In: bytes, when the stream is readable, and the application's messages. Out: the peer's
//! messages, and one write per read batch. It takes no protocol decision.
//!
//! The decoder of the core belongs to the [`WebSocket`] and needs no lock. The sending
//! half and the stream are shared (`shared`) with [`Sender`]s, with [`Topic`](super::Topic)s and with
//! the server, which may close a connection while its task is busy elsewhere.
//!
//! **Auto-cork.** A message sent while more of the last read waits to be received is written
//! together with the answers to that, or when the task yields, whichever is first (`cork`). So the plain loop "receive, send" costs one read and one write per batch, however many
//! messages a batch holds, and nothing is ever held back while the task waits.
//!
//! **Idle costs nothing.** Buffers are taken from a pool when bytes are there; the core keeps
//! none while no frame is under way; one lazy timer serves all deadlines and is never touched
//! per message.

mod shared; // what several places of a program share of a connection
mod locked; // its locked part: stream and encoder
mod deferred; // what others want to send while the encoder is checked out
mod cork; // when held-back messages are written
mod sender; // sending from anywhere
mod timer; // one for all deadlines
mod controls; // how many pings and pongs a client may send
mod driver; // receiving: what happens when it is polled
mod ending; // the end of the stream, after the end of the protocol
mod chunks; // messages too large to hold
mod handler; // handler style: callbacks with borrowed messages

use std::{
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use bytes::Bytes;
use tidewire_proto::{
    CloseCode, CloseFrame, Connection, Decoder, Message, Prepared, ProtocolError, Stats,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

pub(super) use self::shared::SharedConnection;
pub use self::{
    chunks::{IncomingChunk, MessageChunk, MessageWriter},
    cork::Serving,
    handler::{Handler, Session},
    sender::Sender,
};
use self::{controls::Answered, deferred::SendItem, ending::Ending, timer::Timer};
use super::{Membership, Peer, RecvError, SendError, Topic};
use crate::{net::Stream, net::buffer::ReadBuffer};

/// Something received.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Incoming {
    /// A whole message.
    Message(Message),
    /// A ping; its pong is queued, unless [`Config::answer_pings`](tidewire_proto::Config::answer_pings) leaves
    /// that to [`try_pong`](WebSocket::try_pong).
    Ping(Bytes),
    /// A pong, with the payload of the ping it answers.
    Pong(Bytes),
    /// The connection is ending: the peer's close frame, or `None` when it had none or broke
    /// the protocol. What remains is the end of the closing handshake.
    Closing(Option<CloseFrame>),
}

/// One WebSocket connection.
///
/// Waiting in [`recv`](Self::recv) also writes what is queued, answers pings, keeps the deadlines and
/// hands out what [topics](Topic) publish. A connection that nobody receives from does none of
/// that. Dropping it aborts the connection; [`close`](Self::close) ends it properly. To send from
/// other tasks, take a [`sender`](Self::sender).
pub struct WebSocket<S: AsyncRead + AsyncWrite + Unpin + Send + 'static = Stream> {
    /// Boxed, so that futures which hold and move a socket stay small.
    inner: Box<Inner<S>>,
}

struct Inner<S> {
    shared: Arc<SharedConnection<S>>,
    decoder: Decoder,
    /// Bytes read and not yet handled.
    input: Option<ReadBuffer>,
    /// The next read takes a large buffer: the last one filled its own.
    busy: bool,
    answered: Answered,
    ending: Ending,
    timer: Timer,
    /// When something was last read, and in which turn.
    read_at: Option<(Instant, u64)>,
    /// The task that is woken by the connection and the timer; while it is the same, they need no
    /// polling.
    registered: Option<Waker>,
    failed: Option<RecvError>,
    last_control: Option<Box<LastControl>>,
    memberships: Vec<Membership>,
}

/// A control frame that is kept; in one place, because it is seldom there.
enum LastControl {
    /// A ping or pong behind the piece of a message that was handed out last.
    Held(IncomingChunk),
    /// The end.
    Close(CloseFrame),
}

impl LastControl {
    /// The peer's close frame came, perhaps empty.
    fn close(frame: Option<CloseFrame>) -> Option<Box<Self>> {
        frame.map(|frame| Box::new(Self::Close(frame)))
    }
}

impl<S> Inner<S> {
    fn close_frame(&self) -> Option<&CloseFrame> {
        match self.last_control.as_deref() {
            Some(LastControl::Close(frame)) => Some(frame),
            Some(LastControl::Held(_)) | None => None,
        }
    }

    fn holds_control(&self) -> bool {
        matches!(self.last_control.as_deref(), Some(LastControl::Held(_)))
    }

    fn take_held(&mut self) -> Option<IncomingChunk> {
        if !self.holds_control() {
            return None;
        }
        match *self.last_control.take()? {
            LastControl::Held(held) => Some(held),
            LastControl::Close(_) => None,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> fmt::Debug for WebSocket<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("decoder", &self.inner.decoder)
            .field("peer", self.inner.shared.peer())
            .finish_non_exhaustive()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> WebSocket<S> {
    /// Drives `connection` over `stream`, right after the handshake. `leftover` is what was
    /// read behind it.
    pub fn new(stream: S, connection: Connection, leftover: Vec<u8>) -> Self {
        let (decoder, encoder) = connection.split();
        let inner = Box::new(Inner {
            shared: Arc::new(SharedConnection::new(stream, encoder)),
            decoder,
            input: (!leftover.is_empty()).then(|| ReadBuffer::holding(leftover)),
            busy: false,
            ending: Ending::No,
            answered: Answered::default(),
            timer: Timer::default(),
            read_at: None,
            registered: None,
            failed: None,
            last_control: None,
            memberships: Vec::new(),
        });
        Self { inner }
    }

    /// Before anything is done with it.
    pub(crate) fn describe(
        mut self,
        peer: Arc<Peer>,
        subprotocol: Option<Arc<str>>,
        write_within: Duration,
    ) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.inner.shared) {
            shared.describe(peer, subprotocol, write_within);
        }
        self
    }

    pub(crate) fn shared(&self) -> &Arc<SharedConnection<S>> {
        &self.inner.shared
    }

    /// Runs `task` with this socket, so that sent messages may wait for the rest of a batch
    /// (auto-cork): what was held back is written whenever the task yields. Servers do this for
    /// their endpoints; without it every message is written at once.
    pub fn serve<F: Future + Unpin>(self, task: impl FnOnce(Self) -> F) -> Serving<S, F> {
        let shared = Arc::clone(&self.inner.shared);
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
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), SendError> {
        let message = message.into();
        poll_fn(|cx| self.poll_queue(cx, |encoder| encoder.send(&message))).await
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
        poll_fn(|cx| self.poll_queue(cx, |encoder| encoder.send_uncompressed(&message))).await
    }

    /// As [`send`](Self::send), for a message that was encoded once for many connections.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn send_prepared(&mut self, prepared: &Prepared) -> Result<(), SendError> {
        poll_fn(|cx| self.poll_queue(cx, |encoder| encoder.send_prepared(prepared))).await
    }

    /// Sends a ping of at most 125 bytes; the pong comes from [`recv_any`](Self::recv_any).
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`SendError::ControlTooLong`].
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        poll_fn(|cx| self.poll_queue(cx, |encoder| encoder.ping(payload))).await
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
        self.inner.shared.lock().pings_sent()
    }

    fn offer(&mut self, item: SendItem<'_>) -> Result<(), SendError> {
        let mut locked = self.inner.shared.lock();
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
        Ok(self.inner.close_frame().cloned())
    }

    /// Queues a close frame without waiting; the next receive goes on with the closing handshake.
    /// What was published to its topics before goes out first, as far as there is room.
    pub fn start_close(&mut self, code: CloseCode, reason: &str) {
        let mut locked = self.inner.shared.lock();
        // Nobody waits for more: the socket is closing.
        let nobody = Context::from_waker(Waker::noop());
        driver::hand_out(&mut self.inner.memberships, &mut locked, &nobody);
        locked.close(CloseFrame::new(code, reason));
        drop(locked);
        self.inner.shared.wake_senders();
    }

    /// A handle to send from other tasks and threads.
    pub fn sender(&self) -> Sender<S> {
        Sender::new(Arc::clone(&self.inner.shared))
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
        if self
            .inner
            .memberships
            .iter()
            .all(|member| !member.is_of(topic))
        {
            self.inner.memberships.reserve_exact(1);
            self.inner.memberships.push(topic.join());
        }
    }

    /// Ends the membership in `topic`.
    pub fn leave(&mut self, topic: &Topic) {
        self.inner.memberships.retain(|member| !member.is_of(topic));
    }

    /// The membership in `topic`, to publish to everybody else in it.
    pub fn membership(&self, topic: &Topic) -> Option<&Membership> {
        self.inner
            .memberships
            .iter()
            .find(|member| member.is_of(topic))
    }

    /// The close frame the peer sent.
    pub fn close_frame(&self) -> Option<&CloseFrame> {
        self.inner.close_frame()
    }

    /// The close frame by which this end began the closing handshake, here or by a drain of the server;
    /// `None` when the peer was first. What was queued before it went out before it, so a peer that
    /// answers it has read all of that.
    pub fn started_close(&self) -> Option<CloseFrame> {
        self.inner.shared.lock().started_close()
    }

    /// Bytes received and handled, and bytes given to the system, since the handshake. While one of
    /// them grows, the connection moves.
    pub fn bytes_moved(&self) -> (u64, u64) {
        let sent = self.inner.shared.lock().stats().bytes_sent;
        (self.inner.decoder.bytes_received(), sent)
    }

    /// Bytes queued and not yet given to the system.
    pub fn queued(&self) -> usize {
        self.inner.shared.lock().queued()
    }

    /// Whether messages can still be sent.
    pub fn is_open(&self) -> bool {
        self.inner.failed.is_none() && self.inner.shared.lock().is_open()
    }

    /// The number a server gave this session, from 1; 0 without a server.
    pub fn id(&self) -> u64 {
        self.inner.shared.id()
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        self.inner.shared.peer()
    }

    /// The subprotocol agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.inner.shared.subprotocol()
    }

    /// Counters of this connection.
    pub fn stats(&self) -> Stats {
        let mut locked = self.inner.shared.lock();
        locked.count(&self.inner.decoder);
        locked.stats()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Drop for WebSocket<S> {
    fn drop(&mut self) {
        // What came with the close frame was not waited for, and counts all the same.
        self.inner.shared.lock().count(&self.inner.decoder);
        self.inner.shared.abandon();
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
