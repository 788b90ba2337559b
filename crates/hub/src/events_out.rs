//! Describes what other systems are told of what the hub does: events for the [`Outbox`].
//!
//! In: messages that are accepted, sessions that begin and end, recipients who miss a message, proofs of receipt. Out:
//! events with the append that causes them, or on their own. Invariant: nothing waits for the outbox but a
//! message that has nowhere else to go; without a target that wants an event none is made.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tidewire_engine::{EventKind, NewEvent, Outbox, SessionChange, SubmitError};

use crate::{
    Hub, MessageId, Publication, UserId,
    origin::RefusedRecipient,
    record::{self, SessionEnd, SessionRecord},
};

/// Which events are made at all: what at least one target wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventSelection {
    /// Their kinds; empty: none.
    pub kinds: Vec<EventKind>,
    /// Tells of messages of the administrator (sender 0) too.
    pub bot_messages: bool,
    /// Types of messages that are not told, in any case.
    pub ignored_types: Vec<String>,
}

/// The outbox, and what goes into it.
#[derive(Debug, Default)]
pub(crate) struct EventsOut {
    outbox: Option<Arc<dyn Outbox>>,
    selection: EventSelection,
    sessions: AtomicU64,
    lost: Arc<AtomicU64>,
}

/// A session that is told.
#[derive(Debug)]
pub(crate) struct ToldSession {
    record: SessionRecord,
    number: u64,
}

impl EventsOut {
    pub(crate) fn new(outbox: Option<Arc<dyn Outbox>>, selection: EventSelection) -> Self {
        Self {
            outbox,
            selection,
            ..Self::default()
        }
    }

    fn wants(&self, kind: EventKind) -> bool {
        self.outbox.is_some() && self.selection.kinds.contains(&kind)
    }

    /// Returns whether something is told of a message.
    fn wants_of(&self, kind: EventKind, publication: &Publication) -> bool {
        if !self.wants(kind) || (publication.sender().is_bot() && !self.selection.bot_messages) {
            return false;
        }
        let ignored = &self.selection.ignored_types;
        ignored.is_empty() || {
            let kind = publication.kind();
            !ignored
                .iter()
                .any(|listed| listed.eq_ignore_ascii_case(&kind))
        }
    }

    /// Events that were not stored because the outbox, its queue or the disk was full.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Stores events that nothing waits for.
    fn emit(&self, events: Vec<NewEvent>) {
        let Some(outbox) = &self.outbox else { return };
        let count = events.len() as u64;
        let lost = Arc::clone(&self.lost);
        let done = Box::new(move |result: Result<(), _>| {
            if let Err(error) = result {
                lost.fetch_add(count, Ordering::Relaxed);
                tracing::debug!(%error, "an event was not stored");
            }
        });
        if let Err(error) = outbox.append_events(events, done) {
            self.lost.fetch_add(count, Ordering::Relaxed);
            tracing::debug!(%error, "an event was not stored");
        }
    }
}

impl Hub {
    fn event(&self, kind: EventKind, user: &UserId, body: bytes::Bytes) -> NewEvent {
        NewEvent {
            kind,
            key: user.mailbox_key(),
            time_ms: self.now_ms(),
            body,
            session: None,
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.now().as_millisecond()).unwrap_or_default()
    }

    /// Tells what is told of a message that is accepted, if anything is.
    pub(crate) fn message_events(&self, publication: &Publication) -> Vec<NewEvent> {
        if !self.events_out.wants_of(EventKind::Message, publication) {
            return Vec::new();
        }
        let body = record::message_body(publication);
        vec![self.event(EventKind::Message, publication.sender(), body)]
    }

    /// Tells of a message that is not stored.
    pub(crate) fn tell_message(&self, publication: &Publication) {
        let events = self.message_events(publication);
        if !events.is_empty() {
            self.events_out.emit(events);
        }
    }

    /// Tells of a message that goes nowhere else. `None`: nobody wants to hear of it; else `done` is called with
    /// whether it is stored.
    pub(crate) fn tell_bot_message(
        &self,
        publication: &Publication,
        done: impl FnOnce(Result<(), tidewire_engine::OutboxError>) + Send + 'static,
    ) -> Option<Result<(), SubmitError>> {
        let outbox = self.events_out.outbox.as_ref()?;
        let events = self.message_events(publication);
        if events.is_empty() {
            return None;
        }
        Some(outbox.append_events(events, Box::new(done)))
    }

    /// Tells who misses a message, an event per reason.
    pub(crate) fn tell_undeliverable(
        &self,
        publication: &Publication,
        refused: &[RefusedRecipient],
    ) {
        if refused.is_empty()
            || !self
                .events_out
                .wants_of(EventKind::Undeliverable, publication)
        {
            return;
        }
        let event = |refused: &RefusedRecipient| {
            let recipients = std::slice::from_ref(&refused.recipient);
            let code = refused.refusal.code();
            let body = record::undeliverable_body(publication, recipients, code);
            self.event(EventKind::Undeliverable, &refused.recipient, body)
        };
        self.events_out.emit(refused.iter().map(event).collect());
    }

    /// Tells that a recipient has a message of this sender.
    pub(crate) fn tell_delivered(&self, id: MessageId, sender: &UserId, recipient: &UserId) {
        let body = record::delivered_body(id, recipient);
        self.events_out
            .emit(vec![self.event(EventKind::Delivered, sender, body)]);
    }

    /// Returns whether deliveries are told.
    pub(crate) fn tells_deliveries(&self) -> bool {
        self.events_out.wants(EventKind::Delivered)
    }

    /// Tells that a session begins; returns what its end needs, if that is told.
    pub(crate) fn tell_connected(
        &self,
        user: &UserId,
        device: Option<&str>,
    ) -> Option<ToldSession> {
        let out = &self.events_out;
        let (begins, ends) = (
            out.wants(EventKind::Connected),
            out.wants(EventKind::Disconnected),
        );
        if !begins && !ends {
            return None;
        }
        let session = ToldSession {
            record: SessionRecord {
                id: self.next_id(self.now()),
                began_ms: self.now_ms(),
                device: device.map(str::to_owned),
            },
            number: out.sessions.fetch_add(1, Ordering::Relaxed),
        };
        if begins {
            let body = record::session_body(&session.record, None);
            let mut event = self.event(EventKind::Connected, user, body);
            event.session = ends.then_some(SessionChange::Began(session.number));
            out.emit(vec![event]);
        }
        ends.then_some(session)
    }

    /// Tells that a session has ended.
    pub(crate) fn tell_disconnected(&self, user: &UserId, session: &ToldSession, end: &SessionEnd) {
        let body = record::session_body(&session.record, Some(end));
        let mut event = self.event(EventKind::Disconnected, user, body);
        event.session = Some(SessionChange::Ended(session.number));
        self.events_out.emit(vec![event]);
    }
}
