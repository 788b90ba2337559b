//! A running server: look at it, reach its sessions, drain it.

use std::{fmt, net::SocketAddr, sync::atomic::Ordering, time::Duration};

use tidewire_proto::{CloseCode, Message, Stats};

use super::sockets::{Life, Sockets};
use crate::{
    net::{Address, Listener, TurnedAway},
    service::{self, ServerStats},
    ws::{Sender, Topic},
};

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
    service: service::RunningServer<Sockets>,
    life: Life,
}

impl fmt::Debug for RunningServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.service.fmt(f)
    }
}

impl RunningServer {
    pub(super) fn new(service: service::RunningServer<Sockets>, life: Life) -> Self {
        Self { service, life }
    }

    pub(super) fn reconfigure_with(&self, server: impl FnOnce(Life) -> service::Server<Sockets>) {
        self.service.reconfigure(&server(self.life.clone()));
    }

    /// Where it listens, with the port that was picked.
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

    /// What it accepts from, to be given to a server that succeeds this one: connections that wait
    /// to be accepted are then lost to neither. In another process, the file of a Unix socket has to be
    /// [left](Listener::leave_file) to it besides.
    pub fn listeners(&self) -> &[Listener] {
        self.service.listeners()
    }

    /// How many connections were turned away before they were open, by reason.
    pub fn turned_away(&self) -> TurnedAway {
        self.service.turned_away()
    }

    /// Accepts nothing more and lets go of the listeners, the file of a Unix socket included; what was accepted goes on, handshakes too.
    /// Connections of HTTP/2 are told to open no more streams.
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

    /// Begins the drain without waiting for its end: stops accepting, closes every WebSocket with 1001.
    pub fn start_drain(&mut self) {
        self.service.start_drain();
    }

    /// A snapshot of the counters.
    pub fn stats(&self) -> ServerStats {
        ServerStats {
            connections: self.service.connections(),
            sessions: self.life.sessions.len(),
            opened: self.life.opened.load(Ordering::Relaxed),
            refused: self.service.refused(),
        }
    }

    /// What the sessions have moved. Looks at every session; what a session has received counts
    /// once it waits for more.
    pub fn traffic(&self) -> Traffic {
        let counters = self.life.sessions.counters();
        Traffic {
            total: counters.stats,
            bytes_queued: counters.queued,
        }
    }

    /// The open session with this [id](crate::ws::WebSocket::id).
    pub fn session(&self, id: u64) -> Option<Sender> {
        self.life.sessions.find(id)
    }

    /// All open sessions.
    pub fn sessions(&self) -> Vec<Sender> {
        self.life.sessions.all()
    }

    /// The topic that every session is a member of: publish to it to reach them all.
    pub fn everyone(&self) -> &Topic {
        &self.life.everyone
    }

    /// Sends a message to every session there is now; connections that have not been upgraded are none. Short for
    /// publishing to [`everyone`](Self::everyone): never waits, and frames the message once. What becomes of sessions
    /// that do not take it in time is told by [`TopicConfig`](crate::ws::TopicConfig).
    pub fn broadcast(&self, message: &Message) {
        match message {
            Message::Text(text) => self.life.everyone.publish_text(text),
            Message::Binary(bytes) => self.life.everyone.publish_binary(bytes),
        }
    }

    /// Starts the closing handshake with every session there is now.
    pub fn close_all(&self, code: CloseCode, reason: &str) {
        self.life.sessions.close_all(code, reason);
    }

    /// Stops accepting, closes every WebSocket with 1001 and waits until all connections have
    /// ended, at most `within`; what remains then is aborted. Returns whether none remained.
    ///
    /// # Cancel safety
    /// Not cancel safe: when dropped, connections are aborted.
    pub async fn drain(self, within: Duration) -> bool {
        self.service.drain(within).await
    }
}
