//! The open sessions of a server, to be found, counted and closed from outside.
//!
//! In: connections as they open and end. Out: [`Sender`]s by id. Invariant: once the server drains, a session that
//! opens is closed at once.

use std::{ops::AddAssign, sync::Arc};

use tidewire_proto::{CloseCode, Stats};

use super::{Sender, socket::SharedConnection};
use crate::{
    net::Stream,
    service::{self, Registered, Registry},
};

#[derive(Clone, Default)]
pub(super) struct Sessions(Arc<Registry<SharedConnection<Stream>>>);

/// A session's entry; dropping it removes the session.
pub(super) type Entry = service::Entry<SharedConnection<Stream>>;

/// Counters of sessions, and the bytes now queued for sending.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counters {
    pub(crate) stats: Stats,
    pub(crate) queued: usize,
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.stats += other.stats;
        self.queued += other.queued;
    }
}

impl Registered for SharedConnection<Stream> {
    type Counters = Counters;

    fn counters(&self) -> Counters {
        let (stats, queued) = self.stats();
        Counters { stats, queued }
    }

    fn last_counters(&self) -> Counters {
        Counters {
            queued: 0,
            ..self.counters()
        }
    }
}

impl Sessions {
    /// A new session, with a new id.
    pub(super) fn open(&self, link: &Arc<SharedConnection<Stream>>) -> Entry {
        let (_link, entry) = self.0.open(|id| {
            link.set_id(id);
            Arc::clone(link)
        });
        if self.0.is_draining() {
            link.start_close(CloseCode::GOING_AWAY, SHUTTING_DOWN);
        }
        entry
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn find(&self, id: u64) -> Option<Sender> {
        self.0.find(id).map(Sender::new)
    }

    /// All sessions there are now.
    pub(super) fn all(&self) -> Vec<Sender> {
        self.0.all().into_iter().map(Sender::new).collect()
    }

    pub(super) fn close_all(&self, code: CloseCode, reason: &str) {
        for link in self.0.all() {
            link.start_close(code, reason);
        }
    }

    /// Closes all sessions, also those to come.
    pub(super) fn drain(&self) {
        self.0.drain();
        self.close_all(CloseCode::GOING_AWAY, SHUTTING_DOWN);
    }

    /// Counters of all sessions, open and ended.
    pub(super) fn counters(&self) -> Counters {
        self.0.counters()
    }
}

const SHUTTING_DOWN: &str = "server is shutting down";
