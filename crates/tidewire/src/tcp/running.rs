//! A running server: look at it, reach its sessions, drain it.

use std::{
    fmt,
    net::SocketAddr,
    ops::AddAssign,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{
    Broadcaster, Sender,
    protocol::{Bytes, Life},
    shared::{End, Shared},
};
use crate::{
    net::{Address, Listener},
    service::{self, Registered, ServerStats},
};

/// Bytes that a server's sessions have moved since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Bytes received by all sessions, those that have ended too.
    pub bytes_received: u64,
    /// Bytes given to the system by all sessions, those that have ended too.
    pub bytes_sent: u64,
    /// Bytes that wait to be sent now; what was broadcast counts for a session once that has taken it over.
    pub bytes_queued: usize,
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.bytes_received += other.bytes_received;
        self.bytes_sent += other.bytes_sent;
        self.bytes_queued += other.bytes_queued;
    }
}

impl Registered for Shared {
    type Counters = Traffic;

    fn counters(&self) -> Traffic {
        Traffic {
            bytes_received: self.received.load(Ordering::Relaxed),
            bytes_sent: self.sent.load(Ordering::Relaxed),
            bytes_queued: self.queued.load(Ordering::Relaxed),
        }
    }
}

/// A server that accepts connections until [`drain`](Self::drain) or drop. Dropping it tells its sessions and aborts
/// them.
pub struct RunningServer {
    service: service::RunningServer<Bytes>,
    life: Arc<Life>,
}

impl fmt::Debug for RunningServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.service.fmt(f)
    }
}

impl RunningServer {
    pub(super) fn new(service: service::RunningServer<Bytes>, life: Arc<Life>) -> Self {
        Self { service, life }
    }

    /// The address it listens on.
    pub fn address(&self) -> &Address {
        self.service.address()
    }

    /// The IP address it listens on, with the port that was picked.
    ///
    /// # Panics
    /// When it listens on a Unix socket: where that is possible, [`address`](Self::address) tells.
    pub fn local_addr(&self) -> SocketAddr {
        self.service.local_addr()
    }

    /// Returns the listeners, to be given to a server that succeeds this one: connections that wait to be accepted
    /// are then lost to neither.
    pub fn listeners(&self) -> &[Listener] {
        self.service.listeners()
    }

    pub(super) fn reconfigure_with(
        &self,
        server: impl FnOnce(Arc<Life>) -> service::Server<Bytes>,
    ) {
        self.service.reconfigure(&server(Arc::clone(&self.life)));
    }

    /// A snapshot of the counters.
    pub fn stats(&self) -> ServerStats {
        ServerStats {
            connections: self.service.connections(),
            sessions: self.life.sessions.len(),
            opened: self.life.sessions.opened(),
            refused: self.service.refused(),
        }
    }

    /// Returns what the sessions have moved. Looks at every session.
    pub fn traffic(&self) -> Traffic {
        self.life.sessions.counters()
    }

    /// The open session with this id.
    pub fn find(&self, id: u64) -> Option<Sender> {
        self.life.sessions.find(id).map(Sender::new)
    }

    /// All open sessions.
    pub fn sessions(&self) -> Vec<Sender> {
        let sessions = self.life.sessions.all().into_iter();
        sessions.map(Sender::new).collect()
    }

    /// Sends bytes to every session there is now. They are copied once, into a block that all sessions send by
    /// reference; a session that waits is woken once for however much is broadcast until it runs. Never waits: what
    /// becomes of sessions that do not take it in time is told by
    /// [`BroadcastConfig::too_slow`](super::BroadcastConfig::too_slow).
    ///
    /// A session is sent what one task broadcasts in that order, and whole; between that and what is sent to it
    /// alone there is no order.
    pub fn broadcast(&self, bytes: impl AsRef<[u8]>) {
        self.broadcaster().send(bytes);
    }

    /// A handle to broadcast by, for other tasks and threads.
    pub fn broadcaster(&self) -> Broadcaster {
        Broadcaster::new(&self.life.broadcast)
    }

    /// Ends every session there is now, behind what is queued.
    pub fn disconnect_all(&self) {
        for session in self.life.sessions.all() {
            session.end(End::Closed);
        }
    }

    /// Accepts nothing more and lets go of the listeners; what was accepted goes on, handshakes too.
    pub fn stop_accepting(&mut self) {
        self.service.stop_accepting();
    }

    /// After [`stop_accepting`](Self::stop_accepting): waits until all connections have ended.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn ended(&self) {
        self.service.ended().await;
    }

    /// Begins the drain without waiting for its end: stops accepting, ends every session behind what is queued.
    pub fn start_drain(&mut self) {
        self.service.start_drain();
    }

    /// Stops accepting, ends every session behind what is queued and waits until all connections have ended, at most
    /// `within`; what remains then is aborted. Returns whether none remained.
    ///
    /// # Cancel safety
    /// Not cancel safe: when dropped, connections are aborted.
    pub async fn drain(self, within: Duration) -> bool {
        self.service.drain(within).await
    }
}
