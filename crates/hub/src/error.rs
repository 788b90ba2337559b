//! Why the hub says no.
//!
//! In: limits, the store's answers, broken rules. Out: one small enum per operation. Invariant:
//! [`Refusal`] is about messages that keep the rules of their dialect, and never ends a connection; its codes and texts
//! are part of `notification_refused` and plain ASCII without quotes.

use tidewire_engine::{AppendError, MailboxRefusal, OutboxError, SubmitError};

/// A session was not begun. All of it may be tried again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The hub is being stopped.
    #[error("the server is about to stop")]
    Stopping,
    /// The user has as many connections as one may have.
    #[error("too many connections of this user")]
    TooManySessionsOfUser,
    /// The hub has as many connections as it may have.
    #[error("too many connections")]
    TooManySessions,
    /// The store has failed or is closed.
    #[error("the store is closed")]
    StoreClosed,
}

/// A message was not accepted, and whoever sent it may go on. Nothing of it was stored, except that after
/// [`Refusal::StoreFailed`] this is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The mailbox of a recipient is full.
    #[error("the mailbox of a recipient is full")]
    MailboxFull,
    /// Too much of the sender waits: for this recipient, or for all together.
    #[error("too many messages of the sender are waiting")]
    SenderQuota,
    /// The store is at its limit.
    #[error("the message store is full")]
    StoreFull,
    /// The disk is full.
    #[error("the disk is full")]
    DiskFull,
    /// The store has failed or is closed.
    #[error("the message store has failed")]
    StoreFailed,
    /// Too much is pending; may be tried again at once.
    #[error("the server is busy, try again")]
    Busy,
    /// Its sender sends more than may be sent in this time.
    #[error("too many messages in a short time, try again later")]
    RateLimited,
    /// The hub is being stopped.
    #[error("the server is about to stop")]
    Stopping,
    /// The sender's credentials do not allow messages to this recipient.
    #[error("the credentials do not allow messages to this recipient")]
    NotAllowed,
    /// Size times recipients is above `fanout_bytes_max`.
    #[error("the message is too large for so many recipients")]
    FanoutTooLarge,
    /// It has more recipients than `recipients_max`.
    #[error("$.recipients[] must contain at most {max} values")]
    TooManyRecipients {
        /// The limit.
        max: usize,
    },
    /// Its type is longer than a dialect takes.
    #[error("$.type must have at most {max} bytes")]
    TypeTooLong {
        /// The limit.
        max: usize,
    },
    /// Its data is nested deeper than common JSON readers go.
    #[error("nested deeper than {max} levels")]
    TooDeep {
        /// The limit.
        max: usize,
    },
    /// A number in its data is beyond what common JSON readers take.
    #[error("a number in $.data must have at most {max} characters and be below 1.8e308")]
    NumberTooLarge {
        /// The limit of its length.
        max: usize,
    },
}

impl Refusal {
    /// The stable name on the wire.
    pub fn code(self) -> &'static str {
        match self {
            Self::MailboxFull => "mailbox_full",
            Self::SenderQuota => "sender_quota",
            Self::StoreFull => "store_full",
            Self::DiskFull => "disk_full",
            Self::StoreFailed => "store_failed",
            Self::Busy => "busy",
            Self::RateLimited => "rate_limited",
            Self::Stopping => "stopping",
            Self::NotAllowed => "not_allowed",
            Self::FanoutTooLarge => "fanout_too_large",
            Self::TooManyRecipients { .. } => "too_many_recipients",
            Self::TypeTooLong { .. } => "type_too_long",
            Self::TooDeep { .. } => "too_deep",
            Self::NumberTooLarge { .. } => "number_too_large",
        }
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::NoMailbox { refusals } => refusals
                .first()
                .map_or(Self::MailboxFull, |first| Self::from(*first)),
            AppendError::SenderFull => Self::SenderQuota,
            AppendError::StoreFull => Self::StoreFull,
            AppendError::OutboxFull => Self::Busy,
            AppendError::DiskFull => Self::DiskFull,
            // Whatever a later store may say, the message is not known to be on disk.
            AppendError::Failed { .. } | _ => Self::StoreFailed,
        }
    }
}

impl From<OutboxError> for Refusal {
    fn from(error: OutboxError) -> Self {
        match error {
            OutboxError::Full => Self::Busy,
            OutboxError::DiskFull => Self::DiskFull,
            OutboxError::Failed { .. } | _ => Self::StoreFailed,
        }
    }
}

impl From<MailboxRefusal> for Refusal {
    fn from(refusal: MailboxRefusal) -> Self {
        match refusal {
            MailboxRefusal::SenderShare => Self::SenderQuota,
            MailboxRefusal::Full | _ => Self::MailboxFull,
        }
    }
}

impl From<SubmitError> for Refusal {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Busy => Self::Busy,
            SubmitError::Closed | _ => Self::StoreFailed,
        }
    }
}

/// A message submitted over the API was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// It is for the administrator, who is the one who calls the API.
    #[error("Can't send message to bot through the api")]
    ForBot,
    /// It was understood, but not accepted.
    #[error(transparent)]
    Refused(#[from] Refusal),
}
