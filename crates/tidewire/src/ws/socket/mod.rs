//! The driver: joins a byte stream with the protocol core.
//!
//! In: bytes, when the stream is readable, and the application's messages. Out: the peer's
//! messages, and one write per read batch. It takes no protocol decision.
//!
//! **Auto-cork.** A sent message is written at once, unless this is a server and further whole
//! messages of the same read wait to be received: then it waits for their answers. So the plain
//! loop "receive, send" costs one read and one write per batch, however many messages a batch
//! holds. A server that answers and then waits for something else than the next message calls
//! [`WebSocket::flush`] before.
//!
//! **Idle costs nothing.** Read buffers are taken from a pool when bytes are there; the core
//! keeps no buffer while no frame is under way; one lazy timer serves all deadlines and is
//! never touched per message.

mod drive; // what happens when it is polled

use std::{fmt, future::poll_fn, pin::Pin, sync::Arc, task::Waker, time::Duration};

use bytes::Bytes;
use tidewire_proto::{CloseCode, CloseFrame, Connection, Message, Prepared, ProtocolError, Stats};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, Sleep},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{Peer, RecvError, SendError};
use crate::{buffer::ReadBuffer, stream::Stream};

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

    /// Queues a message and writes it; waits while the queue is full.
    ///
    /// On a server, while further messages of the same read wait to be received, it is written
    /// together with their answers: by the next [`recv`](Self::recv) that finds no message
    /// waiting. Call [`flush`](Self::flush) before you wait for anything else.
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
