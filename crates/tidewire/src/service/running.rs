//! A running server: look at it, reload it, drain it.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use tokio::time::timeout;

use super::{
    drain::Drain,
    protocol::Protocol,
    shared::{Current, Service},
};
use crate::net::{Address, Listener, TurnedAway};

/// Counters of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Connections now, in whatever state; one of HTTP/2 counts for each of its sessions.
    pub connections: usize,
    /// Open sessions now.
    pub sessions: usize,
    /// Sessions opened.
    pub opened: u64,
    /// Openings that failed: refused, malformed, TLS errors, too slow.
    pub refused: u64,
}

/// A server that accepts connections until [`drain`](Self::drain) or drop. Dropping it tells its
/// connections and aborts them.
pub struct RunningServer<P: Protocol> {
    pub(super) address: Address,
    pub(super) listeners: Vec<Listener>,
    pub(super) current: Arc<Current<P>>,
    pub(super) abort: Drain,
    pub(super) threads: Vec<thread::JoinHandle<()>>,
}

impl<P: Protocol> fmt::Debug for RunningServer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningServer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl<P: Protocol> RunningServer<P> {
    /// Where it listens, with the port that was picked.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The IP address it listens on, with the port that was picked.
    ///
    /// # Panics
    /// When it listens on a Unix socket: where that is possible, [`address`](Self::address) tells.
    pub fn local_addr(&self) -> SocketAddr {
        match self.address.socket_addr() {
            Some(address) => address,
            None => panic!(
                "a server on {} has no IP address: ask for its `address`",
                self.address
            ),
        }
    }

    /// What it accepts from, to be given to a server that succeeds this one: connections that wait
    /// to be accepted are then lost to neither. In another process, the file of a Unix socket has to be
    /// [left](Listener::leave_file) to it besides.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// What the connections to come share.
    pub fn service(&self) -> Arc<Service<P>> {
        self.current.get()
    }

    /// How many connections there are now, in whatever state.
    pub fn connections(&self) -> usize {
        self.current.get().admission.connections()
    }

    /// How many openings came to nothing: refused, malformed, TLS errors, too slow.
    pub fn refused(&self) -> u64 {
        self.current.get().refused.load(Ordering::Relaxed)
    }

    /// How many connections were turned away before they were open, by reason.
    pub fn turned_away(&self) -> TurnedAway {
        self.current.get().turned_away()
    }

    /// Accepts nothing more and lets go of the listeners, the file of a Unix socket included; what was accepted goes on, openings too.
    pub fn stop_accepting(&mut self) {
        self.listeners.clear();
        self.current.get().stop_accepting.start();
    }

    /// After [`stop_accepting`](Self::stop_accepting): waits until all connections have ended.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn ended(&self) {
        let tasks = self.current.get().tasks.clone();
        tasks.ended().await;
    }

    /// Begins the drain without waiting for its end: stops accepting, tells every connection.
    pub fn start_drain(&mut self) {
        self.listeners.clear();
        start_drain(&self.current.get());
    }

    /// Stops accepting, tells every connection and waits until all have ended, at most `within`; what remains then
    /// is aborted. Returns whether none remained.
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

impl<P: Protocol> Drop for RunningServer<P> {
    fn drop(&mut self) {
        start_drain(&self.current.get());
        self.abort.start();
        self.current.get().tasks.abort();
    }
}

/// Nothing new begins, and the protocol closes its connections first: HTTP/2 says GOAWAY behind
/// the close frames of its sessions.
fn start_drain<P: Protocol>(service: &Service<P>) {
    service.protocol.start_drain();
    service.stop_accepting.start();
    service.drain.start();
}
