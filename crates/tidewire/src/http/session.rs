//! [`Session`]: a client's connection, as hooks see it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use http::request::Parts;

use super::cache::CachedBody;
use crate::{net::Peer, service::Drain};

/// A connection over which requests come. An extension of each request, as `Arc<Session>`, where there is a
/// [`Handler`](super::Handler).
pub struct Session {
    id: u64,
    peer: Arc<Peer>,
    pub(super) end: Drain,
}

static IDS: AtomicU64 = AtomicU64::new(1);

impl Session {
    pub(super) fn new(peer: Arc<Peer>) -> Self {
        Self {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            peer,
            end: Drain::new(),
        }
    }

    /// Returns its number, which no other session of the process has.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Returns who is at the other end.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Ends the connection once the request under way has its answer.
    pub fn disconnect(&self) {
        self.end.start();
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// Events of connections, told to whoever listens.
pub(super) trait Listen: Send + Sync {
    fn connected(&self, session: &Session);
    fn disconnected(&self, session: &Session);
    fn request_error(&self, session: &Session, error: &str);
    /// `None`: nobody wants to see what is answered out of the cache.
    fn cached(&self) -> Option<CachedHook<'_>>;
}

pub(super) type CachedHook<'a> =
    &'a (dyn Fn(&Session, &Parts, &mut http::Response<CachedBody>) + Send + Sync);
