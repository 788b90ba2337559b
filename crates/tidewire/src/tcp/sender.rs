//! Sending from anywhere: a handle that can be cloned and given to other tasks and threads.

use std::{
    fmt,
    future::poll_fn,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::timeout;

use super::{
    RecvError, SendError,
    shared::{End, Shared},
};
use crate::{broadcast::Broadcast, net::Peer};

/// Sends on a connection that somebody else receives from, and looks at it from outside.
///
/// Clones share one bounded queue ([`send_queue_bytes_max`](super::Config::send_queue_bytes_max)). What is queued is
/// written by the task that owns the connection, as soon as that waits for anything of the connection; in handler
/// style at once. Keeping a sender does not keep the connection open.
#[derive(Clone)]
pub struct Sender {
    shared: Arc<Shared>,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("id", &self.id())
            .field("peer", self.peer())
            .finish_non_exhaustive()
    }
}

impl PartialEq for Sender {
    /// Returns whether both send on the same connection.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for Sender {}

impl Sender {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Sends bytes; waits while the queue is full.
    ///
    /// # Errors
    /// [`SendError::Closed`]; nothing was queued.
    ///
    /// # Cancel safety
    /// Cancel safe: when the future is dropped before it is ready, nothing was queued.
    pub async fn send(&self, bytes: impl Into<Bytes>) -> Result<(), SendError> {
        let mut bytes = bytes.into();
        poll_fn(|cx| self.shared.poll_send(cx, &mut bytes)).await
    }

    /// As [`send`](Self::send), for at most `limit`.
    ///
    /// # Errors
    /// [`SendError::TimedOut`], [`SendError::Closed`]; nothing was queued.
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn send_timeout(
        &self,
        bytes: impl Into<Bytes>,
        limit: Duration,
    ) -> Result<(), SendError> {
        let sent = timeout(limit, self.send(bytes)).await;
        sent.unwrap_or(Err(SendError::TimedOut))
    }

    /// Sends bytes if there is room, without waiting.
    ///
    /// # Errors
    /// [`SendError::Full`], [`SendError::Closed`]; nothing was queued.
    pub fn try_send(&self, bytes: impl Into<Bytes>) -> Result<(), SendError> {
        let queued = self.shared.try_send(bytes.into());
        queued.map_err(|(error, _bytes)| error)
    }

    /// Waits until everything queued, by whomever, has been given to the system.
    ///
    /// # Errors
    /// [`SendError::Closed`], when the connection has ended and something was left.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn flush(&self) -> Result<(), SendError> {
        poll_fn(|cx| self.shared.poll_flushed(cx)).await
    }

    /// Ends the connection when everything queued has been sent, and does not wait for that. Nothing more is
    /// received.
    pub fn close(&self) {
        self.shared.end(End::Closed);
    }

    /// Ends the connection at once; what is queued is dropped.
    pub fn abort(&self) {
        self.shared.end(End::Aborted);
    }

    /// Returns whether bytes can still be sent.
    pub fn is_open(&self) -> bool {
        self.shared.is_open()
    }

    /// Bytes that wait to be sent.
    pub fn queued(&self) -> usize {
        self.shared.queued.load(Ordering::Relaxed)
    }

    /// Bytes given to the system on this connection.
    pub fn bytes_sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Bytes received on this connection.
    pub fn bytes_received(&self) -> u64 {
        self.shared.received.load(Ordering::Relaxed)
    }

    /// The failure that ended the connection, if one did.
    pub fn failure(&self) -> Option<RecvError> {
        self.shared.failure()
    }

    /// The number a server gave this session, from 1 and never twice; 0 without a server.
    pub fn id(&self) -> u64 {
        self.shared.id
    }

    /// Who is at the other end, and what the TLS handshake told.
    pub fn peer(&self) -> &Peer {
        &self.shared.peer
    }

    /// Our address of the connection.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.shared.local
    }
}

/// Broadcasts to the sessions of a server, as [`RunningServer::broadcast`](super::RunningServer::broadcast) does. Does
/// not keep the server running.
#[derive(Clone, Debug)]
pub struct Broadcaster {
    broadcast: Broadcast,
}

impl Broadcaster {
    pub(super) fn new(broadcast: &Broadcast) -> Self {
        Self {
            broadcast: broadcast.clone(),
        }
    }

    /// Sends bytes to every session there is now.
    pub fn send(&self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        if !bytes.is_empty() {
            self.broadcast
                .publish(None, |open| open.extend_from_slice(bytes));
        }
    }
}
