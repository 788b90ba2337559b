//! The server: listen, serve, start; and a running one, seen from outside.

use std::{net::SocketAddr, time::Duration};

use tidewire_proto::fbe::MessageRef;

use super::{
    Direction, Handler, Log, SendError, Sender, ServerConfig, StartError, handler::Adapter,
    sender::encode,
};
use crate::tcp;

/// A server that is set up: it listens and serves once it is [started](Self::start).
#[derive(Clone, Debug)]
pub struct Server {
    tcp: tcp::Server,
    log: Option<Log>,
}

impl Server {
    /// Serves every connection by a [`Handler`] of its own, which `make` makes when it opens.
    pub fn new<F, H>(config: ServerConfig, make: F) -> Self
    where
        F: Fn(&Sender) -> H + Send + Sync + 'static,
        H: Handler,
    {
        let log = config.connection.log.clone();
        let connection = config.connection;
        let tcp = tcp::Server::handlers(config.tcp, move |sender| {
            let sender = Sender::new(sender.clone(), connection.log.clone());
            Adapter::new(make(&sender), &connection)
        });
        Self { tcp, log }
    }

    /// Binds and starts to accept. The server can be started again, with nothing left of its last run.
    ///
    /// # Errors
    /// [`StartError`].
    ///
    /// # Panics
    /// With [`Workers::Pool`](crate::service::Workers::Pool), outside of a tokio runtime.
    pub fn start(&self) -> Result<RunningServer, StartError> {
        Ok(RunningServer {
            tcp: self.tcp.start()?,
            log: self.log.clone(),
        })
    }
}

/// A server that accepts connections until [`drain`](Self::drain) or drop. Dropping it aborts its sessions.
#[derive(Debug)]
pub struct RunningServer {
    tcp: tcp::RunningServer,
    log: Option<Log>,
}

impl RunningServer {
    /// The address it listens on, with the port that was picked.
    ///
    /// # Panics
    /// When it listens on a Unix socket.
    pub fn local_addr(&self) -> SocketAddr {
        self.tcp.local_addr()
    }

    /// The open session with this id.
    pub fn find(&self, id: u64) -> Option<Sender> {
        let found = self.tcp.find(id)?;
        Some(Sender::new(found, self.log.clone()))
    }

    /// All open sessions.
    pub fn sessions(&self) -> Vec<Sender> {
        let sessions = self.tcp.sessions().into_iter();
        let sender = |session| Sender::new(session, self.log.clone());
        sessions.map(sender).collect()
    }

    /// Sends a message, usually a notification, to every session there is now. It is encoded once. What becomes of
    /// sessions that do not take it in time is told by [`tcp::BroadcastConfig::too_slow`].
    ///
    /// # Errors
    /// [`SendError::Encode`]; nobody was sent anything.
    pub fn broadcast(&self, message: MessageRef<'_>) -> Result<(), SendError> {
        let bytes = encode(&message)?;
        // First, so that it stands before the answers.
        if let Some(log) = &self.log {
            log.tell(Direction::Sent, &message);
        }
        self.tcp.broadcast(bytes);
        Ok(())
    }

    /// Ends every session there is now, behind what is queued.
    pub fn disconnect_all(&self) {
        self.tcp.disconnect_all();
    }

    /// The server below, for its counters, listeners and addresses.
    pub fn tcp(&self) -> &tcp::RunningServer {
        &self.tcp
    }

    /// Stops accepting, ends every session behind what is queued and waits until all connections have ended, at most
    /// `within`; what remains then is aborted. Returns whether none remained.
    ///
    /// # Cancel safety
    /// Not cancel safe: when dropped, connections are aborted.
    pub async fn drain(self, within: Duration) -> bool {
        self.tcp.drain(within).await
    }
}
