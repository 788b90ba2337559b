//! Questions about what has become of messages.
//!
//! In: a message or a user, from an operator. Out: what is remembered of it, and what still waits in a mailbox. Invariant:
//! a question changes nothing.

use std::sync::Arc;

use jiff::Timestamp;
use tidewire_engine::{Batch, ReadError, UserKey};

use crate::{
    Departure, Hub, MessageId, Publication, Refusal, TraceEntry, TraceStats, UserId, trace::Which,
};

/// A message that waits in a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its place there.
    pub offset: u64,
    /// Its id.
    pub id: MessageId,
    /// Who has sent it.
    pub sender: UserId,
}

/// Messages that wait in a mailbox, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WaitingPage {
    /// The messages.
    pub messages: Vec<Waiting>,
    /// Behind this offset others wait; `None`: there are no more.
    pub next: Option<u64>,
}

/// Called once with the answer to [`Hub::waiting`], on the store's thread: it must not wait.
pub type OnWaiting = Box<dyn FnOnce(Result<WaitingPage, Refusal>) + Send>;

impl Hub {
    /// Has the store tell what expires.
    pub(crate) fn watch_expired(self: &Arc<Self>) {
        if !self.trace.is_on() {
            return;
        }
        let hub = Arc::downgrade(self);
        let told = move |key: &UserKey, offset| {
            // A key is made from an id, so it is one.
            if let (Some(hub), Ok(user)) = (hub.upgrade(), key.parse()) {
                let which = Which::At(user, offset);
                hub.trace
                    .note_departure(hub.now(), which, Departure::Expired);
            }
        };
        self.mailbox.on_expired(Arc::new(told));
    }

    /// The steps of a message that are remembered, in their order; empty when nothing is known of it. See
    /// [`TraceConfig`](crate::TraceConfig).
    pub fn trace(&self, id: MessageId) -> Vec<TraceEntry> {
        self.trace.of_message(id, self.now())
    }

    /// The messages sent by a user or to him of which something happened last, the newest first.
    pub fn traced_of(&self, user: &UserId, limit: usize) -> Vec<MessageId> {
        self.trace.of_user(user, limit, self.now())
    }

    /// Since when steps of messages are remembered, at the most: the start of the process. `None`: none are.
    pub fn traced_since(&self) -> Option<Timestamp> {
        self.trace.began()
    }

    /// How much is remembered of messages.
    pub fn trace_stats(&self) -> TraceStats {
        self.trace.stats()
    }

    /// Why a message of `sender` that was stored at `stored` does not wait at this place of its recipient's mailbox any
    /// more, and since when, as far as that is remembered. `None` is no proof of anything.
    pub fn departure(
        &self,
        place: (&UserId, u64),
        sender: Option<&UserId>,
        stored: Timestamp,
    ) -> Option<(Timestamp, Departure)> {
        self.trace.departure(place, sender, stored)
    }

    /// Looks at most `count` messages up that wait for a user behind the offset `after`, oldest first; they stay. `done` is called once,
    /// unless this is an error.
    ///
    /// # Errors
    /// [`Refusal`]: the store does not take the question.
    pub fn waiting(
        self: &Arc<Self>,
        user: &UserId,
        after: u64,
        count: usize,
        done: OnWaiting,
    ) -> Result<(), Refusal> {
        let (hub, recipient) = (Arc::clone(self), user.clone());
        let completed = Box::new(move |result: Result<Batch, ReadError>| {
            done(match result {
                Ok(batch) => Ok(page(batch, &recipient)),
                Err(_failed) => Err(Refusal::StoreFailed),
            });
            hub.command_completed();
        });
        self.gate.begin();
        let read = self
            .mailbox
            .read(user.mailbox_key(), after, count, PAGE_BYTES, completed);
        read.map_err(|error| {
            self.command_not_taken(error);
            Refusal::from(error)
        })
    }
}

fn page(batch: Batch, recipient: &UserId) -> WaitingPage {
    let last = batch.messages.last().map(|message| message.offset);
    let messages = batch.messages.into_iter().filter_map(|stored| {
        let publication = Publication::from_body(stored.body, recipient).ok()?;
        Some(Waiting {
            offset: stored.offset,
            id: publication.id(),
            sender: publication.sender().clone(),
        })
    });
    WaitingPage {
        messages: messages.collect(),
        next: last.filter(|_| batch.more),
    }
}

/// Bodies of one page, at about 1 ms.
const PAGE_BYTES: usize = 1 << 20;
