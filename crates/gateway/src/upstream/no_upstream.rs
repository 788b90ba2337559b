//! [`NoUpstream`]: nobody can be picked.

use std::time::Instant;

/// No upstream can take the connection now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no upstream: {reason}")]
pub struct NoUpstream {
    /// Why.
    pub reason: Reason,
    /// When the next ejection ends, if that is what it waits for. Everything else that can help is told
    /// by [`usable_changed`](super::Pool::usable_changed).
    pub retry_at: Option<Instant>,
}

/// Why nobody can be picked: the first of these that holds for one that was not tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// It has as many connections as it may have.
    #[error("all are full")]
    Full,
    /// Its openings failed, or its trial is under way.
    #[error("all are ejected after failures")]
    Ejected,
    /// Its checks fail, while others are healthy and were tried, full or ejected.
    #[error("all that are healthy were tried")]
    Unhealthy,
    /// The operator has switched it off.
    #[error("all others are switched off")]
    Disabled,
    /// There is no other: wait, and begin again with none tried.
    #[error("all were tried")]
    Tried,
}
