//! Limits and deadlines of a connection, and of a server.

use std::time::Duration;

use crate::{
    net::{Address, SocketOptions},
    service,
};

/// Buffers, limits and deadlines of a connection, of either side.
///
/// ```
/// use std::time::Duration;
/// use tidewire::tcp::Config;
///
/// let config = Config::default()
///     .send_queue_bytes_max(256 << 10)
///     .idle_timeout(Duration::from_secs(300));
/// # let _ = config;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Bytes that may wait to be sent. When they would become more,
    /// [`Sender::try_send`](super::Sender::try_send) refuses and [`Sender::send`](super::Sender::send) waits; an empty
    /// queue takes any number. Default 1 MiB.
    pub send_queue_bytes_max: usize,
    /// Bytes that may be held because a part of a message has come: those that a handler leaves
    /// [unread](super::Session::keep_unread), and those of [`Connection::recv_exact`](super::Connection::recv_exact).
    /// One more ends the connection. Default 1 MiB. A connection that holds nothing owns no buffer.
    pub receive_buffer_bytes_max: usize,
    /// A peer that takes none of our bytes for this long is dropped. Default 10 s.
    pub write_timeout: Duration,
    /// A connection on which nothing is received or sent for this long is dropped. Default `None`: never.
    pub idle_timeout: Option<Duration>,
    /// How long to wait, once everything was sent and our direction has ended, for the end of the peer's; what still
    /// comes is discarded. Without it the system may take back the last bytes sent. Default 5 s.
    pub close_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            send_queue_bytes_max: 1 << 20,
            receive_buffer_bytes_max: 1 << 20,
            write_timeout: Duration::from_secs(10),
            idle_timeout: None,
            close_timeout: Duration::from_secs(5),
        }
    }
}

/// Bounds of what a server [broadcasts](super::RunningServer::broadcast).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BroadcastConfig {
    /// Most bytes kept for sessions that are behind, once for all of them; a session for which more would have to
    /// be kept is too slow. Default 1 MiB.
    pub backlog_bytes_max: usize,
    /// The treatment of a session that is too slow. Default [`TooSlow::Disconnect`].
    pub too_slow: TooSlow,
}

impl Default for BroadcastConfig {
    fn default() -> Self {
        Self {
            backlog_bytes_max: 1 << 20,
            too_slow: TooSlow::Disconnect,
        }
    }
}

/// The answer to a session that does not take what is broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooSlow {
    /// It is disconnected: no byte of the stream is ever missing.
    Disconnect,
    /// It skips what it missed, always whole broadcasts, and goes on with the oldest one still kept.
    Skip,
}

/// Where and how a server listens, and how it treats its connections.
///
/// ```
/// use tidewire::{
///     service::{Config, Workers},
///     tcp::ServerConfig,
/// };
///
/// let listen = Config::new("127.0.0.1:1111".parse()?).workers(Workers::Pool);
/// let config = ServerConfig::with(listen);
/// # let _ = config;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerConfig {
    /// Address, workers, limits, TLS, socket options.
    pub service: service::Config,
    /// Buffers, limits and deadlines of each connection.
    pub connection: Config,
    /// Bounds of what is sent to all.
    pub broadcast: BroadcastConfig,
}

impl ServerConfig {
    /// Plain bytes on `address`, everything else at its default.
    pub fn new(address: Address) -> Self {
        Self::with(service::Config::new(address))
    }

    /// Listens as `service` says, everything else at its default.
    pub fn with(service: service::Config) -> Self {
        Self {
            service,
            connection: Config::default(),
            broadcast: BroadcastConfig::default(),
        }
    }

    /// Sets the options of the listener's and the connections' sockets.
    #[must_use]
    pub fn options(mut self, options: SocketOptions) -> Self {
        self.service.options = options;
        self
    }

    /// Speaks TLS.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: impl Into<Option<crate::tls::ServerTls>>) -> Self {
        self.service.tls = tls.into();
        self
    }

    /// Sets the workers.
    #[must_use]
    pub fn workers(mut self, workers: service::Workers) -> Self {
        self.service.workers = workers;
        self
    }
}
