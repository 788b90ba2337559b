//! An event as targets see it: [`Event`], and its JSON.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use tidewire_engine::{EventKind, StoredEvent};
use tidewire_hub::{EventRecord, EventRecordError, Publication, SessionRecord, UserId};

/// Writes a message as clients get it.
pub type RenderMessage = Arc<dyn Fn(&Publication) -> String + Send + Sync>;

/// Tells what has happened, ready for a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number in the outbox, rising by one.
    pub sequence: u64,
    /// Identity of the life of the store in which that is its number.
    pub epoch: u64,
    /// The user whose event it is: the sender of a message, the user of a session, the recipient who misses a
    /// message.
    pub user: Arc<str>,
    /// Its number among the events of this user, rising by one.
    pub user_sequence: u64,
    /// Its kind: `message`, `connected`, `disconnected`, `undeliverable`, `expired`, `delivered`.
    pub kind: &'static str,
    /// When it happened: milliseconds since 1970.
    pub time_ms: u64,
    /// Tells what kinds differ in.
    pub content: EventContent,
    /// All of it as JSON: docs/events.md.
    pub json: Bytes,
    /// As it lies in the outbox, for a dead letter.
    pub(crate) stored: StoredEvent,
}

/// Tells what is in an event besides its user and time; empty where its kind has no such thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventContent {
    /// The message as clients get it: the classic envelope.
    pub message: Option<Bytes>,
    /// The message's id.
    pub message_id: Option<String>,
    /// The message's type.
    pub message_type: Option<String>,
    /// Who has sent it.
    pub sender: Option<UserId>,
    /// For whom it is; those who miss it, or who has received it, where the event is about them.
    pub recipients: Vec<UserId>,
    /// The session's id.
    pub session: Option<String>,
    /// The session's close code.
    pub code: Option<u16>,
    /// Why a session has ended, or a message has not arrived.
    pub reason: Option<String>,
}

/// The kinds of events, as configuration and JSON name them.
pub(crate) const KINDS: &[(&str, &[EventKind])] = &[
    ("message", &[EventKind::Message]),
    ("connected", &[EventKind::Connected]),
    (
        "disconnected",
        &[
            EventKind::Disconnected,
            EventKind::Lost,
            EventKind::Connected,
        ],
    ),
    ("undeliverable", &[EventKind::Undeliverable]),
    ("expired", &[EventKind::Expired]),
    ("delivered", &[EventKind::Delivered]),
];

impl Event {
    /// An event with a unique name for the life of the installation: `EPOCH-SEQUENCE`.
    pub fn id(&self) -> String {
        format!("{}-{}", self.epoch, self.sequence)
    }

    /// Reads what lies in the outbox.
    ///
    /// # Errors
    /// [`EventRecordError`]: another program has written it.
    pub fn of(
        stored: StoredEvent,
        epoch: u64,
        render: &RenderMessage,
    ) -> Result<Self, EventRecordError> {
        let record = EventRecord::of(&stored)?;
        let (kind, content, began_ms, device) = content(record, render)?;
        let json = json(&stored, epoch, kind, &content, began_ms, device.as_deref());
        Ok(Self {
            sequence: stored.sequence,
            epoch,
            user: Arc::clone(&stored.key),
            user_sequence: stored.key_sequence,
            kind,
            time_ms: stored.time_ms,
            content,
            json,
            stored,
        })
    }

    /// The message alone, as wsserver's event notifier makes it (S-70). `None`: it is of a kind that wsserver does not tell.
    pub fn classic(&self) -> Option<&Bytes> {
        let is_told = self.kind == "message";
        self.content.message.as_ref().filter(|_message| is_told)
    }

    /// When it happened, as RFC 3339 in UTC with milliseconds.
    pub fn time(&self) -> String {
        time(self.time_ms)
    }
}

type Content = (&'static str, EventContent, Option<u64>, Option<String>);

fn content(record: EventRecord, render: &RenderMessage) -> Result<Content, EventRecordError> {
    let of_message = |kind, publication: &Publication, reason| {
        let content = EventContent {
            message: Some(render(publication).into()),
            message_id: Some(publication.id().to_string()),
            message_type: Some(publication.kind().into_owned()),
            sender: Some(publication.sender().clone()),
            recipients: publication.recipients().to_vec(),
            reason,
            ..EventContent::default()
        };
        (kind, content, None, None)
    };
    let of_session = |kind, session: SessionRecord, end: Option<(u16, String)>| {
        let (code, reason) = end.unzip();
        let content = EventContent {
            session: Some(session.id.to_string()),
            code,
            reason: reason.filter(|reason| !reason.is_empty()),
            ..EventContent::default()
        };
        (kind, content, Some(session.began_ms), session.device)
    };
    Ok(match record {
        EventRecord::Message(publication) => of_message("message", &publication, None),
        EventRecord::Undeliverable {
            publication,
            reason,
        } => of_message("undeliverable", &publication, Some(reason)),
        EventRecord::Expired(publication) => of_message("expired", &publication, None),
        EventRecord::Connected(session) => of_session("connected", session, None),
        EventRecord::Disconnected(session, end) => {
            of_session("disconnected", session, Some((end.code, end.reason)))
        }
        EventRecord::Lost(session) => {
            let reason = "the server ended abruptly".to_owned();
            of_session("disconnected", session, Some((1006, reason)))
        }
        EventRecord::Delivered { id, recipient } => {
            let content = EventContent {
                message_id: Some(id.to_string()),
                recipients: vec![recipient],
                ..EventContent::default()
            };
            ("delivered", content, None, None)
        }
        _ => return Err(EventRecordError),
    })
}

fn json(
    stored: &StoredEvent,
    epoch: u64,
    kind: &str,
    content: &EventContent,
    began_ms: Option<u64>,
    device: Option<&str>,
) -> Bytes {
    let message_len = content.message.as_ref().map_or(0, Bytes::len);
    let mut out = String::with_capacity(message_len + 256);
    let id = format!("{epoch}-{}", stored.sequence);
    out.push_str("{\"id\":\"");
    out.push_str(&id);
    out.push('"');
    push_text(&mut out, "kind", kind);
    push_text(&mut out, "time", &time(stored.time_ms));
    push_text(&mut out, "user", &stored.key);
    push_json(&mut out, "sequence", &stored.key_sequence.to_string());
    if let Some(session) = &content.session {
        push_text(&mut out, "session", session);
    }
    if let Some(device) = device {
        push_text(&mut out, "device", device);
    }
    if let Some(began_ms) = began_ms {
        push_text(&mut out, "since", &time(began_ms));
    }
    if let Some(code) = content.code {
        push_json(&mut out, "code", &code.to_string());
    }
    if let Some(reason) = &content.reason {
        push_text(&mut out, "reason", reason);
    }
    if let Some(message) = &content.message {
        let message = str::from_utf8(message).unwrap_or("null");
        push_json(&mut out, "message", message);
    } else if let Some(id) = &content.message_id {
        push_text(&mut out, "message_id", id);
        if let Some(recipient) = content.recipients.first() {
            push_text(&mut out, "recipient", &recipient.mailbox_key());
        }
    }
    out.push('}');
    out.into()
}

fn push_text(out: &mut String, name: &str, text: &str) {
    push_json(out, name, &serde_json::Value::from(text).to_string());
}

fn push_json(out: &mut String, name: &str, json: &str) {
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":");
    out.push_str(json);
}

fn time(ms: u64) -> String {
    let time = i64::try_from(ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .unwrap_or_default();
    format!("{time:.3}")
}
