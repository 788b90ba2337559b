//! A client that keeps a connection: connects, and connects again whenever it ends.
//!
//! In: a [`Client`] and a [`Backoff`]. Out: one task, that of [`tcp::Reconnecting`], and a handle for requests and what
//! comes unasked. Invariants: what waits for an answer is reset when its connection ends, before the next one is made;
//! messages that have come are kept across connections.

use std::{fmt, sync::Arc, time::Duration};

use tidewire_proto::fbe::{Message, MessageRef};

use super::{
    Backoff, Client, ConnectError, Log, RequestError, Response, SendError, Sender, SessionError,
    requests::{Requests, ask, within},
};
use crate::tcp;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownReason {
    /// The attempt failed.
    #[error("cannot connect")]
    Connect(#[source] ConnectError),
    /// The connection ended properly.
    #[error("the connection was closed")]
    Closed,
    /// The connection ended otherwise.
    #[error("the connection was lost")]
    Lost(#[source] SessionError),
}

/// Is told that there is no connection, and when the next attempt begins; `None` when there is none.
type Down = Box<dyn FnMut(&DownReason, Option<Duration>) + Send>;

/// Settings of a [`Reconnecting`] client.
///
/// ```no_run
/// use std::time::Duration;
/// use tidewire::fbe::{Backoff, Client};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::new("127.0.0.1:4444")
///     .reconnect(Backoff::default())
///     .on_down(|reason, retry_in| eprintln!("{reason}, again in {retry_in:?}"))
///     .start();
/// let response = client.request("hello").await?; // waits for a connection
/// println!("0x{:08X}", response.hash);
/// client.close(Duration::from_secs(5)).await;
/// # Ok(()) }
/// ```
pub struct Reconnect {
    client: Client,
    backoff: Backoff,
    down: Down,
}

impl fmt::Debug for Reconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconnect")
            .field("client", &self.client)
            .field("backoff", &self.backoff)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Keeps a connection: connects, and connects again whenever it ends, also by a wish of the server, until
    /// [`Reconnecting::close`]. Gives up after [`Backoff::failures_max`], and when a certificate is not accepted.
    pub fn reconnect(self, backoff: Backoff) -> Reconnect {
        Reconnect {
            client: self,
            backoff,
            down: Box::new(|_reason, _retry_in| ()),
        }
    }
}

impl Reconnect {
    /// Calls `down` whenever an attempt has failed or a connection has ended, with the wait before the next attempt;
    /// `None` when there is none. Requests that waited have been reset then.
    #[must_use]
    pub fn on_down(
        mut self,
        down: impl FnMut(&DownReason, Option<Duration>) + Send + 'static,
    ) -> Self {
        self.down = Box::new(down);
        self
    }

    /// Starts, in a task of its own.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(self) -> Reconnecting {
        let Self {
            client,
            backoff,
            mut down,
        } = self;
        let requests = Arc::new(client.requests());
        requests.last();
        let (log, request_timeout) = (client.config.log.clone(), client.request_timeout);
        let (of_the_last, finish) = (Arc::clone(&requests), Finish(Arc::clone(&requests)));
        let tcp = client
            .tcp
            .clone()
            .reconnect(backoff)
            .on_down_owned(move |reason, retry_in| {
                let outcome = of_the_last.restart();
                down(&DownReason::new(reason, outcome), retry_in);
            })
            .start_with(move |connection| connection.run(client.handler(&finish.0)));
        Reconnecting {
            tcp,
            requests,
            log,
            request_timeout,
        }
    }
}

impl DownReason {
    fn new(below: tcp::DownReason, outcome: Option<Result<(), SessionError>>) -> Self {
        match (below, outcome) {
            (tcp::DownReason::Connect(error), _) => Self::Connect(error),
            // It knows what the connection below does not: whether the peer broke the protocol.
            (_, Some(Err(error))) => Self::Lost(error),
            (tcp::DownReason::Closed, _) => Self::Closed,
            (tcp::DownReason::Lost(error), _) => Self::Lost(SessionError::Tcp(error)),
        }
    }
}

/// However the task ends, nobody waits in vain.
struct Finish(Arc<Requests>);

impl Drop for Finish {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// A client that keeps a connection; all functions may be called by several tasks at once. Dropping it aborts the
/// connection; [`close`](Self::close) ends it properly.
#[derive(Debug)]
pub struct Reconnecting {
    tcp: tcp::Reconnecting,
    requests: Arc<Requests>,
    log: Option<Log>,
    request_timeout: Option<Duration>,
}

impl Reconnecting {
    /// The connection there is now.
    pub fn sender(&self) -> Option<Sender> {
        self.tcp.sender().map(|tcp| self.of(tcp))
    }

    fn of(&self, tcp: tcp::Sender) -> Sender {
        Sender::new(tcp, self.log.clone())
    }

    /// Waits for a connection; `None` when the client has given up.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn connected(&self) -> Option<Sender> {
        let tcp = self.tcp.connected().await?;
        Some(self.of(tcp))
    }

    /// Returns whether the client has given up.
    pub fn has_ended(&self) -> bool {
        self.tcp.has_ended()
    }

    /// Sends a request and waits for its answer, as long as [`Client::request_timeout`] says; without a connection it
    /// waits for the next one first.
    ///
    /// # Errors
    /// [`RequestError`]; [`RequestError::Reset`] when the connection it was sent on has ended: it is not sent again.
    ///
    /// # Cancel safety
    /// As [`Connection::request`](super::Connection::request).
    pub async fn request(&self, message: &str) -> Result<Response, RequestError> {
        self.request_timeout(message, self.request_timeout).await
    }

    /// As [`request`](Self::request), with a time limit of its own; `None` has none.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    ///
    /// # Cancel safety
    /// As [`request`](Self::request).
    pub async fn request_timeout(
        &self,
        message: &str,
        limit: impl Into<Option<Duration>>,
    ) -> Result<Response, RequestError> {
        let answered = async {
            let sender = self.connected().await.ok_or(SendError::CLOSED)?;
            ask(&self.requests, &sender, message).await
        };
        within(limit.into(), answered).await
    }

    /// Sends a notification on the connection there is; waits while the queue is full.
    ///
    /// # Errors
    /// [`SendError`], also while there is no connection; nothing was queued.
    ///
    /// # Cancel safety
    /// As [`Sender::send`].
    pub async fn notify(&self, notification: &str) -> Result<(), SendError> {
        let sender = self.sender().ok_or(SendError::CLOSED)?;
        sender.send(MessageRef::Notify { notification }).await
    }

    /// Sends a message on the connection there is, without waiting.
    ///
    /// # Errors
    /// [`SendError`], also while there is no connection; nothing was queued.
    pub fn try_send(&self, message: MessageRef<'_>) -> Result<(), SendError> {
        self.sender().ok_or(SendError::CLOSED)?.try_send(message)
    }

    /// The next message that is no answer to a request, of whatever connection, in order; `None` when the client has
    /// given up and none is left.
    ///
    /// # Cancel safety
    /// Cancel safe: no message is lost when the future is dropped.
    pub async fn recv(&self) -> Option<Message> {
        self.requests.next().await
    }

    /// Returns how many messages were dropped because they were not [received](Self::recv) in time.
    pub fn missed(&self) -> u64 {
        self.requests.missed()
    }

    /// Ends the connection there is, behind what is queued, and connects anew; without one the next attempt begins at
    /// once.
    pub fn reconnect(&self) {
        self.tcp.reconnect();
    }

    /// Ends the connection behind what is queued, at most `within`, then aborts it; no other is made. When this returns,
    /// nothing runs any more.
    ///
    /// # Cancel safety
    /// When dropped, the client is aborted.
    pub async fn close(self, within: Duration) {
        self.tcp.close(within).await;
    }
}
