//! A client whose messages are polled.

use std::{sync::MutexGuard, time::Duration};

use bytes::Bytes;
use tidewire_proto::{CloseCode, Config, Kind, Message};

use super::{InboxLimits, Security, outgoing};
use crate::sync::Mutex;
use crate::{
    blocking::Connection,
    ws::{self, Url},
};

/// Settings of a [`Client`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientConfig {
    /// Default [`Security::Plain`].
    pub security: Security,
    /// Whether messages are sent as text, which has to be UTF-8, or binary. Default text. Both
    /// are received.
    pub outgoing: Kind,
    /// Bounds of the inbox.
    pub inbox: InboxLimits,
    /// Name resolution, TCP, TLS and handshake must be done within; default 30 s.
    pub connect_timeout: Duration,
    /// Limits and deadlines of the connection.
    pub socket: Config,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            security: Security::default(),
            outgoing: Kind::Text,
            inbox: InboxLimits::default(),
            connect_timeout: Duration::from_secs(30),
            socket: Config::default(),
        }
    }
}

impl ClientConfig {
    /// Sets [`security`](Self::security).
    #[must_use]
    pub fn security(mut self, security: Security) -> Self {
        self.security = security;
        self
    }
}

/// A client did not connect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// It is connected to another endpoint; disconnect first.
    #[error("already connected to {host}:{port}")]
    Elsewhere {
        /// Where it is connected.
        host: String,
        /// Its port.
        port: u16,
    },
    /// A key or certificate cannot be used.
    #[cfg(feature = "tls")]
    #[error("TLS cannot be set up")]
    Tls(#[from] crate::tls::TlsError),
    /// The attempt failed.
    #[error("cannot connect")]
    Connect(#[from] ws::ConnectError),
}

/// A client in inbox style, for any thread. [`connect`](Self::connect),
/// [`disconnect`](Self::disconnect) and a [`send_message`](Self::send_message) to a server that does
/// not read block the thread. Dropping it aborts the connection.
#[derive(Debug, Default)]
pub struct Client {
    config: ClientConfig,
    link: Mutex<Option<Link>>,
}

#[derive(Debug)]
struct Link {
    host: String,
    port: u16,
    connection: Connection,
}

impl Client {
    /// A client, not connected.
    pub fn new(config: ClientConfig) -> Self {
        Self {
            config,
            link: Mutex::new(None),
        }
    }

    /// Connects to the path `/` of a host, a name or an IP address; blocks until it is done or has
    /// failed, and so do other calls meanwhile. True when it is connected to this endpoint, now or
    /// before; [`try_connect`](Self::try_connect) tells why not. After a connection was lost this
    /// makes a new one, and forgets what was not read.
    pub fn connect(&self, host: &str, port: u16) -> bool {
        self.try_connect(host, port).is_ok()
    }

    /// As [`connect`](Self::connect).
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn try_connect(&self, host: &str, port: u16) -> Result<(), ConnectError> {
        let mut link = self.link();
        if let Some(link) = link.as_ref().filter(|link| link.connection.is_open()) {
            if link.host == host && link.port == port {
                return Ok(());
            }
            return Err(ConnectError::Elsewhere {
                host: link.host.clone(),
                port: link.port,
            });
        }
        *link = None;
        let bracketed = host.contains(':') && !host.starts_with('[');
        let (open, close) = if bracketed { ("[", "]") } else { ("", "") };
        let scheme = self.config.security.scheme();
        let url = format!("{scheme}://{open}{host}{close}:{port}/");
        Url::parse(&url).map_err(ws::ConnectError::from)?;
        let client = ws::Client::new(&url)?
            .config(self.config.socket.clone())
            .connect_timeout(self.config.connect_timeout);
        #[cfg(feature = "tls")]
        let client = match self.config.security.client()? {
            Some(tls) => client.tls(tls),
            None => client,
        };
        let connection = Connection::open_bounded(&client, self.config.inbox.bounds())?;
        *link = Some(Link {
            host: host.to_owned(),
            port,
            connection,
        });
        Ok(())
    }

    /// Closes the connection with 1000, waits until it has ended, and forgets what was not read.
    /// Does nothing when there is none.
    pub fn disconnect(&self) {
        let Some(link) = self.link().take() else {
            return;
        };
        if let Err(error) = link.connection.close(CloseCode::NORMAL, "") {
            tracing::debug!(error = %crate::ErrorChain(&error), "the server did not take part in closing");
        }
    }

    /// Sends a message; blocks while the send queue is full. False when it was not queued: not
    /// connected, no UTF-8 for a text, or the server took nothing for too long.
    pub fn send_message(&self, bytes: &[u8]) -> bool {
        let Some(message) = outgoing(self.config.outgoing, bytes) else {
            return false;
        };
        let sender = self.link().as_ref().map(|link| link.connection.sender());
        sender.is_some_and(|sender| sender.send(message).is_ok())
    }

    /// Takes the oldest message from the inbox. What a lost connection left can be read until
    /// the next is made.
    pub fn read_message(&self) -> Option<Bytes> {
        self.read().map(|message| message.payload().clone())
    }

    /// As [`read_message`](Self::read_message); also tells text from binary.
    pub fn read(&self) -> Option<Message> {
        self.link().as_ref()?.connection.incoming().try_pop()
    }

    /// Whether the inbox holds a message.
    pub fn check_inbox(&self) -> bool {
        let link = self.link();
        link.as_ref()
            .is_some_and(|link| !link.connection.incoming().is_empty())
    }

    /// Whether it is connected, as far as is known.
    pub fn check_connection(&self) -> bool {
        let link = self.link();
        link.as_ref().is_some_and(|link| link.connection.is_open())
    }

    fn link(&self) -> MutexGuard<'_, Option<Link>> {
        self.link.lock()
    }
}
