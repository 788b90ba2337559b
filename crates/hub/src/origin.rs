//! Who submitted a message, and the outcome they hear.

use std::{fmt, sync::Arc};

use parking_lot::Mutex;
use tidewire_auth::Scope;
use tidewire_engine::Sender;

use crate::{ApiError, Draft, MessageId, Refusal, UserId, live::Live, user_stats::UserCounters};

/// A message is on disk in the mailbox of every recipient but those refused. A live-only message
/// was passed on to live sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The id it was given.
    pub id: MessageId,
    /// Who does not get it: first those whom the sender may not send to, then those who could not take it, each in the
    /// order of the recipients; never all of them.
    pub refused: Vec<RefusedRecipient>,
}

/// A recipient who does not get a message that others get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRecipient {
    /// Who.
    pub recipient: UserId,
    /// Why.
    pub refusal: Refusal,
}

/// Takes out of a draft whom its author may not send to.
pub(crate) fn not_allowed(draft: &mut Draft<'_>, send_to: &Scope) -> Vec<RefusedRecipient> {
    if send_to.is_all() {
        return Vec::new();
    }
    let may_get_it = |user: &UserId| user.is_bot() || user.with_key(|name| send_to.covers(name));
    let out = draft.recipients.take_out(may_get_it).into_iter();
    let refused = out.map(|recipient| RefusedRecipient {
        recipient,
        refusal: Refusal::NotAllowed,
    });
    refused.collect()
}

/// Called once with the outcome of [`Hub::submit_api`](crate::Hub::submit_api).
pub type OnSubmitted = Box<dyn FnOnce(Result<Accepted, ApiError>) + Send>;

/// Who submitted a message.
pub(crate) enum Origin {
    Session {
        live: Arc<Live>,
        counters: Arc<UserCounters>,
        /// What counts against the session until this is settled.
        bytes: usize,
        /// The author's name for the message.
        reference: Option<Box<str>>,
    },
    /// Shared, because the store drops a completion it does not take.
    Api(Arc<Mutex<Option<OnSubmitted>>>),
}

impl Origin {
    pub(crate) fn api(done: OnSubmitted) -> Self {
        Self::Api(Arc::new(Mutex::new(Some(done))))
    }

    /// Who answers for a message: the user of the connection, whatever he writes as sender. The
    /// administrator is trusted: what he sends counts for the sender he names, without a limit.
    pub(crate) fn sender(&self, sender: &UserId) -> Sender {
        match self {
            Self::Session { live, .. } => Sender {
                user: live.key.clone(),
                limited: true,
            },
            Self::Api(_) => Sender {
                user: sender.mailbox_key(),
                limited: false,
            },
        }
    }

    pub(crate) fn answer_api(&self, outcome: Result<Accepted, ApiError>) {
        if let Self::Api(done) = self
            && let Some(done) = done.lock().take()
        {
            done(outcome);
        }
    }
}

impl Clone for Origin {
    fn clone(&self) -> Self {
        match self {
            Self::Session {
                live,
                counters,
                bytes,
                reference,
            } => Self::Session {
                live: Arc::clone(live),
                counters: Arc::clone(counters),
                bytes: *bytes,
                reference: reference.clone(),
            },
            Self::Api(done) => Self::Api(Arc::clone(done)),
        }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session { live, .. } => write!(formatter, "Session({:?})", live.user),
            Self::Api(_) => formatter.write_str("Api"),
        }
    }
}
