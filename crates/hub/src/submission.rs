//! From a draft to deliveries.
//!
//! In: a draft and who submitted it. Out: one append for all recipients, and in its
//! completion the copies for the sender, then the message for each live session of each
//! recipient whose mailbox took it (S-26). Invariant: the origin hears the outcome exactly once,
//! with every recipient who misses the message.

use std::sync::Arc;

use jiff::Timestamp;
use tidewire_auth::Scope;
use tidewire_engine::{Append, AppendError, Appended, OutboxError, Placed};

use crate::{
    ApiError, Draft, Event, Hub, JsonText, MessageId, Notice, Publication, Refusal, UserId,
    clock::write_timestamp,
    delivery::Followed,
    fan_out::{Stored, Work},
    origin::{Accepted, OnSubmitted, Origin, RefusedRecipient, not_allowed},
    send_queue::Item,
    session_table::Sessions,
    trace::TraceStep,
};

impl Hub {
    /// Takes a message from an administrator: any sender, 0 included. `done` is called once,
    /// perhaps before this returns.
    ///
    /// Returns the message's id, by which one who does not wait for the outcome can name it;
    /// `None` when it is for the administrator himself.
    pub fn submit_api(self: &Arc<Self>, draft: Draft<'_>, done: OnSubmitted) -> Option<MessageId> {
        self.submit_api_within(draft, &Scope::All, done)
    }

    /// [`submit_api`](Self::submit_api) for a caller who may send to these users only: the others are refused with
    /// [`Refusal::NotAllowed`].
    pub fn submit_api_within(
        self: &Arc<Self>,
        draft: Draft<'_>,
        send_to: &Scope,
        done: OnSubmitted,
    ) -> Option<MessageId> {
        let origin = Origin::api(done);
        if draft.is_for_bot() {
            origin.answer_api(Err(ApiError::ForBot));
            return None;
        }
        let now = self.now();
        let id = self.next_id(now);
        self.accept(draft, &origin, send_to, (id, now));
        Some(id)
    }

    /// Stores and delivers, or refuses, and tells the origin.
    pub(crate) fn accept(
        self: &Arc<Self>,
        mut draft: Draft<'_>,
        origin: &Origin,
        send_to: &Scope,
        (id, now): (MessageId, Timestamp),
    ) {
        let sender = draft.sender.clone();
        self.note_received(&draft, origin, (id, now));
        if !self.is_accepting() {
            return self.refuse_message(origin, (id, &sender), Refusal::Stopping);
        }
        if draft.is_for_bot() {
            return self.accept_for_bot(draft, origin, id, now);
        }
        let not_allowed = not_allowed(&mut draft, send_to);
        if !not_allowed.is_empty() && draft.is_for_bot() {
            return self.refuse_message(origin, (id, &sender), Refusal::NotAllowed);
        }
        let kind = draft.kind.decode().unwrap_or_default();
        let sends_back = !draft.sender.is_bot() && self.settings().sends_back(&kind);
        if self.settings().is_live_only(&kind) {
            drop(kind);
            let publication = self.publication(draft, id, now);
            return self.pass_on(
                Message {
                    publication,
                    sends_back,
                    not_allowed,
                },
                origin,
            );
        }
        drop(kind);
        if self.fan_out.is_full() {
            // As when the store is busy: deliveries are outstanding, and the last of each message opens the gate.
            self.shut_gate();
            return self.refuse_message(origin, (id, &sender), Refusal::Busy);
        }
        let bytes = draft
            .size_max()
            .saturating_mul(draft.recipients.as_slice().len());
        if bytes > self.settings().config().fanout_bytes_max {
            return self.refuse_message(origin, (id, &sender), Refusal::FanoutTooLarge);
        }
        let publication = self.publication(draft, id, now);
        let message = Message {
            publication,
            sends_back,
            not_allowed,
        };
        let append = Append {
            recipients: message.recipients().map(UserId::mailbox_key).collect(),
            body: message.publication.body().clone(),
            sender: Some(origin.sender(message.publication.sender())),
            ttl_ms: None,
            events: self.message_events(&message.publication),
        };
        let hub = Arc::clone(self);
        let completed_for = origin.clone();
        let done = Box::new(move |result| hub.handle_append(message, completed_for, result));
        self.gate.begin();
        if let Err(error) = self.mailbox.append(append, done) {
            self.command_not_taken(error);
            self.refuse_message(origin, (id, &sender), Refusal::from(error));
        }
    }

    /// A message for the administrator alone goes to those who are told of events, and nowhere else (S-25). It is
    /// accepted when it is on disk for them.
    fn accept_for_bot(
        self: &Arc<Self>,
        draft: Draft<'_>,
        origin: &Origin,
        id: MessageId,
        now: Timestamp,
    ) {
        let publication = self.publication(draft, id, now);
        let accepted = {
            let (hub, origin) = (Arc::clone(self), origin.clone());
            let sender = publication.sender().clone();
            move |result: Result<(), OutboxError>| match result {
                Ok(()) => {
                    hub.counters.for_bot.add(1);
                    let now = hub.now();
                    hub.trace
                        .note(id, now, &sender, TraceStep::ForAdministrator);
                    acknowledge(&origin, id);
                    hub.settle(&origin, &sender, id, Vec::new());
                }
                Err(error) => hub.refuse_message(&origin, (id, &sender), Refusal::from(error)),
            }
        };
        match self.tell_bot_message(&publication, accepted) {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                self.refuse_message(origin, (id, publication.sender()), Refusal::from(error));
            }
            None => {
                self.counters.for_bot.add(1);
                let step = TraceStep::ForAdministrator;
                self.trace.note(id, now, publication.sender(), step);
                acknowledge(origin, id);
                self.settle(origin, publication.sender(), id, Vec::new());
            }
        }
    }

    fn publication(&self, draft: Draft<'_>, id: MessageId, now: Timestamp) -> Arc<Publication> {
        let mut timestamp = String::new();
        if draft.timestamp.is_none() {
            timestamp.reserve(34);
            timestamp.push('"');
            write_timestamp(&mut timestamp, now, &self.settings().zone);
            timestamp.push('"');
        }
        let now = JsonText::from_literal(&timestamp).unwrap_or(JsonText::EMPTY);
        Arc::new(Publication::new(id, draft, &now))
    }

    /// Offers a message that is not stored to everybody who is there; absent recipients miss it,
    /// and so does a session whose send queue is full.
    fn pass_on(&self, message: Message, origin: &Origin) {
        self.counters.live_only.add(1);
        let publication = &message.publication;
        let now = self.now();
        self.tell_message(publication);
        acknowledge(origin, publication.id());
        if message.sends_back {
            self.offer_copies(&message, origin);
        }
        let event = Event::Publication(Arc::clone(publication));
        for recipient in message.recipients() {
            let offered = self.offer_all(recipient, &event);
            let step = TraceStep::PassedOn {
                sessions: offered.taken,
                missed: offered.missed,
            };
            self.trace.note(publication.id(), now, recipient, step);
        }
        self.notify_refused_in_part(origin, publication, &message.not_allowed);
        let publication = Arc::clone(publication);
        self.settle(
            origin,
            publication.sender(),
            publication.id(),
            message.not_allowed,
        );
    }

    /// Runs on the store's thread, in the order of commits.
    fn handle_append(
        self: &Arc<Self>,
        message: Message,
        origin: Origin,
        result: Result<Appended, AppendError>,
    ) {
        match result {
            Ok(appended) => {
                self.counters.accepted.add(1);
                // Before the recipients: what they confirm comes behind it.
                acknowledge(&origin, message.publication.id());
                if message.sends_back {
                    self.offer_copies(&message, &origin);
                }
                self.deliver(message, origin, &appended);
            }
            Err(error) => {
                tracing::debug!(%error, "a message was not accepted");
                self.tell_refused(&message.publication, &error);
                let of = (message.publication.id(), message.publication.sender());
                self.refuse_message(&origin, of, Refusal::from(error));
                self.command_completed();
            }
        }
    }

    /// A copy for every session of the sender. For the one that submitted it, it is the receipt, unless it
    /// gets a better one: like a refusal it may go beyond the send queue's bound, by as many as may be pending.
    fn offer_copies(&self, message: &Message, origin: &Origin) {
        let publication = &message.publication;
        let sessions = self.session_table.sessions(publication.sender());
        for live in sessions.iter().flat_map(|sessions| sessions.iter()) {
            let submitted_it =
                matches!(origin, Origin::Session { live: own, .. } if Arc::ptr_eq(own, live));
            let is_receipt = submitted_it && !live.receipts;
            if !live.offer_copy(Event::Publication(Arc::clone(publication)), is_receipt) {
                self.counters.ephemeral_dropped.add(1);
            }
        }
    }

    /// Delivers to every live session of every recipient whose mailbox took the message: here, if they are few
    /// and nothing of theirs is outstanding; else each user's part in the order of his completions.
    fn deliver(self: &Arc<Self>, message: Message, origin: Origin, appended: &Appended) {
        debug_assert_eq!(message.recipients().count(), appended.outcomes.len());
        let mut refused = message.not_allowed.clone();
        let mut targets = Vec::new();
        let mut sessions_len = 0;
        let mut is_idle = true;
        let (id, now) = (message.publication.id(), self.now());
        let note = |user, offset, sessions: usize| {
            let sessions = u32::try_from(sessions).unwrap_or(u32::MAX);
            let step = TraceStep::Stored { offset, sessions };
            self.trace.note(id, now, user, step);
        };
        for (user, outcome) in message.recipients().zip(&appended.outcomes) {
            match outcome {
                Ok(placed) => {
                    let Some((shard, sessions)) = self.session_table.look_up(user) else {
                        note(user, placed.offset, 0);
                        continue;
                    };
                    note(user, placed.offset, sessions.len());
                    sessions_len += sessions.len();
                    is_idle &= self.fan_out.is_idle(shard);
                    targets.push((shard, sessions, *placed));
                }
                Err(refusal) => refused.push(RefusedRecipient {
                    recipient: user.clone(),
                    refusal: Refusal::from(*refusal),
                }),
            }
        }
        let message = Stored {
            publication: message.publication,
            epoch: appended.epoch,
            origin,
            refused,
        };
        if is_idle && sessions_len <= self.settings().config().fanout_inline_max {
            for (_, sessions, placed) in &targets {
                self.deliver_to(sessions, &message.publication, message.epoch, *placed);
            }
            self.notify_refused_in_part(&message.origin, &message.publication, &message.refused);
            return self.delivered(message);
        }
        self.notify_refused_in_part(&message.origin, &message.publication, &message.refused);
        let message = Arc::new(message);
        self.hand_over(targets.into_iter().map(|(shard, sessions, placed)| {
            let message = Arc::clone(&message);
            let work = Work::Append {
                message,
                sessions,
                placed,
            };
            (shard, work)
        }));
        if let Some(message) = Arc::into_inner(message) {
            self.delivered(message);
        }
    }

    /// Offers a message to the live sessions of one user.
    pub(crate) fn deliver_to(
        self: &Arc<Self>,
        sessions: &Sessions,
        publication: &Arc<Publication>,
        epoch: u64,
        placed: Placed,
    ) {
        for live in sessions.iter() {
            let item = Item::durable(Arc::clone(publication), placed.offset);
            if live.handle_appended(epoch, placed, item) == Followed::FellBack {
                self.read_if_wanted(live);
            }
        }
    }

    /// Everybody who is there has the message, or is reading.
    pub(crate) fn delivered(self: &Arc<Self>, message: Stored) {
        let id = message.id();
        self.settle(
            &message.origin,
            message.publication.sender(),
            id,
            message.refused,
        );
        self.command_completed();
    }

    fn settle(
        &self,
        origin: &Origin,
        sender: &UserId,
        id: MessageId,
        refused: Vec<RefusedRecipient>,
    ) {
        match origin {
            Origin::Session {
                live,
                counters,
                bytes,
                ..
            } => {
                live.settle_submission(*bytes);
                if live.user == *sender {
                    counters.accepted();
                } else {
                    self.count_sent(sender);
                }
            }
            Origin::Api(_) => {
                self.count_sent(sender);
                origin.answer_api(Ok(Accepted { id, refused }));
            }
        }
    }

    fn count_sent(&self, sender: &UserId) {
        if let Some(counters) = self.user_stats.find(sender) {
            counters.accepted();
        }
    }
}

/// What the delivery of a message needs.
struct Message {
    publication: Arc<Publication>,
    /// Whether the sender's sessions get a copy.
    sends_back: bool,
    /// Whom the sender may not send to; they are not among the recipients any more.
    not_allowed: Vec<RefusedRecipient>,
}

impl Message {
    /// Who gets it. The administrator has no mailbox: in a longer list he is skipped.
    fn recipients(&self) -> impl Iterator<Item = &UserId> {
        let recipients = self.publication.recipients().iter();
        recipients.filter(|id| !id.is_bot())
    }
}

/// The author's name for a message, to be given back.
pub(crate) fn reference_of(draft: &Draft<'_>) -> Option<Box<str>> {
    draft.reference.as_ref().map(|text| text.literal().into())
}

/// Tells the session that submitted a message, if it has asked for receipts, that it was accepted.
fn acknowledge(origin: &Origin, id: MessageId) {
    if let Origin::Session {
        live, reference, ..
    } = origin
        && live.receipts
    {
        live.offer_outcome(Notice::Accepted {
            id,
            reference: reference.clone(),
        });
    }
}
