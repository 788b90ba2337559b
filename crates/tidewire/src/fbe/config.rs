//! Limits of a connection, where a server listens, and who is told of every message.

use std::{fmt, sync::Arc};

use tidewire_proto::fbe::{MESSAGE_BYTES_MAX_DEFAULT, MessageRef};

use crate::{net::Address, tcp};

/// Limits of a connection, of either side.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Longest message that is received, its header included, in bytes; a longer one ends the connection. Default
    /// 16 MiB. Memory is taken as the bytes of a message arrive, not as they are announced.
    pub message_bytes_max: usize,
    /// Is told of every message that is sent or received, and once of one that is sent to all. Default `None`.
    pub log: Option<Log>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            message_bytes_max: MESSAGE_BYTES_MAX_DEFAULT,
            log: None,
        }
    }
}

/// Where and how a server listens, and how it treats its connections.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerConfig {
    /// Address, TLS, socket options, buffers, deadlines, and the bounds of what is sent to all.
    pub tcp: tcp::ServerConfig,
    /// Limits of each connection.
    pub connection: Config,
}

impl ServerConfig {
    /// Listens on `address`, everything else at its default.
    pub fn new(address: Address) -> Self {
        Self::with(tcp::ServerConfig::new(address))
    }

    /// Listens as `tcp` says, everything else at its default.
    pub fn with(tcp: tcp::ServerConfig) -> Self {
        Self {
            tcp,
            connection: Config::default(),
        }
    }
}

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// It came from the peer.
    Received,
    /// It was queued for the peer.
    Sent,
}

/// A function that is told of messages. It is called where they are sent and received, and returns quickly.
#[derive(Clone)]
pub struct Log(Arc<LogFn>);

type LogFn = dyn Fn(Direction, &MessageRef<'_>) + Send + Sync;

impl Log {
    /// Calls `log` for each message; its printed form is [`MessageRef`]'s `Display`.
    pub fn new(log: impl Fn(Direction, &MessageRef<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(log))
    }

    pub(super) fn tell(&self, direction: Direction, message: &MessageRef<'_>) {
        (self.0)(direction, message);
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}
