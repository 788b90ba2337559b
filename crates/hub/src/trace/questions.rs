//! Questions about what has become of messages.
//!
//! In: a message or a user, from an operator. Out: what is remembered of it; what still waits is for `mailboxes` to say.
//! Invariant: a question changes nothing.

use std::sync::Arc;

use jiff::Timestamp;
use tidewire_engine::UserKey;

use super::{Departure, TraceEntry, TraceStats, Which};
use crate::{Hub, MessageId, UserId};

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
}
