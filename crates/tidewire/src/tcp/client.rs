//! The client: connect, plain or with TLS.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{Config, ConnectError, Connection, shared::Shared};
use crate::net::{Address, Peer, Resolver, Socket, SocketOptions, Stream, dial};

/// Settings of a connection to be made: the address, and how to connect to it.
///
/// ```no_run
/// use tidewire::tcp::Client;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let mut connection = Client::new("127.0.0.1:7").connect().await?;
/// connection.send("hello").await?;
/// println!("{:?}", connection.recv().await?);
/// connection.close().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    target: Target,
    config: Arc<Config>,
    options: SocketOptions,
    connect_timeout: Duration,
    resolver: Resolver,
    #[cfg(feature = "tls")]
    tls: Option<crate::tls::ClientTls>,
}

#[derive(Clone, Debug)]
enum Target {
    /// A host and a port or the name of a service.
    Name(String),
    Address(Address),
}

impl Client {
    /// A client for `host:port`, where the host is a name, an IPv4 address or an IPv6 address in brackets, and the
    /// port a number or the name of a service: `example.com:http`, `[::1]:1111`.
    pub fn new(address: impl Into<String>) -> Self {
        Self::of(Target::Name(address.into()))
    }

    /// A client for an address, of IP or of a Unix socket; nothing is resolved.
    pub fn to(address: impl Into<Address>) -> Self {
        Self::of(Target::Address(address.into()))
    }

    fn of(target: Target) -> Self {
        Self {
            target,
            config: Arc::default(),
            options: SocketOptions::default(),
            connect_timeout: Duration::from_secs(10),
            resolver: Resolver::default(),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Sets limits and deadlines of the connection.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = Arc::new(config);
        self
    }

    /// Sets the options of the connection's socket.
    #[must_use]
    pub fn options(mut self, options: SocketOptions) -> Self {
        self.options = options;
        self
    }

    /// Name resolution, TCP and TLS must be done within; default 10 s in all.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Resolves names by this resolver.
    #[must_use]
    pub fn resolver(mut self, resolver: Resolver) -> Self {
        self.resolver = resolver;
        self
    }

    /// Speaks TLS: the host of the address has to be in the server's certificate, or the
    /// [name](crate::tls::ClientTlsBuilder::server_name) that was set instead, as it must be for a Unix socket.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: impl Into<Option<crate::tls::ClientTls>>) -> Self {
        self.tls = tls.into();
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// [`ConnectError`].
    ///
    /// # Cancel safety
    /// Cancel safe: when dropped, the attempt is given up.
    pub async fn connect(&self) -> Result<Connection, ConnectError> {
        let connected = timeout(self.connect_timeout, Box::pin(self.open())).await;
        let (stream, peer) = connected.map_err(|_elapsed| ConnectError::TimedOut)??;
        let local = stream.local_addr();
        let shared = Shared::new(0, peer, local, self.config.send_queue_bytes_max);
        let config = Arc::clone(&self.config);
        Ok(Connection::open(stream, Arc::new(shared), config, None))
    }

    async fn open(&self) -> Result<(Stream, Peer), ConnectError> {
        let connected = match &self.target {
            Target::Address(Address::Ip(address)) => {
                let tcp = dial::connect_with(vec![*address], &self.options).await;
                tcp.map(Socket::from)
            }
            Target::Address(unix @ Address::Unix(_)) => dial::connect_address(unix).await,
            Target::Name(name) => {
                let resolved = self.resolver.resolve(name).await;
                let addresses = resolved.map_err(|source| ConnectError::Resolve {
                    name: name.clone(),
                    source,
                })?;
                let tcp = dial::connect_with(addresses, &self.options).await;
                tcp.map(Socket::from)
            }
        };
        let socket = connected.map_err(|source| ConnectError::Io {
            name: self.name(),
            source,
        })?;
        let peer = Peer {
            address: socket.peer_addr().ok().flatten(),
            unix: socket.unix_peer(),
            ..Peer::default()
        };
        self.secure(socket, peer).await
    }

    #[cfg(feature = "tls")]
    async fn secure(&self, socket: Socket, mut peer: Peer) -> Result<(Stream, Peer), ConnectError> {
        let Some(tls) = &self.tls else {
            return Ok((Stream::Plain(socket), peer));
        };
        let connected = tls.connect_bare(&self.host(), socket).await;
        let (stream, told) = connected.map_err(|failure| ConnectError::Tls {
            name: self.name(),
            source: failure.error,
        })?;
        peer.secure = true;
        peer.tls = Some(Box::new(told));
        Ok((Stream::Tls(Box::new(stream)), peer))
    }

    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unused_async, reason = "the same signature as with TLS")]
    async fn secure(&self, socket: Socket, peer: Peer) -> Result<(Stream, Peer), ConnectError> {
        Ok((Stream::Plain(socket), peer))
    }

    fn name(&self) -> String {
        match &self.target {
            Target::Name(name) => name.clone(),
            Target::Address(address) => address.to_string(),
        }
    }

    /// The name that TLS verifies.
    #[cfg(feature = "tls")]
    fn host(&self) -> String {
        match &self.target {
            Target::Address(Address::Ip(address)) => address.ip().to_string(),
            Target::Address(unix @ Address::Unix(_)) => unix.to_string(),
            Target::Name(name) => {
                let (host, _port) = name.rsplit_once(':').unwrap_or((name, ""));
                let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
                bare.unwrap_or(host).to_owned()
            }
        }
    }
}
