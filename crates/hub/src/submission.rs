//! From a checked envelope to deliveries.
//!
//! In: an envelope and who submitted it. Out: one append for all recipients, and in its
//! completion the copies for the sender, then the message for each live session of each
//! recipient whose mailbox took it (S-26). Invariant: the origin hears the outcome exactly once,
//! with every recipient who misses the message.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use jiff::Timestamp;
use tidewire_engine::{Append, AppendError, Appended, Sender};
use tidewire_proto::Prepared;

use crate::{
    ApiError, End, Hub, MessageId, Refusal, UserId,
    encoding::Message,
    envelope::{self, Envelope},
    live::Live,
    outbox::{Durable, Item},
    sync::lock,
    user_stats::UserCounters,
};

/// A message is on disk in the mailbox of every recipient but those refused. A live-only message
/// was passed on to live sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The id it was given.
    pub id: MessageId,
    /// Who could not take it, in the order of the recipients; never all of them.
    pub refused: Vec<RefusedRecipient>,
}

/// A recipient who could not take a message that others took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRecipient {
    /// Who.
    pub recipient: UserId,
    /// Why.
    pub refusal: Refusal,
}

/// Called once with the outcome of [`Hub::submit_api`].
pub type OnSubmitted = Box<dyn FnOnce(Result<Accepted, ApiError>) + Send>;

/// Who submitted a message.
pub(crate) enum Origin {
    Session {
        live: Arc<Live>,
        counters: Arc<UserCounters>,
        /// What counts against the session until this is settled.
        bytes: usize,
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
    fn sender(&self, envelope: &Envelope<'_>) -> Sender {
        match self {
            Self::Session { live, .. } => Sender {
                user: live.key.clone(),
                limited: true,
            },
            Self::Api(_) => Sender {
                user: envelope.sender().mailbox_key(),
                limited: false,
            },
        }
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
            Self::Session {
                live,
                counters,
                bytes,
            } => Self::Session {
                live: Arc::clone(live),
                counters: Arc::clone(counters),
                bytes: *bytes,
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

impl Hub {
    /// Takes a message from an administrator: any sender, 0 included. `done` is called once,
    /// perhaps before this returns.
    ///
    /// Returns the message's id, by which one who does not wait for the outcome can name it;
    /// `None` when the message is invalid.
    pub fn submit_api(self: &Arc<Self>, payload: &[u8], done: OnSubmitted) -> Option<MessageId> {
        let origin = Origin::api(done);
        match self.settings().parse(payload) {
            Ok(envelope) if envelope.is_for_bot() => {
                origin.answer_api(Err(ApiError::ForBot));
                None
            }
            Ok(envelope) => {
                let now = self.now();
                let id = self.next_id(now);
                self.accept(&envelope, &origin, id, now);
                Some(id)
            }
            Err(error) => {
                self.counters.invalid.add(1);
                origin.answer_api(Err(ApiError::Invalid(error)));
                None
            }
        }
    }

    /// Stores and delivers, or refuses, and tells the origin.
    pub(crate) fn accept(
        self: &Arc<Self>,
        envelope: &Envelope<'_>,
        origin: &Origin,
        id: MessageId,
        now: Timestamp,
    ) {
        if !self.is_accepting() {
            return self.refuse(origin, Refusal::Stopping, envelope.data_json());
        }
        if envelope.is_for_bot() {
            self.counters.for_bot.add(1);
            acknowledge(origin, id, || envelope.data_json());
            return self.settle(origin, envelope.sender(), id, Vec::new());
        }
        if self.settings().is_live_only(envelope.kind()) {
            return self.pass_on(&self.encode_live(envelope, id, now), origin);
        }
        // An upper bound; exact sizes would need the encoding that is to be avoided.
        let bytes = envelope
            .json_len_max(&[])
            .saturating_mul(envelope.recipients().len());
        if bytes > self.settings().config().fanout_bytes_max {
            return self.refuse(origin, Refusal::FanoutTooLarge, envelope.data_json());
        }
        let (message, payload) = self.encode(envelope, id, now);
        let append = Append {
            recipients: message.recipients.iter().map(UserId::mailbox_key).collect(),
            body: payload,
            sender: Some(origin.sender(envelope)),
            ttl_ms: None,
        };
        let hub = Arc::clone(self);
        let completed_for = origin.clone();
        let done = Box::new(move |result| hub.handle_append(&message, &completed_for, result));
        self.gate.begin();
        if let Err(error) = self.mailbox.append(append, done) {
            self.command_not_taken(error);
            self.refuse(origin, Refusal::from(error), envelope.data_json());
        }
    }

    /// Tells a session that a message of its own was not accepted.
    pub(crate) fn notify_refused(&self, live: &Live, refusal: Refusal, data_json: &str) {
        self.counters.refused(refusal);
        let json = envelope::refused(&live.user, refusal, data_json);
        live.offer_refusal(Prepared::text(&json), End::overloaded());
    }

    /// Offers a message that is not stored to everybody who is there; absent recipients miss it,
    /// and so does a session whose outbox is full.
    fn pass_on(&self, message: &Message, origin: &Origin) {
        self.counters.live_only.add(1);
        let data_json = || envelope::data_of(message.frame.payload());
        acknowledge(origin, message.receipt.id, data_json);
        if message.sends_back {
            self.offer_copies(message, origin);
        }
        for recipient in &message.recipients {
            self.offer_all(recipient, &message.frame);
        }
        let receipt = &message.receipt;
        self.settle(origin, &receipt.sender, receipt.id, Vec::new());
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
                let refused = self.deliver(message, &appended);
                if !refused.is_empty() {
                    self.counters.refused_recipients.add(refused.len() as u64);
                    notify_refused_in_part(message, origin, &refused);
                }
                let receipt = &message.receipt;
                self.settle(origin, &receipt.sender, receipt.id, refused);
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

    /// Returns who could not take the message.
    fn deliver(self: &Arc<Self>, message: &Message, appended: &Appended) -> Vec<RefusedRecipient> {
        debug_assert_eq!(message.recipients.len(), appended.outcomes.len());
        let mut refused = Vec::new();
        for (user, outcome) in message.recipients.iter().zip(&appended.outcomes) {
            match outcome {
                Ok(offset) => self.deliver_to(user, message, appended.epoch, *offset),
                Err(refusal) => refused.push(RefusedRecipient {
                    recipient: user.clone(),
                    refusal: Refusal::from(*refusal),
                }),
            }
        }
        refused
    }

    fn deliver_to(self: &Arc<Self>, user: &UserId, message: &Message, epoch: u64, offset: u64) {
        for live in self
            .registry
            .sessions(user)
            .iter()
            .flat_map(|sessions| sessions.iter())
        {
            let durable = Durable {
                offset,
                receipt: message.receipt.clone(),
            };
            let item = Item {
                frame: message.frame.clone(),
                durable: Some(durable),
            };
            let fell_back = live.handle_appended(epoch, offset, item);
            if fell_back {
                self.read_if_wanted(live);
            }
        }
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

    fn refuse(&self, origin: &Origin, refusal: Refusal, data_json: &str) {
        match origin {
            Origin::Session { live, bytes, .. } => {
                self.notify_refused(live, refusal, data_json);
                live.settle_submission(*bytes);
            }
            Origin::Api(_) => {
                self.counters.refused(refusal);
                origin.answer_api(Err(ApiError::Refused(refusal)));
            }
        }
    }
}

/// Tells the session that submitted a message who misses it.
fn notify_refused_in_part(message: &Message, origin: &Origin, refused: &[RefusedRecipient]) {
    if let Origin::Session { live, .. } = origin {
        let data_json = envelope::data_of(message.frame.payload());
        let id = message.receipt.id;
        let json = envelope::refused_in_part(&live.user, id, refused, data_json);
        live.offer_refusal(Prepared::text(&json), End::overloaded());
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
