//! The client: connect, plain or with TLS.

use std::{sync::Arc, time::Duration};

use super::{
    Config, ConnectError, Connection,
    handler::Adapter,
    requests::{Answers, Requests},
};
use crate::{net::Address, tcp};

/// Settings of a connection to be made.
///
/// ```no_run
/// use tidewire::fbe::{Client, RequestError};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let connection = Client::new("127.0.0.1:4444").connect().await?;
/// match connection.request("hello").await {
///     Ok(response) => println!("0x{:08X}", response.hash),
///     Err(RequestError::Rejected(why)) => println!("rejected: {why}"),
///     Err(error) => return Err(error.into()),
/// }
/// connection.disconnect().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) tcp: tcp::Client,
    pub(super) config: Config,
    pub(super) request_timeout: Option<Duration>,
    requests_max: usize,
    unread_bytes_max: usize,
}

impl Client {
    /// A client for `host:port`; see [`tcp::Client::new`].
    pub fn new(address: impl Into<String>) -> Self {
        Self::with(tcp::Client::new(address))
    }

    /// A client for an address; nothing is resolved.
    pub fn to(address: impl Into<Address>) -> Self {
        Self::with(tcp::Client::to(address))
    }

    /// A client that connects as `tcp` does: TLS, socket options, timeouts, buffers.
    pub fn with(tcp: tcp::Client) -> Self {
        Self {
            tcp,
            config: Config::default(),
            request_timeout: Some(Duration::from_mins(1)),
            requests_max: 65_536,
            unread_bytes_max: 1 << 20,
        }
    }

    /// Sets the limits of the connection.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Sets how long a [request](Connection::request) waits for its answer; default one minute, `None` as long as the
    /// connection lasts.
    #[must_use]
    pub fn request_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.request_timeout = limit.into();
        self
    }

    /// Sets how many requests may wait for their answers at a time; default 65 536. One more is refused.
    #[must_use]
    pub fn requests_max(mut self, count: usize) -> Self {
        self.requests_max = count;
        self
    }

    /// Sets how many bytes of messages that came unasked are kept until they are [received](Connection::recv); default
    /// 1 MiB. Of more the oldest are dropped and [counted](Connection::missed); the newest one is always kept.
    #[must_use]
    pub fn unread_bytes_max(mut self, bytes: usize) -> Self {
        self.unread_bytes_max = bytes;
        self
    }

    /// Connects. A task of the runtime drives the connection until it is closed or dropped.
    ///
    /// # Errors
    /// [`ConnectError`].
    ///
    /// # Cancel safety
    /// Cancel safe: when dropped, the attempt is given up.
    pub async fn connect(&self) -> Result<Connection, ConnectError> {
        let tcp = self.tcp.connect().await?;
        let sender = super::Sender::new(tcp.sender(), self.config.log.clone());
        let requests = Arc::new(self.requests());
        let handler = self.handler(&requests);
        tokio::spawn(async move {
            // The handler is told how it ended.
            tcp.run(handler).await.ok();
        });
        Ok(Connection::new(sender, requests, self.request_timeout))
    }

    pub(super) fn requests(&self) -> Requests {
        Requests::new(self.requests_max, self.unread_bytes_max)
    }

    pub(super) fn handler(&self, requests: &Arc<Requests>) -> Adapter<Answers> {
        Adapter::new(Answers(Arc::clone(requests)), &self.config, None)
    }
}
