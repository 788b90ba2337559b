//! Sending from anywhere: a handle that can be cloned and given to other tasks and threads.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use super::{
    error::{GroupError, SendError},
    group::Group,
    outgoing::{Full, Outgoing},
    shared::Shared,
    traffic::Traffic,
};

/// Sends on a socket that somebody else receives from.
///
/// Clones share one bounded queue ([`send_queue_bytes_max`](super::Config::send_queue_bytes_max)). A datagram is given to
/// the system at once; what the system does not take for now is sent in order as soon as it does. Keeping a sender does not
/// keep a server's socket open.
#[derive(Clone)]
pub struct Sender {
    pub(super) shared: Arc<Shared>,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("local", &self.shared.core.local)
            .field("peer", &self.shared.core.peer)
            .finish_non_exhaustive()
    }
}

impl Sender {
    /// Sends to the peer; waits while the queue is full.
    ///
    /// # Errors
    /// [`SendError`]; the datagram was not sent.
    ///
    /// # Cancel safety
    /// Cancel safe: when the future is dropped before it is ready, the datagram was not sent.
    pub async fn send(&self, payload: &[u8]) -> Result<(), SendError> {
        self.shared.send(payload, None, None).await
    }

    /// Sends to `to`; waits while the queue is full.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn send_to(&self, payload: &[u8], to: SocketAddr) -> Result<(), SendError> {
        self.shared.send(payload, Some(to), None).await
    }

    /// As [`send`](Self::send), but waits for `timeout` at most.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`SendError::Timeout`].
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn send_timeout(&self, payload: &[u8], timeout: Duration) -> Result<(), SendError> {
        let sent = tokio::time::timeout(timeout, self.send(payload)).await;
        sent.unwrap_or(Err(SendError::Timeout))
    }

    /// As [`send_to`](Self::send_to), but waits for `timeout` at most.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`SendError::Timeout`].
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn send_to_timeout(
        &self,
        payload: &[u8],
        to: SocketAddr,
        timeout: Duration,
    ) -> Result<(), SendError> {
        let sent = tokio::time::timeout(timeout, self.send_to(payload, to)).await;
        sent.unwrap_or(Err(SendError::Timeout))
    }

    /// Sends to the peer without waiting.
    ///
    /// # Errors
    /// [`SendError::Full`] and the others; the datagram was not sent.
    pub fn try_send(&self, payload: &[u8]) -> Result<(), SendError> {
        self.shared.try_send(payload, None, None)
    }

    /// Sends to `to` without waiting.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn try_send_to(&self, payload: &[u8], to: SocketAddr) -> Result<(), SendError> {
        self.shared.try_send(payload, Some(to), None)
    }

    /// Sends all that `queue` brings, in as few calls of the system as possible, without waiting.
    ///
    /// ```
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// use tidewire::udp::Client;
    ///
    /// let socket = Client::new("127.0.0.1:9").connect().await?;
    /// let queued = socket.sender().try_send_many(|batch| {
    ///     (0..100_u8).take_while(|number| batch.send(&[*number]).is_ok()).count()
    /// })?;
    /// assert_eq!(queued, 100);
    /// # Ok(()) }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`SendError::Closed`].
    pub fn try_send_many<R>(
        &self,
        queue: impl FnOnce(&mut Batch<'_>) -> R,
    ) -> Result<R, SendError> {
        self.shared
            .try_send_many(|shared, out| queue(&mut Batch { shared, out }))
    }

    /// Waits until everything queued here, by whomever, has been given to the system.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn flush(&self) -> Result<(), SendError> {
        self.shared.flush().await
    }

    /// Ends the socket: its receiver is told that there is nothing more.
    pub fn close(&self) {
        self.shared.start_close();
    }

    /// Returns whether datagrams can still be sent.
    pub fn is_open(&self) -> bool {
        !self.shared.is_closed()
    }

    /// The address the socket is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.core.local
    }

    /// The peer of a client.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.shared.core.peer
    }

    /// Bytes of payload queued and not yet given to the system.
    pub fn queued(&self) -> usize {
        self.shared.queued()
    }

    /// The counters of the socket.
    pub fn traffic(&self) -> Traffic {
        self.shared.traffic()
    }

    /// Joins a multicast group: from now on the socket receives what is sent to it.
    ///
    /// # Errors
    /// [`GroupError`]: it is none, there is no such interface, or the system allows no further one.
    pub fn join(&self, group: &Group) -> Result<(), GroupError> {
        self.shared.join(group)
    }

    /// Leaves a multicast group, which must be the one that was joined, source and interface included. Dropping the socket
    /// leaves all.
    ///
    /// # Errors
    /// [`GroupError`]: the socket is no member of it.
    pub fn leave(&self, group: &Group) -> Result<(), GroupError> {
        self.shared.leave(group)
    }

    /// The groups the socket is a member of.
    pub fn groups(&self) -> Vec<Group> {
        self.shared.core.groups()
    }
}

/// Datagrams that leave together; see [`Sender::try_send_many`].
pub struct Batch<'a> {
    shared: &'a Shared,
    out: &'a mut Outgoing,
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").finish_non_exhaustive()
    }
}

impl Batch<'_> {
    /// Adds a datagram to the peer.
    ///
    /// # Errors
    /// [`SendError`]; it was not added.
    pub fn send(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.push(payload, None)
    }

    /// Adds a datagram to `to`.
    ///
    /// # Errors
    /// [`SendError`]; it was not added.
    pub fn send_to(&mut self, payload: &[u8], to: SocketAddr) -> Result<(), SendError> {
        self.push(payload, Some(to))
    }

    fn push(&mut self, payload: &[u8], to: Option<SocketAddr>) -> Result<(), SendError> {
        let to = self.shared.core.check(payload.len(), to)?;
        let pushed = self.out.push(payload, to, None);
        pushed.map_err(|Full| SendError::Full)
    }
}
