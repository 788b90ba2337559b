//! [`Places`]: the sessions of an HTTP/2 connection, counted for the server's limits.
//!
//! In: sessions as they begin and end. Out: a place for each, or 503. Invariant: the connection itself has a place,
//! which its first session uses.

use std::{net::IpAddr, sync::Arc};

use tidewire_proto::handshake::Refusal;
use tokio::sync::Notify;

use crate::net::admission::{Admission, Permit};
use crate::sync::Mutex;

/// Counts the sessions of a connection for the server's limits. The connection itself has a place,
/// which its first session uses.
pub(super) struct Places {
    admission: Arc<Admission>,
    ip: Option<IpAddr>,
    taken: Mutex<Taken>,
    /// The last session has ended.
    pub(super) emptied: Notify,
}

#[derive(Default)]
struct Taken {
    sessions: usize,
    /// One less than sessions.
    permits: Vec<Permit>,
}

/// A counted session.
pub(super) struct Place(Arc<Places>);

impl Places {
    pub(super) fn new(admission: &Arc<Admission>, ip: Option<IpAddr>) -> Self {
        Self {
            admission: Arc::clone(admission),
            ip,
            taken: Mutex::default(),
            emptied: Notify::new(),
        }
    }

    pub(super) fn sessions(&self) -> usize {
        self.taken.lock().sessions
    }

    /// As [`take`](Self::take); without a place the client is told when to come again.
    pub(super) fn place(self: &Arc<Self>) -> Result<Place, Refusal> {
        self.take()
            .ok_or_else(|| Refusal::new(503, "too many connections").header("retry-after", "5"))
    }

    /// A place for one more session, if the limits allow.
    fn take(self: &Arc<Self>) -> Option<Place> {
        let permit = match self.sessions() {
            0 => None,
            _ => Some(self.admission.admit(self.ip).ok()?),
        };
        let mut taken = self.taken.lock();
        taken.sessions += 1;
        taken.permits.extend(permit);
        // The only other session may have ended since.
        let spare = (taken.permits.len() == taken.sessions).then(|| taken.permits.pop());
        drop(taken);
        drop(spare);
        Some(Place(Arc::clone(self)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.0.taken.lock();
        taken.sessions -= 1;
        let empty = taken.sessions == 0;
        let permit = taken.permits.pop();
        drop(taken);
        drop(permit);
        if empty {
            self.0.emptied.notify_one();
        }
    }
}
