//! The port [`Registry`]: which users have a live session, on any node.
//!
//! In: sessions that begin and end on this node. Out: answers to questions, through completions,
//! because an adapter may have to ask another process. Invariant: what this node has told before a
//! question is in the answer.

use std::{fmt, sync::Arc};

use crate::UserKey;

/// A question could not be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The registry does not answer now. Asking again later may help.
    #[error("the registry is not available: {reason}")]
    Unavailable {
        /// What it reported.
        reason: Arc<str>,
    },
}

/// Called once with the answer to [`Registry::are_online`]: one for each user asked for, in their
/// order. It may run at once, on the thread that asks, and must neither block nor panic.
pub type OnAreOnline = Box<dyn FnOnce(Result<Vec<bool>, RegistryError>) + Send>;

/// Called once with the answer to [`Registry::online_users`]; the same rules as for [`OnAreOnline`].
pub type OnOnlineUsers = Box<dyn FnOnce(Result<Vec<UserKey>, RegistryError>) + Send>;

/// Who has a live session.
///
/// Contract, checked by the contract suite for every adapter:
/// - a user is online from the first session that has entered to the last one that has left;
/// - a question sees every [`enter`](Self::enter) and [`leave`](Self::leave) of this node that
///   returned before it was asked;
/// - every question is answered exactly once;
/// - no method blocks on I/O.
pub trait Registry: Send + Sync + fmt::Debug {
    /// A session of `user` has begun on this node. It counts until it [leaves](Self::leave), or
    /// until this node is lost. Never fails: an adapter that cannot tell others now does so later.
    fn enter(&self, user: &UserKey);

    /// A session of `user` that had entered on this node has ended. Without one nothing changes.
    fn leave(&self, user: &UserKey);

    /// Asks which of `users` have a live session.
    fn are_online(&self, users: Vec<UserKey>, done: OnAreOnline);

    /// Asks for at most `limit` users with a live session, each once; which ones, if there are
    /// more, and in which order is open.
    fn online_users(&self, limit: usize, done: OnOnlineUsers);
}
