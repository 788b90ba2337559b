//! Sending from anywhere: a handle that can be cloned and given to other tasks and threads.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tidewire_proto::{CloseCode, Kind, Message, Prepared};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Sleep, sleep_until, timeout},
};

use super::{deferred::SendItem, shared::SharedConnection};
use crate::{
    net::Stream,
    ws::{Peer, SendError},
};

/// Sends on a connection that somebody else receives from.
///
/// Clones share one bounded queue
/// ([`send_queue_bytes_max`](tidewire_proto::Config::send_queue_bytes_max)). Messages are written at
/// once, by the task that sends them; what the stream does not take is written by whoever of
/// senders and receiver is woken first. Keeping a sender does not keep the connection open:
/// dropping the receiver ends it.
pub struct Sender<S = Stream> {
    shared: Arc<SharedConnection<S>>,
}

impl<S> Clone for Sender<S> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<S> fmt::Debug for Sender<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("peer", self.shared.peer())
            .finish_non_exhaustive()
    }
}

impl<S> PartialEq for Sender<S> {
    /// Returns whether both send on the same connection.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<S> Eq for Sender<S> {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Sender<S> {
    pub(in crate::ws) fn new(shared: Arc<SharedConnection<S>>) -> Self {
        shared.share();
        Self { shared }
    }

    /// Sends a message; waits while the queue is full.
    ///
    /// # Errors
    /// [`SendError`]; the message was not queued.
    ///
    /// # Cancel safety
    /// Cancel safe: when the future is dropped before it is ready, the message was not queued.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        let message = message.into();
        self.deliver(SendItem::Message(&message)).await
    }

    /// As [`send`](Self::send), for at most `limit`.
    ///
    /// # Errors
    /// As [`send`](Self::send); [`SendError::TimedOut`], when there was no room in time.
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn send_timeout(
        &self,
        message: impl Into<Message>,
        limit: Duration,
    ) -> Result<(), SendError> {
        let sent = timeout(limit, self.send(message)).await;
        sent.unwrap_or(Err(SendError::TimedOut))
    }

    /// As [`send`](Self::send), for a message that is never compressed: one that holds a secret
    /// next to text that others choose.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn send_uncompressed(&self, message: impl Into<Message>) -> Result<(), SendError> {
        let message = message.into();
        self.deliver(SendItem::Uncompressed(&message)).await
    }

    /// As [`send`](Self::send), for a message that was encoded once for many connections.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn send_prepared(&self, prepared: &Prepared) -> Result<(), SendError> {
        self.deliver(SendItem::Prepared(prepared)).await
    }

    /// Sends a ping of at most 125 bytes.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`SendError::ControlTooLong`].
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn ping(&self, payload: &[u8]) -> Result<(), SendError> {
        self.deliver(SendItem::Ping(payload)).await
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
    pub async fn pong(&self, payload: &[u8]) -> Result<(), SendError> {
        self.deliver(SendItem::Pong(payload)).await
    }

    /// Sends a message if there is room, without waiting.
    ///
    /// # Errors
    /// [`SendError::Full`] and the others; the message was not queued.
    pub fn try_send(&self, message: &Message) -> Result<(), SendError> {
        self.shared.try_send(SendItem::Message(message))
    }

    /// As [`try_send`](Self::try_send), for a borrowed payload.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn try_send_ref(&self, kind: Kind, payload: &[u8]) -> Result<(), SendError> {
        self.shared.try_send(SendItem::Borrowed(kind, payload))
    }

    /// As [`try_send`](Self::try_send), for a prepared message.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn try_send_prepared(&self, prepared: &Prepared) -> Result<(), SendError> {
        self.shared.try_send(SendItem::Prepared(prepared))
    }

    /// As [`try_send`](Self::try_send); gives the number of bytes this connection has sent when the
    /// message's last one has gone.
    pub(in crate::ws) fn try_send_counted(&self, message: &Message) -> Result<u64, SendError> {
        self.shared.try_send_counted(SendItem::Message(message))
    }

    /// As [`try_send`](Self::try_send), for a ping of at most 125 bytes.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send), and [`SendError::ControlTooLong`].
    pub fn try_ping(&self, payload: &[u8]) -> Result<(), SendError> {
        self.shared.try_send(SendItem::Ping(payload))
    }

    /// Sends a pong of at most 125 bytes, without waiting; see [`WebSocket::try_pong`](super::WebSocket::try_pong).
    ///
    /// # Errors
    /// As [`try_ping`](Self::try_ping).
    pub fn try_pong(&self, payload: &[u8]) -> Result<(), SendError> {
        self.shared.try_send(SendItem::Pong(payload))
    }

    /// Bytes this connection has given to the system.
    pub(in crate::ws) fn bytes_sent(&self) -> u64 {
        self.shared.stats().0.bytes_sent
    }

    /// Waits until everything queued, by whomever, has been given to the system.
    ///
    /// # Errors
    /// [`SendError`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn flush(&self) -> Result<(), SendError> {
        self.until_deadline(|cx| self.shared.poll_flush_shared(cx))
            .await
    }

    /// Starts the closing handshake and does not wait; the receiving task goes on with it.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.shared.start_close(code, reason);
    }

    /// Returns whether messages can still be sent.
    pub fn is_open(&self) -> bool {
        self.shared.lock().is_open()
    }

    /// Bytes queued and not yet given to the system.
    pub fn queued(&self) -> usize {
        self.shared.lock().queued()
    }

    /// The number a server gave this session, from 1; 0 without a server.
    pub fn id(&self) -> u64 {
        self.shared.id()
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        self.shared.peer()
    }

    /// The subprotocol agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.shared.subprotocol()
    }

    async fn deliver(&self, item: SendItem<'_>) -> Result<(), SendError> {
        self.until_deadline(|cx| self.shared.poll_send(cx, item))
            .await
    }

    /// Waits for `poll`, but not longer than the stream may take nothing.
    async fn until_deadline(
        &self,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<Result<(), SendError>>,
    ) -> Result<(), SendError> {
        let mut timer: Option<Pin<Box<Sleep>>> = None;
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(result) = poll(cx) {
                    return Poll::Ready(result);
                }
                let Some(deadline) = self.shared.lock().write_deadline else {
                    return Poll::Pending;
                };
                let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
                if timer.deadline() != deadline {
                    timer.as_mut().reset(deadline);
                }
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.shared.time_out();
            }
        })
        .await
    }
}
