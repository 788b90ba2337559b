//! The server: listen, serve, start; and a running one, seen from outside.

use std::{error::Error, fmt, net::SocketAddr, sync::Arc, time::Duration};

use tidewire_proto::fbe::MessageRef;

use super::{
    Direction, Handler, Log, Observer, SendError, Sender, ServerConfig, StartError,
    handler::Adapter, sender::encode,
};
use crate::tcp;

/// Makes the server below, whose sessions are told of to an observer.
type Below = Arc<dyn Fn(Option<Arc<dyn Observer<Sender>>>) -> tcp::Server + Send + Sync>;

/// A server that is set up: it listens and serves once it is [started](Self::start).
///
/// ```
/// use tidewire::fbe::{Client, Handler, MessageRef, Server, ServerConfig, Session};
///
/// /// Tells everybody what anybody says.
/// struct Chat;
///
/// impl Handler for Chat {
///     fn received(&mut self, session: &mut Session<'_, '_>, message: MessageRef<'_>) {
///         if let MessageRef::Notify { .. } = message {
///             session.broadcast(message).ok(); // it has been encoded before
///         }
///     }
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = ServerConfig::new("127.0.0.1:0".parse()?);
/// let server = Server::new(config, |_session| Chat).start()?;
/// let client = Client::to(server.local_addr()).connect().await?;
/// client.notify("hello").await?;
/// let echoed = client.recv().await.expect("open");
/// assert_eq!(echoed.as_ref().to_string(), "SimpleNotify(Notification=\"hello\")");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Server {
    below: Below,
    observer: Option<Arc<dyn Observer<Sender>>>,
    log: Option<Log>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl Server {
    /// Serves every connection by a [`Handler`] of its own, which `make` makes when it opens.
    pub fn new<F, H>(config: ServerConfig, make: F) -> Self
    where
        F: Fn(&Sender) -> H + Send + Sync + 'static,
        H: Handler,
    {
        let log = config.connection.log.clone();
        let make = Arc::new(make);
        let below = move |observer: Option<Arc<dyn Observer<Sender>>>| {
            let (make, connection) = (Arc::clone(&make), config.connection.clone());
            let observed = observer.clone();
            let server = tcp::Server::handlers(config.tcp.clone(), move |sender| {
                let sender = Sender::new(sender.clone(), connection.log.clone());
                Adapter::new(make(&sender), &connection, observed.clone())
            });
            let log = config.connection.log.clone();
            match observer {
                Some(observer) => server.observe(Arc::new(Observed { observer, log })),
                None => server,
            }
        };
        Self {
            below: Arc::new(below),
            observer: None,
            log,
        }
    }

    /// Tells `observer` of what happens to the server and its sessions; an [`error`](Observer::error) is a
    /// [`SessionError`](super::SessionError) where a peer broke the protocol, otherwise one of the connection below.
    #[must_use]
    pub fn observe(mut self, observer: Arc<dyn Observer<Sender>>) -> Self {
        self.observer = Some(observer);
        self
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
            tcp: (self.below)(self.observer.clone()).start()?,
            log: self.log.clone(),
        })
    }
}

/// The observer of the server below.
struct Observed {
    observer: Arc<dyn Observer<Sender>>,
    log: Option<Log>,
}

impl Observer<tcp::Sender> for Observed {
    fn started(&self) {
        self.observer.started();
    }

    fn stopped(&self) {
        self.observer.stopped();
    }

    fn connected(&self, session: &tcp::Sender) {
        let session = Sender::new(session.clone(), self.log.clone());
        self.observer.connected(&session);
    }

    fn disconnected(&self, session: &tcp::Sender) {
        let session = Sender::new(session.clone(), self.log.clone());
        self.observer.disconnected(&session);
    }

    fn error(&self, error: &(dyn Error + 'static)) {
        self.observer.error(error);
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
