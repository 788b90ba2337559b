//! From a checked envelope to deliveries.
//!
//! In: an envelope and who submitted it. Out: one append for all recipients, and in its
//! completion the copies for the sender, then the message for each live session of each
//! recipient (S-26). Invariant: the origin hears the outcome exactly once.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use jiff::Timestamp;
use tidewire_engine::{Append, AppendError, Appended, Entry};
use tidewire_proto::Prepared;

use crate::{
    ApiError, End, Hub, MessageId, Refusal, UserId,
    clock::write_timestamp,
    envelope::{self, Envelope},
    live::Live,
    outbox::{Durable, Item},
    stored::{self, Receipt},
    sync::lock,
    user_stats::UserCounters,
};

/// A message is on disk in every recipient's mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The id it was given.
    pub id: MessageId,
}

/// Called once with the outcome of [`Hub::submit_api`].
pub type OnSubmitted = Box<dyn FnOnce(Result<Accepted, ApiError>) + Send>;

/// Who submitted a message.
pub(crate) enum Origin {
    Session {
        live: Arc<Live>,
        counters: Arc<UserCounters>,
    },
    /// Shared, because the store drops a completion it does not take.
    Api(Arc<Mutex<Option<OnSubmitted>>>),
}

impl Origin {
    pub(crate) fn api(done: OnSubmitted) -> Self {
        Self::Api(Arc::new(Mutex::new(Some(done))))
    }

    pub(crate) fn answer_api(&self, outcome: Result<Accepted, ApiError>) {
        if let Self::Api(done) = self
            && let Some(done) = lock(done).take()
        {
            done(outcome);
        }
    }
}

impl Clone for Origin {
    fn clone(&self) -> Self {
        match self {
            Self::Session { live, counters } => Self::Session {
                live: Arc::clone(live),
                counters: Arc::clone(counters),
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

/// What the completion of an append needs.
struct Message {
    receipt: Receipt,
    /// In the order of the append's entries.
    recipients: Vec<UserId>,
    /// With the full list of recipients (S-21).
    frame: Prepared,
    sends_back: bool,
}

impl Hub {
    /// Takes a message from an administrator: any sender, 0 included. `done` is called once,
    /// perhaps before this returns.
    pub fn submit_api(self: &Arc<Self>, payload: &[u8], done: OnSubmitted) {
        let origin = Origin::api(done);
        match Envelope::parse(payload, self.settings().config().recipients_max) {
            Ok(envelope) if envelope.is_for_bot() => origin.answer_api(Err(ApiError::ForBot)),
            Ok(envelope) => self.accept(&envelope, &origin, self.now()),
            Err(error) => {
                self.counters.invalid.add(1);
                origin.answer_api(Err(ApiError::Invalid(error)));
            }
        }
    }

    /// Stores and delivers, or refuses, and tells the origin.
    pub(crate) fn accept(
        self: &Arc<Self>,
        envelope: &Envelope<'_>,
        origin: &Origin,
        now: Timestamp,
    ) {
        let id = self.next_id(now);
        if !self.is_accepting() {
            return self.refuse(origin, Refusal::Stopping, envelope.data_json());
        }
        if envelope.is_for_bot() {
            self.counters.for_bot.add(1);
            acknowledge(origin, id, || envelope.data_json());
            return self.settle(origin, envelope.sender(), id);
        }
        // An upper bound; exact sizes would need the encoding that is to be avoided.
        let bytes = envelope
            .json_len_max(&[])
            .saturating_mul(envelope.recipients().len());
        if bytes > self.settings().config().fanout_bytes_max {
            return self.refuse(origin, Refusal::FanoutTooLarge, envelope.data_json());
        }
        let (message, entries) = self.encode(envelope, id, now);
        let hub = Arc::clone(self);
        let completed_for = origin.clone();
        let done = Box::new(move |result| hub.handle_append(&message, &completed_for, result));
        self.gate.begin();
        let append = Append {
            entries,
            ttl_ms: None,
        };
        if let Err(error) = self.mailbox.append(append, done) {
            self.command_not_taken(error);
            self.refuse(origin, Refusal::from(error), envelope.data_json());
        }
    }

    /// Tells a session that a message of its own was not accepted.
    pub(crate) fn notify_refused(&self, live: &Live, refusal: Refusal, data_json: &str) {
        self.counters.refused(refusal);
        let json = envelope::refused(&live.user, refusal.code(), &refusal.to_string(), data_json);
        live.offer_refusal(Prepared::text(&json), End::overloaded());
    }

    /// Encodes once for live sessions, once per recipient for the mailboxes.
    fn encode(
        &self,
        envelope: &Envelope<'_>,
        id: MessageId,
        now: Timestamp,
    ) -> (Message, Vec<Entry>) {
        let mut timestamp = String::new();
        if !envelope.has_timestamp() {
            timestamp.reserve(32);
            write_timestamp(&mut timestamp, now, &self.settings().zone);
        }
        let sender = envelope.sender();
        let record = |recipient: &UserId| {
            let only = std::slice::from_ref(recipient);
            let len_max = stored::header_len_max(sender) + envelope.json_len_max(only);
            let mut record = String::with_capacity(len_max);
            stored::write_header(id, sender, &mut record);
            let json_start = record.len();
            envelope.write(id, only, &timestamp, &mut record);
            (record, json_start)
        };
        let all = envelope.recipients();
        // 0 inside a longer list is skipped, a repeated id is delivered again (S-24).
        let recipients: Vec<UserId> = all.iter().filter(|id| !id.is_bot()).cloned().collect();
        let entry = |recipient: &UserId, record: String| Entry {
            user: recipient.mailbox_key(),
            payload: Bytes::from(record),
        };
        let (frame, entries) = if let [only] = all {
            // The reduced form is the full one.
            let (record, json_start) = record(only);
            let frame = Prepared::text(record.get(json_start..).unwrap_or_default());
            (frame, vec![entry(only, record)])
        } else {
            let mut json = String::with_capacity(envelope.json_len_max(all));
            envelope.write(id, all, &timestamp, &mut json);
            let entries = recipients
                .iter()
                .map(|user| entry(user, record(user).0))
                .collect();
            (Prepared::text(&json), entries)
        };
        let sends_back = !sender.is_bot() && self.settings().sends_back(envelope.kind());
        let receipt = Receipt {
            id,
            sender: sender.clone(),
        };
        (
            Message {
                receipt,
                recipients,
                frame,
                sends_back,
            },
            entries,
        )
    }

    /// Runs on the store's thread, in the order of commits.
    fn handle_append(
        self: &Arc<Self>,
        message: &Message,
        origin: &Origin,
        result: Result<Appended, AppendError>,
    ) {
        match result {
            Ok(appended) => {
                self.counters.accepted.add(1);
                // Before the recipients: what they confirm comes behind it.
                let data_json = || envelope::data_of(message.frame.payload());
                acknowledge(origin, message.receipt.id, data_json);
                if message.sends_back {
                    self.offer_copies(message, origin);
                }
                self.deliver(message, &appended);
                self.settle(origin, &message.receipt.sender, message.receipt.id);
            }
            Err(error) => {
                tracing::debug!(%error, "a message was not accepted");
                let data_json = envelope::data_of(message.frame.payload());
                self.refuse(origin, Refusal::from(error), data_json);
            }
        }
        self.command_completed();
    }

    /// A copy for every session of the sender. For the one that submitted it, it is the receipt, unless it
    /// gets a better one: like a refusal it may go beyond the outbox's bound, by as many as may be pending.
    fn offer_copies(&self, message: &Message, origin: &Origin) {
        let sessions = self.registry.sessions(&message.receipt.sender);
        for live in sessions.iter().flat_map(|sessions| sessions.iter()) {
            let submitted_it =
                matches!(origin, Origin::Session { live: own, .. } if Arc::ptr_eq(own, live));
            let is_receipt = submitted_it && !live.receipts;
            if !live.offer_copy(message.frame.clone(), is_receipt) {
                self.counters.ephemeral_dropped.add(1);
            }
        }
    }

    fn deliver(self: &Arc<Self>, message: &Message, appended: &Appended) {
        debug_assert_eq!(message.recipients.len(), appended.offsets.len());
        for (user, offset) in message.recipients.iter().zip(&appended.offsets) {
            for live in self
                .registry
                .sessions(user)
                .iter()
                .flat_map(|sessions| sessions.iter())
            {
                let durable = Durable {
                    offset: *offset,
                    receipt: message.receipt.clone(),
                };
                let item = Item {
                    frame: message.frame.clone(),
                    durable: Some(durable),
                };
                let fell_back = live.handle_appended(appended.epoch, *offset, item);
                if fell_back {
                    self.read_if_wanted(live);
                }
            }
        }
    }

    fn settle(&self, origin: &Origin, sender: &UserId, id: MessageId) {
        match origin {
            Origin::Session { live, counters } => {
                live.settle_submission();
                if live.user == *sender {
                    counters.accepted();
                } else {
                    self.count_sent(sender);
                }
            }
            Origin::Api(_) => {
                self.count_sent(sender);
                origin.answer_api(Ok(Accepted { id }));
            }
        }
    }

    fn count_sent(&self, sender: &UserId) {
        if let Some(counters) = self.user_stats.find(sender) {
            counters.accepted();
        }
    }

    fn refuse(&self, origin: &Origin, refusal: Refusal, data_json: &str) {
        match origin {
            Origin::Session { live, .. } => {
                self.notify_refused(live, refusal, data_json);
                live.settle_submission();
            }
            Origin::Api(_) => {
                self.counters.refused(refusal);
                origin.answer_api(Err(ApiError::Refused(refusal)));
            }
        }
    }
}

/// Tells the session that submitted a message, if it has asked for receipts, that it was accepted. `data_json` is the
/// message's own `data`, looked for only then.
fn acknowledge<'a>(origin: &Origin, id: MessageId, data_json: impl FnOnce() -> &'a str) {
    if let Origin::Session { live, .. } = origin
        && live.receipts
    {
        let json = envelope::accepted(&live.user, id, data_json());
        live.offer_refusal(Prepared::text(&json), End::overloaded());
    }
}
