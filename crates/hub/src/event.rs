//! What the hub says to a session: [`Event`], and how it ends one: [`Reason`].
//!
//! In: completions of the store, confirmations of other sessions. Out: values that a dialect turns into
//! bytes. Invariant: nothing in here depends on how a client speaks.

use std::sync::Arc;

use crate::{MessageId, Publication, Refusal, RefusedRecipient, UserId};

/// One thing a client gets. Whatever its dialect makes of it, it counts as one for
/// [`Session::mark`](crate::Session::mark).
#[derive(Clone, Debug)]
pub enum Event {
    /// A message, shared by all sessions that get it at the same time.
    Publication(Arc<Publication>),
    /// What became of a message of the session's user.
    Notice(Box<Notice>),
}

/// What became of a message. The hub tells it to live sessions only and keeps none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The session's own message is on disk for its recipients.
    Accepted {
        /// The message.
        id: MessageId,
        /// Its author's name for it, a JSON string literal.
        reference: Option<Box<str>>,
    },
    /// One connection of `recipient` has proved to have received a message of the session's user.
    Received {
        /// The message.
        id: MessageId,
        /// Who has it.
        recipient: UserId,
    },
    /// The session's own message was not accepted for anybody.
    Refused {
        /// Why.
        refusal: Refusal,
        /// Its author's name for it, a JSON string literal.
        reference: Option<Box<str>>,
    },
    /// The session's own message was accepted, but not for these recipients, of whom there is at least one.
    RefusedInPart {
        /// The message.
        id: MessageId,
        /// Who misses it, and why.
        recipients: Vec<RefusedRecipient>,
        /// Its author's name for it, a JSON string literal.
        reference: Option<Box<str>>,
    },
}

impl Event {
    /// About how many bytes it takes in a queue.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Publication(publication) => publication.size(),
            Self::Notice(notice) => match &**notice {
                Notice::Accepted { reference, .. } | Notice::Refused { reference, .. } => {
                    NOTICE_BYTES + reference.as_ref().map_or(0, |text| text.len())
                }
                Notice::Received { .. } => NOTICE_BYTES,
                Notice::RefusedInPart { recipients, .. } => {
                    NOTICE_BYTES + recipients.len() * size_of::<RefusedRecipient>()
                }
            },
        }
    }
}

/// A notice without lists and references: no dialect of today makes more of it.
const NOTICE_BYTES: usize = 256;

/// Why the hub ended a session. Reconnecting helps, except after [`Reason::StoreFailed`] and
/// [`Reason::StoreStuck`], which need the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The store has failed.
    StoreFailed,
    /// The store says that there is more, and reads nothing.
    StoreStuck,
    /// The store was closed under the session: the process is on its way out.
    StoreClosed,
    /// Messages left the mailbox before this session came to them: another one of the same user was
    /// faster, or their time was over.
    Overtaken,
    /// The store has begun a new life: offsets mean other messages now.
    MailboxReset,
    /// Too much is pending to go on.
    Overloaded,
}
