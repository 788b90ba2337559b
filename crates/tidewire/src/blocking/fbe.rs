//! Clients of the simple protocol for threads: every call may have a time limit.
//!
//! ```no_run
//! use std::time::Duration;
//! use tidewire::{blocking, fbe::Client};
//!
//! # fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let connection = blocking::fbe::connect(&Client::new("127.0.0.1:4444"))?;
//! let response = connection.request_timeout("hello", Duration::from_secs(1))?;
//! println!("0x{:08X}", response.hash);
//! println!("{:?}", connection.recv_timeout(Duration::from_secs(1))?);
//! connection.disconnect()?;
//! # Ok(()) }
//! ```
//!
//! Any number of threads may share a connection; their requests do not wait for one another. Messages that come unasked
//! are kept as [`fbe::Client::unread_bytes_max`](crate::fbe::Client::unread_bytes_max) says.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::runtime::wait;
use crate::{
    fbe::{
        self, Client, ConnectError, Message, MessageRef, RequestError, Response, SendError, Sender,
        SessionError,
    },
    net::Peer,
    tcp,
};

/// Connects; blocks for at most the [`connect_timeout`](tcp::Client::connect_timeout) of the client below.
///
/// # Errors
/// [`ConnectError`].
pub fn connect(client: &Client) -> Result<Connection, ConnectError> {
    let client = client.clone();
    let connected =
        wait(async move { client.connect().await }).map_err(ConnectError::Runtime)??;
    Ok(Connection(Arc::new(connected)))
}

/// Nothing was received.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// Nothing has come in time.
    #[error("nothing has come so far")]
    Nothing,
    /// The connection is over.
    #[error(transparent)]
    Ended(#[from] SessionError),
}

/// One connection, for threads. Dropping it closes it behind what is queued, without waiting for that.
#[derive(Debug)]
pub struct Connection(Arc<fbe::Connection>);

impl Connection {
    /// Sends a request and blocks until it is answered, as long as
    /// [`Client::request_timeout`](crate::fbe::Client::request_timeout) says.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn request(&self, message: &str) -> Result<Response, RequestError> {
        let (connection, message) = (Arc::clone(&self.0), message.to_owned());
        let answered = wait(async move { connection.request(&message).await });
        answered.unwrap_or(Err(RequestError::Reset))
    }

    /// As [`request`](Self::request), with a time limit of its own; `None` blocks as long as the connection lasts.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn request_timeout(
        &self,
        message: &str,
        limit: impl Into<Option<Duration>>,
    ) -> Result<Response, RequestError> {
        let (connection, message) = (Arc::clone(&self.0), message.to_owned());
        let limit = limit.into();
        let answered = wait(async move { connection.request_timeout(&message, limit).await });
        answered.unwrap_or(Err(RequestError::Reset))
    }

    /// Sends a message of any type; blocks while the queue is full.
    ///
    /// # Errors
    /// [`SendError`]; nothing was queued.
    pub fn send(&self, message: MessageRef<'_>) -> Result<(), SendError> {
        let (sender, message) = (self.sender(), message.to_message());
        let sent = wait(async move { sender.send(message.as_ref()).await });
        sent.unwrap_or(Err(SendError::CLOSED))
    }

    /// As [`send`](Self::send); blocks for at most `limit`.
    ///
    /// # Errors
    /// [`SendError`]; nothing was queued.
    pub fn send_timeout(&self, message: MessageRef<'_>, limit: Duration) -> Result<(), SendError> {
        let (sender, message) = (self.sender(), message.to_message());
        let sent = wait(async move { sender.send_timeout(message.as_ref(), limit).await });
        sent.unwrap_or(Err(SendError::CLOSED))
    }

    /// Sends a notification; blocks while the queue is full.
    ///
    /// # Errors
    /// [`SendError`]; nothing was queued.
    pub fn notify(&self, notification: &str) -> Result<(), SendError> {
        self.send(MessageRef::Notify { notification })
    }

    /// Blocks until a message comes that is no answer to a request, usually a notification; `None` when the connection
    /// has ended properly and no message is left.
    ///
    /// # Errors
    /// [`SessionError`]: it ended otherwise.
    pub fn recv(&self) -> Result<Option<Message>, SessionError> {
        let connection = Arc::clone(&self.0);
        wait(async move { next(&connection).await }).unwrap_or(Err(ABORTED))
    }

    /// As [`recv`](Self::recv); blocks for at most `limit`.
    ///
    /// # Errors
    /// [`ReceiveError`].
    pub fn recv_timeout(&self, limit: Duration) -> Result<Option<Message>, ReceiveError> {
        let connection = Arc::clone(&self.0);
        let received = wait(async move { timeout(limit, next(&connection)).await });
        match received.unwrap_or(Ok(Err(ABORTED))) {
            Ok(message) => Ok(message?),
            Err(_elapsed) => Err(ReceiveError::Nothing),
        }
    }

    /// Returns how many messages were dropped because they were not [received](Self::recv) in time.
    pub fn missed(&self) -> u64 {
        self.0.missed()
    }

    /// Asks the server to disconnect, and closes the connection when the wish has been sent; blocks until then. Threads
    /// that wait for an answer or a message are told of the end.
    ///
    /// # Errors
    /// [`SendError`]: the connection had ended.
    pub fn disconnect(self) -> Result<(), SendError> {
        let connection = self.0;
        let sent = wait(async move {
            let sent = connection.ask_to_disconnect().await;
            connection.sender().close();
            sent
        });
        sent.unwrap_or(Err(SendError::CLOSED))
    }

    /// A handle to send by without blocking, from anywhere.
    pub fn sender(&self) -> Sender {
        self.0.sender().clone()
    }

    /// Who is at the other end, and what the TLS handshake told.
    pub fn peer(&self) -> &Peer {
        self.0.sender().peer()
    }

    /// Returns whether something can still be sent.
    pub fn is_open(&self) -> bool {
        self.0.is_open()
    }
}

async fn next(connection: &fbe::Connection) -> Result<Option<Message>, SessionError> {
    match connection.recv().await {
        Some(message) => Ok(Some(message)),
        None => connection.closed().await.map(|()| None),
    }
}

/// The task that was waited for has panicked.
const ABORTED: SessionError = SessionError::Tcp(tcp::RecvError::Aborted);
