//! Refusals, told to whoever submitted a message, to those who are told of events, and to the trace.
//!
//! In: a message, or a part of its recipients, that is not taken. Out: notices, counts, events. Invariant: the origin hears of
//! each refusal once.

use jiff::Timestamp;
use tidewire_engine::AppendError;

use crate::{
    ApiError, Draft, Hub, MessageId, Notice, Publication, Refusal, UserId,
    live::Live,
    origin::{Origin, RefusedRecipient},
    trace::TraceStep,
};

impl Hub {
    /// Tells a session that a message of its own was not accepted.
    pub(crate) fn notify_refused(
        &self,
        live: &Live,
        refusal: Refusal,
        reference: Option<Box<str>>,
    ) {
        self.counters.refused(refusal);
        live.offer_outcome(Notice::Refused { refusal, reference });
    }

    /// Tells the session that submitted a message who misses it, if anybody does.
    pub(crate) fn notify_refused_in_part(
        &self,
        origin: &Origin,
        publication: &Publication,
        refused: &[RefusedRecipient],
    ) {
        if refused.is_empty() {
            return;
        }
        self.counters.refused_recipients.add(refused.len() as u64);
        let now = self.now();
        for refused in refused {
            let step = TraceStep::Refused(refused.refusal);
            self.trace
                .note(publication.id(), now, &refused.recipient, step);
        }
        self.tell_undeliverable(publication, refused);
        if let Origin::Session {
            live, reference, ..
        } = origin
        {
            live.offer_outcome(Notice::RefusedInPart {
                id: publication.id(),
                recipients: refused.to_vec(),
                reference: reference.clone(),
            });
        }
    }

    /// Tells others that nobody gets a message.
    pub(crate) fn tell_refused(&self, publication: &Publication, error: &AppendError) {
        let AppendError::NoMailbox { refusals } = error else {
            return;
        };
        let recipients = publication.recipients().iter().filter(|id| !id.is_bot());
        let refused: Vec<_> = recipients
            .zip(refusals)
            .map(|(recipient, refusal)| RefusedRecipient {
                recipient: recipient.clone(),
                refusal: Refusal::from(*refusal),
            })
            .collect();
        let now = self.now();
        for RefusedRecipient { recipient, refusal } in &refused {
            let step = TraceStep::Refused(*refusal);
            self.trace.note(publication.id(), now, recipient, step);
        }
        self.tell_undeliverable(publication, &refused);
    }

    /// Refuses a message as a whole.
    pub(crate) fn refuse_message(
        &self,
        origin: &Origin,
        (id, sender): (MessageId, &UserId),
        refusal: Refusal,
    ) {
        let step = TraceStep::RefusedAll(refusal);
        self.trace.note(id, self.now(), sender, step);
        self.refuse(origin, refusal);
    }

    pub(crate) fn refuse(&self, origin: &Origin, refusal: Refusal) {
        match origin {
            Origin::Session {
                live,
                bytes,
                reference,
                ..
            } => {
                self.notify_refused(live, refusal, reference.clone());
                live.settle_submission(*bytes);
            }
            Origin::Api(_) => {
                self.counters.refused(refusal);
                origin.answer_api(Err(ApiError::Refused(refusal)));
            }
        }
    }

    pub(crate) fn note_received(
        &self,
        draft: &Draft<'_>,
        origin: &Origin,
        (id, now): (MessageId, Timestamp),
    ) {
        let session = match origin {
            Origin::Session { live, .. } => Some(live.id),
            Origin::Api(_) => None,
        };
        let recipients = draft.recipients.as_slice().len();
        let recipients = u32::try_from(recipients).unwrap_or(u32::MAX);
        let step = TraceStep::Received {
            session,
            recipients,
        };
        self.trace.note(id, now, &draft.sender, step);
    }
}
