//! [`report`]: what is known of one message.
//!
//! In: the steps that the hub remembers. Out: a state per recipient, told by the last thing that is certain: a refusal, a proof,
//! a look into the mailbox. Invariant: where none of them is there the state is `unknown`.

use std::collections::HashMap;

use serde::Serialize;
use tidewire_hub::{Departure, MessageId, TraceEntry, TraceStep, UserId, Waiting};

use super::{super::schema, waiting, words};
use crate::rest::{
    Rest, RestError,
    ids::{Id, Ids},
};

/// Which message, and how much of it is told.
pub(super) struct Question {
    pub(super) id: MessageId,
    /// Only this recipient.
    pub(super) only: Option<UserId>,
    /// By a caller who is bound to this user.
    pub(super) seen_by: Option<UserId>,
    /// Mailboxes that are looked into.
    pub(super) looks_max: usize,
}

/// Everything that is known of a message.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct MessageTrace {
    /// Its id.
    #[schema(example = "5A32EA72-38F4D5DC-3541-00000008")]
    id: String,
    /// Who has sent it; missing when that is not remembered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schema::Id, required = false)]
    sender: Option<Id>,
    /// When it came; to the second when it is not remembered and the id tells.
    received: String,
    /// All steps since it came are remembered. When it is false, less may be told than has happened.
    complete: bool,
    /// The session that sent it; missing when it came over REST, or that is not remembered, or not the caller's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    session: Option<u64>,
    /// To how many it was sent; missing when that is not remembered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    recipients_count: Option<u32>,
    /// Why nobody gets it; missing when somebody may.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, example = "store_full")]
    refused: Option<&'static str>,
    /// The same for people, or another thing to say of the message as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    explanation: Option<String>,
    /// The outcome for each recipient of whom something is remembered.
    recipients: Vec<RecipientTrace>,
}

/// The outcome of a message for one recipient.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct RecipientTrace {
    #[schema(value_type = schema::Id)]
    user: Id,
    /// `confirmed`, `waiting`, `refused`, `expired`, `removed`, `released`, `passed_on`, `missed` or `unknown`.
    #[schema(example = "waiting")]
    state: &'static str,
    /// The same for people, with the reason.
    explanation: String,
    /// Its steps, as they happened.
    steps: Vec<StepTrace>,
}

/// A step of a message.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct StepTrace {
    /// When.
    at: String,
    /// `stored`, `passed_on`, `refused`, `handed_out` or `confirmed`.
    #[schema(example = "stored")]
    step: &'static str,
    /// The session that was given it, or has confirmed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    session: Option<u64>,
    /// Live sessions that were found (`stored`), or that took it (`passed_on`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    sessions: Option<u32>,
    /// Sessions that missed it, because their queues were full.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    missed: Option<u32>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    reason: Option<&'static str>,
}

/// The result of a look for a message in a mailbox.
pub(super) enum Look {
    Waits,
    /// Since when and why, if that is remembered.
    Gone(Option<(jiff::Timestamp, Departure)>),
    /// Nobody has looked: there are too many recipients, or it was never stored.
    Not,
}

/// `None`: nothing is known of it, or nothing that concerns the caller.
pub(super) async fn report(
    rest: &Rest,
    question: &Question,
    ids: Ids,
) -> Result<Option<MessageTrace>, RestError> {
    let entries = rest.hub.trace(question.id);
    let whole = Whole::of(&entries);
    let is_sender = question.seen_by.is_some() && question.seen_by == whole.sender;
    let mut recipients = by_recipient(&entries);
    if let Some(user) = &question.seen_by
        && !is_sender
    {
        recipients.retain(|(recipient, _)| recipient == user);
        if recipients.is_empty() {
            return Ok(None);
        }
    }
    if entries.is_empty() {
        return Ok(None);
    }
    let is_asked_of_sender = question.only == whole.sender;
    if let Some(only) = &question.only
        && (recipients.iter().any(|(user, _)| user == only) || !is_asked_of_sender)
    {
        recipients.retain(|(user, _)| user == only);
    }
    let mut trace = whole.trace(question, ids);
    for (index, (user, mut steps)) in recipients.into_iter().enumerate() {
        let look = if index < question.looks_max {
            look(rest, question.id, (&user, whole.sender.as_ref()), &steps).await?
        } else {
            Look::Not
        };
        if matches!(look, Look::Gone(_)) {
            // What has taken it out meanwhile was noted before it left.
            let again = by_recipient(&rest.hub.trace(question.id)).into_iter();
            let again = again.filter(|(recipient, _)| *recipient == user);
            steps = again.map(|(_, steps)| steps).next().unwrap_or(steps);
        }
        let is_own = question.seen_by.as_ref().is_none_or(|own| *own == user);
        let live = is_own.then(|| rest.hub.sessions_of(&user).len());
        let (state, explanation) = words::state(&steps, &look, live);
        let shown = steps.iter().filter_map(|entry| step(entry, is_own));
        trace.recipients.push(RecipientTrace {
            user: ids.id(user),
            state,
            explanation,
            steps: shown.collect(),
        });
    }
    Ok(Some(trace))
}

/// The part that concerns all recipients.
#[derive(Default)]
struct Whole {
    sender: Option<UserId>,
    received: Option<jiff::Timestamp>,
    session: Option<u64>,
    count: Option<u32>,
    refused: Option<tidewire_hub::Refusal>,
    is_for_administrator: bool,
}

impl Whole {
    fn of(entries: &[TraceEntry]) -> Self {
        let mut whole = Self::default();
        for entry in entries {
            match entry.step {
                TraceStep::Received {
                    session,
                    recipients,
                } => {
                    whole.received = Some(entry.at);
                    whole.session = session;
                    whole.count = Some(recipients);
                }
                TraceStep::RefusedAll(refusal) => whole.refused = Some(refusal),
                TraceStep::ForAdministrator => whole.is_for_administrator = true,
                TraceStep::Stored { .. }
                | TraceStep::PassedOn { .. }
                | TraceStep::Refused(_)
                | TraceStep::HandedOut { .. }
                | TraceStep::Confirmed { .. } => continue,
            }
            whole.sender = Some(entry.user.clone());
        }
        whole
    }

    fn trace(&self, question: &Question, ids: Ids) -> MessageTrace {
        let is_shown = question.seen_by.is_none() || question.seen_by == self.sender;
        MessageTrace {
            id: question.id.to_string(),
            sender: self.sender.clone().map(|sender| ids.id(sender)),
            received: match self.received {
                Some(at) => words::time(at),
                None => words::second(question.id.unix_seconds()),
            },
            complete: self.received.is_some(),
            session: self.session.filter(|_| is_shown),
            recipients_count: self.count.filter(|_| is_shown),
            refused: self.refused.map(tidewire_hub::Refusal::code),
            explanation: words::whole(self.refused, self.is_for_administrator),
            recipients: Vec::new(),
        }
    }
}

impl MessageTrace {
    /// Of a message that is found in a mailbox and of which nothing else is known.
    pub(super) fn stored_earlier(id: MessageId, waiting: &Waiting, ids: Ids) -> Self {
        let whole = Whole {
            sender: Some(waiting.sender.clone()),
            ..Whole::default()
        };
        let question = Question {
            id,
            only: None,
            seen_by: None,
            looks_max: 0,
        };
        whole.trace(&question, ids)
    }

    pub(super) fn names_nobody(&self) -> bool {
        self.recipients.is_empty()
    }

    /// It was found in the mailbox of this user.
    pub(super) fn add_waiting(&mut self, rest: &Rest, user: &UserId, ids: Ids) {
        let live = Some(rest.hub.sessions_of(user).len());
        let (state, explanation) = words::state(&[], &Look::Waits, live);
        self.recipients.push(RecipientTrace {
            user: ids.id(user.clone()),
            state,
            explanation,
            steps: Vec::new(),
        });
    }
}

/// The steps of each recipient, in the order in which they were first named.
fn by_recipient(entries: &[TraceEntry]) -> Vec<(UserId, Vec<TraceEntry>)> {
    let mut found: Vec<(UserId, Vec<TraceEntry>)> = Vec::new();
    let mut places = HashMap::new();
    for entry in entries {
        if matches!(
            entry.step,
            TraceStep::Received { .. } | TraceStep::RefusedAll(_) | TraceStep::ForAdministrator
        ) {
            continue;
        }
        let place = *places.entry(&entry.user).or_insert_with(|| {
            found.push((entry.user.clone(), Vec::new()));
            found.len() - 1
        });
        if let Some((_, steps)) = found.get_mut(place) {
            steps.push(entry.clone());
        }
    }
    // What two threads noted at the same moment may stand in either order.
    for (_, steps) in &mut found {
        steps.sort_by_key(|entry| (entry.at, rank(entry.step)));
    }
    found
}

fn rank(step: TraceStep) -> u8 {
    let is_handed_out = matches!(step, TraceStep::HandedOut { .. });
    let is_confirmed = matches!(step, TraceStep::Confirmed { .. });
    u8::from(is_handed_out) + 2 * u8::from(is_confirmed)
}

/// Looks whether a message that was stored is still there.
async fn look(
    rest: &Rest,
    id: MessageId,
    (user, sender): (&UserId, Option<&UserId>),
    steps: &[TraceEntry],
) -> Result<Look, RestError> {
    let stored = steps.iter().find_map(|entry| {
        let TraceStep::Stored { offset, .. } = entry.step else {
            return None;
        };
        Some((offset, entry.at))
    });
    let Some((offset, at)) = stored else {
        return Ok(Look::Not);
    };
    let is_confirmed = |entry: &TraceEntry| matches!(entry.step, TraceStep::Confirmed { .. });
    if steps.iter().any(is_confirmed) {
        return Ok(Look::Not);
    }
    let page = waiting(rest, user, offset.saturating_sub(1), 1).await?;
    if page.messages.first().is_some_and(|first| first.id == id) {
        return Ok(Look::Waits);
    }
    let departure = rest.hub.departure((user, offset), sender, at);
    Ok(Look::Gone(departure))
}

/// A step as it is shown; sessions of another user are not the caller's business.
fn step(entry: &TraceEntry, is_own: bool) -> Option<StepTrace> {
    let mut shown = StepTrace {
        at: words::time(entry.at),
        step: "",
        session: None,
        sessions: None,
        missed: None,
        reason: None,
    };
    match entry.step {
        TraceStep::Stored { sessions, .. } => {
            shown.step = "stored";
            shown.sessions = is_own.then_some(sessions);
        }
        TraceStep::PassedOn { sessions, missed } => {
            shown.step = "passed_on";
            shown.sessions = is_own.then_some(sessions);
            shown.missed = is_own.then_some(missed);
        }
        TraceStep::Refused(refusal) => {
            shown.step = "refused";
            shown.reason = Some(refusal.code());
        }
        TraceStep::HandedOut { session } if is_own => {
            shown.step = "handed_out";
            shown.session = Some(session);
        }
        TraceStep::Confirmed { session } => {
            shown.step = "confirmed";
            shown.session = is_own.then_some(session);
        }
        TraceStep::HandedOut { .. }
        | TraceStep::Received { .. }
        | TraceStep::RefusedAll(_)
        | TraceStep::ForAdministrator => return None,
    }
    Some(shown)
}
