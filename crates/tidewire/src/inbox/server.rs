//! A server whose sessions are addressed by number and polled.

use std::{
    net::SocketAddr,
    sync::{Arc, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use tidewire_proto::Message;

use super::{ServerConfig, outgoing, serving::Serving, slots::Slots};
use crate::sync::Mutex;
use crate::{
    blocking::runtime::wait,
    net::Address,
    service::Workers,
    ws::{self, RunningServer},
};

/// How much longer than the closing handshake may take [`Server::stop`] waits.
const STOP_SLACK: Duration = Duration::from_secs(1);

/// A server could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A key or certificate cannot be used.
    #[cfg(feature = "tls")]
    #[error("TLS cannot be set up")]
    Tls(#[from] crate::tls::TlsError),
    /// The address cannot be bound, or a thread not be made.
    #[error("cannot start the server")]
    Start(#[from] ws::StartError),
}

/// A message was not queued.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The number has no session.
    #[error("there is no such session")]
    NoSession,
    /// The message is to be text, and is no UTF-8.
    #[error("text has to be UTF-8")]
    NotUtf8,
    /// The session does not take it: its queue is full, or it is ending.
    #[error("the session does not take the message")]
    Session(#[source] ws::SendError),
}

/// A server in inbox style. All calls are for any thread, inside and outside of async runtimes;
/// only [`stop`](Self::stop) blocks (and [`wait_inbox`](Self::wait_inbox), as long as it is told
/// to).
///
/// Session numbers run from 1 to [`sessions_max`](ServerConfig::sessions_max); a new session takes
/// the smallest free one, which is used again after it has ended. Dropping a server aborts its
/// sessions.
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    slots: Arc<Slots>,
    running: Mutex<Option<RunningServer>>,
}

impl Server {
    /// A server, not started.
    pub fn new(config: ServerConfig) -> Self {
        Self {
            slots: Arc::new(Slots::new(config.sessions_max, config.inbox)),
            config,
            running: Mutex::new(None),
        }
    }

    /// Reads the files, binds and starts to accept, on threads of its own. Does nothing when it
    /// runs already.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(&self) -> Result<(), StartError> {
        let mut running = self.running();
        if running.is_some() {
            return Ok(());
        }
        let mut config = ws::ServerConfig::new(self.config.address.clone());
        config.workers = Workers::PerCore(self.config.threads);
        config.socket = Arc::new(self.config.socket.clone());
        config.limits.handshake_timeout = Duration::from_secs(30);
        #[cfg(feature = "tls")]
        {
            config.tls = self.config.security.server()?;
        }
        let server = ws::Server::new(config).route_any(Serving(Arc::clone(&self.slots)));
        *running = Some(server.start()?);
        Ok(())
    }

    /// Closes all sessions with 1000, stops listening and waits until all has ended, at most for
    /// the [closing handshake](tidewire_proto::Config::close_timeout) and a second; what remains
    /// is aborted. Forgets what was not read. Does nothing when it does not run; it can be
    /// started again.
    pub fn stop(&self) {
        let mut guard = self.running();
        let Some(running) = guard.take() else { return };
        self.slots.close_all();
        let within = self.config.socket.close_timeout.saturating_add(STOP_SLACK);
        match wait(running.drain(within)) {
            Ok(true) => {}
            Ok(false) => tracing::debug!("sessions had to be aborted"),
            Err(error) => tracing::error!(%error, "sessions were aborted"),
        }
        self.slots.clear();
    }

    /// Whether it is between start and stop.
    pub fn is_running(&self) -> bool {
        self.running().is_some()
    }

    /// Whether there is a session.
    pub fn is_serving(&self) -> bool {
        self.sessions_count() > 0
    }

    /// How many sessions there are.
    pub fn sessions_count(&self) -> usize {
        self.slots.count()
    }

    /// Where it listens, with the port that was picked; `None` when it does not run.
    pub fn address(&self) -> Option<Address> {
        let running = self.running();
        running.as_ref().map(|running| running.address().clone())
    }

    /// The IP address it listens on, with the port that was picked; `None` when it does not run, or listens on a Unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.address()?.socket_addr()
    }

    /// Its settings.
    pub fn config(&self) -> &ServerConfig {
        &self.config
    }

    /// Sends to a session, without waiting; false when it was not queued:
    /// [`try_send`](Self::try_send) tells why.
    pub fn send_message(&self, id: usize, bytes: &[u8]) -> bool {
        self.try_send(id, bytes).is_ok()
    }

    /// As [`send_message`](Self::send_message).
    ///
    /// # Errors
    /// [`SendError`].
    pub fn try_send(&self, id: usize, bytes: &[u8]) -> Result<(), SendError> {
        let message = outgoing(self.config.outgoing, bytes).ok_or(SendError::NotUtf8)?;
        match self.slots.send(id, message) {
            None => Err(SendError::NoSession),
            Some(sent) => sent.map_err(SendError::Session),
        }
    }

    /// Takes the oldest message from the session's inbox. What an ended session left can be read
    /// until its number is taken again.
    pub fn read_message(&self, id: usize) -> Option<Bytes> {
        self.read(id).map(|message| message.payload().clone())
    }

    /// As [`read_message`](Self::read_message); also tells text from binary.
    pub fn read(&self, id: usize) -> Option<Message> {
        self.slots.pump(id)?.incoming.try_pop()
    }

    /// Whether the session's inbox holds a message.
    pub fn check_inbox(&self, id: usize) -> bool {
        let pump = self.slots.pump(id);
        pump.is_some_and(|pump| !pump.incoming.is_empty())
    }

    /// Blocks until the session's inbox holds a message, at most `within`; false when it does
    /// not, or the session ends before.
    pub fn wait_inbox(&self, id: usize, within: Duration) -> bool {
        let pump = self.slots.pump(id);
        pump.is_some_and(|pump| pump.incoming.filled_blocking(Some(within)))
    }

    /// As [`wait_inbox`](Self::wait_inbox), for async programs and without a limit.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn inbox_filled(&self, id: usize) -> bool {
        match self.slots.pump(id) {
            Some(pump) => pump.incoming.filled().await,
            None => false,
        }
    }

    /// Whether the number has a session.
    pub fn check_session(&self, id: usize) -> bool {
        self.slots.is_live(id)
    }

    /// Starts to close a session with 1000, without waiting; messages still coming are
    /// discarded. Unknown numbers are ignored.
    pub fn close_session(&self, id: usize) {
        self.slots.close(id);
    }

    fn running(&self) -> MutexGuard<'_, Option<RunningServer>> {
        self.running.lock()
    }
}
