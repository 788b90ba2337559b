//! Live sessions seen from outside: who is there ([`SessionInfo`]), and the end of a session by the operator
//! ([`Dismissal`]).
//!
//! In: requests of an administrator. Out: a list, or the end of sessions. Invariants: a session that is dismissed hands
//! out nothing more, whether its client reads or not; what it had not confirmed stays in the mailbox.

use std::{net::IpAddr, sync::Arc};

use jiff::Timestamp;

use crate::{Hub, UserId, live::Live};

/// A session is to end, and how its client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dismissal {
    /// Why.
    pub cause: DismissalCause,
    /// The code of the close frame; `None`: that of the dialect for this cause.
    pub code: Option<u16>,
    /// For the client.
    pub reason: Arc<str>,
}

/// Why a session was ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DismissalCause {
    /// An operator has ended it; the client may come back.
    Operator,
    /// Its user is blocked.
    Blocked,
}

/// A live session of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Its number: no other session of this process has it, before or after.
    pub id: u64,
    /// Whose it is.
    pub user: UserId,
    /// Where its client is, if that is known.
    pub address: Option<IpAddr>,
    /// When it began.
    pub since: Timestamp,
}

impl SessionInfo {
    fn of(live: &Live) -> Self {
        Self {
            id: live.id,
            user: live.user.clone(),
            address: live.address,
            since: live.since,
        }
    }
}

impl Hub {
    /// The live sessions of a user, in the order in which they began.
    pub fn sessions_of(&self, user: &UserId) -> Vec<SessionInfo> {
        let sessions = self.session_table.sessions(user);
        let live = sessions.iter().flat_map(|sessions| sessions.iter());
        live.map(|live| SessionInfo::of(live)).collect()
    }

    /// At most `count` live sessions with numbers above `after`, in the order in which they began. Takes time in
    /// proportion to all there are.
    pub fn sessions_page(&self, after: u64, count: usize) -> Vec<SessionInfo> {
        let mut found = self.session_table.matching(|live| live.id > after);
        found.sort_unstable_by_key(|live| live.id);
        found.truncate(count);
        found.iter().map(|live| SessionInfo::of(live)).collect()
    }

    /// Ends the live sessions of a user. Returns how many were told; sessions that begin later are not concerned.
    pub fn dismiss_user(&self, user: &UserId, dismissal: &Dismissal) -> usize {
        let sessions = self.session_table.sessions(user);
        let live = sessions.iter().flat_map(|sessions| sessions.iter());
        live.filter(|live| live.dismiss(dismissal)).count()
    }

    /// Ends one session by its number. Returns whether it was there, and not dismissed before.
    pub fn dismiss_session(&self, id: u64, dismissal: &Dismissal) -> bool {
        let found = self.session_table.matching(|live| live.id == id);
        found.first().is_some_and(|live| live.dismiss(dismissal))
    }
}
