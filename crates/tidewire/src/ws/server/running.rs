//! A running server: look at it, reach its sessions, drain it.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use tidewire_proto::{CloseCode, Stats};
use tokio::time::timeout;

use super::{Current, Server};
use crate::{
    service::Drain,
    ws::{Sender, Topic},
};

/// Counters of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Connections now, in whatever state; one of HTTP/2 counts for each of its sessions.
    pub connections: usize,
    /// Open WebSockets now.
    pub sessions: usize,
    /// WebSockets opened.
    pub opened: u64,
    /// Handshakes that failed: refused, malformed, TLS errors, too slow.
    pub refused: u64,
}

/// What a server's sessions have moved since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Messages and bytes of all sessions, those that have ended too.
    pub total: Stats,
    /// Bytes queued now and not yet given to the system.
    pub bytes_queued: usize,
}

/// A server that accepts connections until [`drain`](Self::drain) or drop. Dropping it tells its
/// sessions and aborts them.
pub struct RunningServer {
    pub(super) address: SocketAddr,
    pub(super) listeners: Vec<std::net::TcpListener>,
    pub(super) current: Arc<Current>,
    pub(super) abort: Drain,
    pub(super) threads: Vec<thread::JoinHandle<()>>,
    pub(super) everyone: Topic,
}

impl fmt::Debug for RunningServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningServer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl RunningServer {
    /// The address it listens on, with the port that was picked.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What it accepts from, to be given to a server that succeeds this one: connections that wait
    /// to be accepted are then lost to neither.
    pub fn listeners(&self) -> &[std::net::TcpListener] {
        &self.listeners
    }

    /// Serves the connections to come as `server` says: TLS, routes, limits and all. Those that are
    /// there stay as they are, and count for the new limits. Address, workers and the topic of
    /// [everyone](Self::everyone) stay the same.
    pub fn reconfigure(&self, server: &Server) {
        self.current.set(server.shared(Some(&self.current.get())));
    }

    /// Accepts nothing more and lets go of the listeners; what was accepted goes on, handshakes too.
    /// Connections of HTTP/2 are told to open no more streams.
    pub fn stop_accepting(&mut self) {
        self.listeners.clear();
        self.current.get().full.start();
    }

    /// After [`stop_accepting`](Self::stop_accepting): waits until all connections have ended.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn ended(&self) {
        let tasks = self.current.get().tasks.clone();
        tasks.ended().await;
    }

    /// Begins the drain without waiting for its end: stops accepting, closes every WebSocket with 1001.
    pub fn start_drain(&mut self) {
        self.listeners.clear();
        self.current.get().start_drain();
    }

    /// A snapshot of the counters.
    pub fn stats(&self) -> ServerStats {
        ServerStats {
            connections: self.current.get().admission.connections(),
            sessions: self.current.get().sessions.len(),
            opened: self.current.get().opened.load(Ordering::Relaxed),
            refused: self.current.get().refused.load(Ordering::Relaxed),
        }
    }

    /// What the sessions have moved. Looks at every session; what a session has received counts
    /// once it waits for more.
    pub fn traffic(&self) -> Traffic {
        let (total, bytes_queued) = self.current.get().sessions.stats();
        Traffic {
            total,
            bytes_queued,
        }
    }

    /// The open session with this [id](crate::ws::WebSocket::id).
    pub fn session(&self, id: u64) -> Option<Sender> {
        self.current.get().sessions.find(id)
    }

    /// All open sessions.
    pub fn sessions(&self) -> Vec<Sender> {
        self.current.get().sessions.all()
    }

    /// The topic that every session is a member of: publish to it to reach them all.
    pub fn everyone(&self) -> &Topic {
        &self.everyone
    }

    /// Starts the closing handshake with every session there is now.
    pub fn close_all(&self, code: CloseCode, reason: &str) {
        self.current.get().sessions.close_all(code, reason);
    }

    /// Stops accepting, closes every WebSocket with 1001 and waits until all connections have
    /// ended, at most `within`; what remains then is aborted. Returns whether none remained.
    ///
    /// # Cancel safety
    /// Not cancel safe: when dropped, connections are aborted.
    pub async fn drain(mut self, within: Duration) -> bool {
        self.start_drain();
        let finished = timeout(within, self.current.get().tasks.ended())
            .await
            .is_ok();
        self.abort.start();
        self.current.get().tasks.abort();
        for thread in self.threads.drain(..) {
            // The thread ends as soon as it sees `abort`; a panic in it was reported already.
            if tokio::task::spawn_blocking(move || thread.join())
                .await
                .is_err()
            {
                tracing::error!("a worker thread could not be joined");
            }
        }
        finished
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.current.get().start_drain();
        self.abort.start();
        self.current.get().tasks.abort();
    }
}
