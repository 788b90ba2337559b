//! A connection for threads.

use std::{sync::Arc, time::Duration};

use tidewire_proto::{CloseCode, CloseFrame, Message};
use tokio::task::AbortHandle;

use super::{pump::Pump, runtime::wait};
use crate::{
    queue::Bounds,
    ws::{self, Client, ConnectError, Peer, RecvError, SendError},
};

/// What may wait to be received; then the peer is not read from.
const INCOMING: Bounds = Bounds {
    items_max: 1024,
    bytes_max: 1 << 20,
};

/// Connects to `url` with default settings; for others see [`Connection::open`].
///
/// # Errors
/// [`ConnectError`].
pub fn connect(url: &str) -> Result<Connection, ConnectError> {
    Connection::open(&Client::new(url)?)
}

/// Nothing was received.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// Nothing has come so far.
    #[error("nothing has come so far")]
    Nothing,
    /// The connection is over.
    #[error(transparent)]
    Ended(#[from] RecvError),
}

/// One WebSocket connection, for threads.
///
/// All calls take `&self`: several threads may share it, and each message goes to one of them.
/// Up to 1024 messages or 1 MiB (one message of any size) are received ahead; then the peer is
/// not read from, its pings included. Dropping it aborts the connection;
/// [`close`](Self::close) ends it properly.
#[derive(Debug)]
pub struct Connection {
    pump: Pump,
    sender: Sender,
    task: Arc<AbortOnDrop>,
}

#[derive(Debug)]
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connection {
    /// Connects as `client` says.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn open(client: &Client) -> Result<Self, ConnectError> {
        Self::open_bounded(client, INCOMING)
    }

    pub(crate) fn open_bounded(client: &Client, bounds: Bounds) -> Result<Self, ConnectError> {
        let client = client.clone();
        let pump = Pump::new(bounds);
        let running = pump.clone();
        let connected = wait(async move {
            let socket = client.connect().await?;
            let sender = Sender {
                inner: socket.sender(),
            };
            let task = tokio::spawn(running.run(socket)).abort_handle();
            Ok::<_, ConnectError>((sender, AbortOnDrop(task)))
        });
        let (sender, task) = connected.map_err(ConnectError::Runtime)??;
        Ok(Self {
            pump,
            sender,
            task: Arc::new(task),
        })
    }

    /// The next message; blocks until there is one. `None` once the connection was closed
    /// properly by both ends.
    ///
    /// # Errors
    /// [`RecvError`]; the connection is over, later calls return it again.
    pub fn recv(&self) -> Result<Option<Message>, RecvError> {
        match self.pump.incoming.pop_blocking(None) {
            Some(message) => Ok(Some(message)),
            None => self.outcome(),
        }
    }

    /// As [`recv`](Self::recv); blocks for at most `within`.
    ///
    /// # Errors
    /// [`ReceiveError::Nothing`] when none came in this time; otherwise as [`recv`](Self::recv).
    pub fn recv_timeout(&self, within: Duration) -> Result<Option<Message>, ReceiveError> {
        match self.pump.incoming.pop_blocking(Some(within)) {
            Some(message) => Ok(Some(message)),
            None if self.pump.incoming.is_closed() => Ok(self.outcome()?),
            None => Err(ReceiveError::Nothing),
        }
    }

    /// As [`recv_timeout`](Self::recv_timeout), without blocking.
    ///
    /// # Errors
    /// As [`recv_timeout`](Self::recv_timeout).
    pub fn try_recv(&self) -> Result<Option<Message>, ReceiveError> {
        self.recv_timeout(Duration::ZERO)
    }

    /// As [`Sender::send`].
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        self.sender.send(message)
    }

    /// As [`Sender::try_send`].
    ///
    /// # Errors
    /// As [`Sender::try_send`].
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        self.sender.try_send(message)
    }

    /// A handle to send by from anywhere. It does not keep the connection open.
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Takes the connection apart into a part that receives and one that sends. The part that
    /// receives is the connection itself.
    pub fn split(self) -> (Self, Sender) {
        let sender = self.sender();
        (self, sender)
    }

    /// Ends the connection: sends a close frame and waits for the peer's and for the end of the
    /// stream, all within [`Config::close_timeout`](tidewire_proto::Config::close_timeout).
    /// Messages not yet received stay, those still coming are discarded. Returns the peer's
    /// close frame, if it sent one.
    ///
    /// # Errors
    /// [`RecvError`], when the peer did not take part.
    pub fn close(&self, code: CloseCode, reason: &str) -> Result<Option<CloseFrame>, RecvError> {
        self.pump.close(&self.sender.inner, code, reason);
        let ended = self.pump.ended.clone();
        if wait(async move { ended.started().await }).is_err() {
            self.task.0.abort();
        }
        self.pump.outcome().cloned().unwrap_or(Err(RecvError::Lost))
    }

    /// Whether messages can still be sent.
    pub fn is_open(&self) -> bool {
        self.pump.outcome().is_none() && self.sender.inner.is_open()
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        self.sender.inner.peer()
    }

    /// The subprotocol agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.sender.inner.subprotocol()
    }

    pub(crate) fn incoming(&self) -> &crate::queue::Queue<Message> {
        &self.pump.incoming
    }

    fn outcome(&self) -> Result<Option<Message>, RecvError> {
        match self.pump.outcome() {
            Some(Ok(_frame)) => Ok(None),
            Some(Err(error)) => Err(error.clone()),
            None => Err(RecvError::Lost),
        }
    }
}

/// Sends on a [`Connection`] from any thread; clones share one bounded queue.
#[derive(Clone, Debug)]
pub struct Sender {
    inner: ws::Sender,
}

impl Sender {
    /// Sends a message; blocks while the send queue is full.
    ///
    /// # Errors
    /// [`SendError`]; the message was not queued.
    pub fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        let message = message.into();
        match self.inner.try_send(&message) {
            Err(SendError::Full | SendError::InFragments) => {
                let inner = self.inner.clone();
                wait(async move { inner.send(message).await }).unwrap_or(Err(SendError::Closed))
            }
            done => done,
        }
    }

    /// Sends a message if there is room, without blocking.
    ///
    /// # Errors
    /// [`SendError::Full`] and the others; the message was not queued.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        self.inner.try_send(&message.into())
    }

    /// Blocks until everything queued, by whomever, has been given to the system.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn flush(&self) -> Result<(), SendError> {
        let inner = self.inner.clone();
        wait(async move { inner.flush().await }).unwrap_or(Err(SendError::Closed))
    }
}
