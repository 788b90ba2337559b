//! Describes what an event of the outbox says: [`EventRecord`], and the bytes in which it lies there.
//!
//! In: what the hub does. Out: bodies for [`NewEvent`](tidewire_engine::NewEvent), and back for those who pass events on. Each body
//! begins with a version:
//!
//! ```text
//! message        01  recipients (LEB128 count, then LEB128 length and key each)  body of the message
//! undeliverable  01  length (LEB128) and code of the refusal  recipients  body of the message
//! expired        the body of the message, as the mailbox had it
//! connected      01  id of the session (14 bytes)  milliseconds (8)  length (LEB128) and name of the device
//! disconnected   the same  close code (2)  reason (the rest)
//! lost           what connected had
//! delivered      01  id of the message (14 bytes)  length (LEB128) and key of the recipient
//! ```
//!
//! Invariant: bytes that are no record are an error, whatever they are.

use bytes::Bytes;
use tidewire_engine::{EventKind, StoredEvent};

use crate::{
    MessageId, Publication, UserId,
    body::{BodyError, push_len, take_len},
};

/// Tells what has happened, of an event that was read back.
#[derive(Debug)]
#[non_exhaustive]
pub enum EventRecord {
    /// A message was accepted.
    Message(Publication),
    /// A session has begun.
    Connected(SessionRecord),
    /// A session has ended.
    Disconnected(SessionRecord, SessionEnd),
    /// A session ended with the process that served it, which was killed or crashed.
    Lost(SessionRecord),
    /// A message was not accepted for these recipients.
    Undeliverable {
        /// The message; its recipients are those who miss it.
        publication: Publication,
        /// Why: the code of a [`Refusal`](crate::Refusal).
        reason: String,
    },
    /// A message waited too long in the mailbox of its one recipient.
    Expired(Publication),
    /// A message has reached a recipient.
    Delivered {
        /// The message.
        id: MessageId,
        /// Who has it.
        recipient: UserId,
    },
}

/// A session as events tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// Unlike that of any other session of any time.
    pub id: MessageId,
    /// When it began: milliseconds since 1970.
    pub began_ms: u64,
    /// The device to which authentication has bound it.
    pub device: Option<String>,
}

/// How a session has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionEnd {
    /// The close code of its connection: 1006 when that was lost.
    pub code: u16,
    /// The reason that was sent or received with it, for people.
    pub reason: String,
}

impl SessionEnd {
    /// An end with this close code and reason.
    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }

    /// The connection was lost.
    pub fn lost() -> Self {
        Self::new(1006, "")
    }
}

/// An event of the outbox holds something that is no record of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a record of an event")]
pub struct EventRecordError;

impl From<BodyError> for EventRecordError {
    fn from(_: BodyError) -> Self {
        Self
    }
}

impl EventRecord {
    /// Reads what an event says.
    ///
    /// # Errors
    /// [`EventRecordError`]: it was written by another program, or is of a later version.
    pub fn of(event: &StoredEvent) -> Result<Self, EventRecordError> {
        let body = &event.body;
        Ok(match event.kind {
            EventKind::Message => Self::Message(message(body, versioned(body)?)?),
            EventKind::Connected => Self::Connected(session(&mut versioned(body)?)?),
            EventKind::Lost => Self::Lost(session(&mut versioned(body)?)?),
            EventKind::Disconnected => {
                let mut rest = versioned(body)?;
                let record = session(&mut rest)?;
                let (code, reason) = rest.split_first_chunk().ok_or(EventRecordError)?;
                let end = SessionEnd {
                    code: u16::from_be_bytes(*code),
                    reason: text(reason)?.to_owned(),
                };
                Self::Disconnected(record, end)
            }
            EventKind::Undeliverable => {
                let mut rest = versioned(body)?;
                let reason = text(counted(&mut rest)?)?.to_owned();
                Self::Undeliverable {
                    publication: message(body, rest)?,
                    reason,
                }
            }
            EventKind::Expired => {
                let recipient = user(&event.key)?;
                Self::Expired(Publication::from_body(body.clone(), &recipient)?)
            }
            EventKind::Delivered => {
                let mut rest = versioned(body)?;
                let id = take_id(&mut rest)?;
                let recipient = user(text(counted(&mut rest)?)?)?;
                Self::Delivered { id, recipient }
            }
            _ => return Err(EventRecordError),
        })
    }
}

/// The body of [`EventKind::Message`].
pub(crate) fn message_body(publication: &Publication) -> Bytes {
    let recipients = publication.recipients();
    let mut out = Vec::with_capacity(publication.body().len() + 8 + 12 * recipients.len());
    out.push(VERSION);
    push_message(&mut out, recipients, publication);
    out.into()
}

/// The body of [`EventKind::Undeliverable`].
pub(crate) fn undeliverable_body(
    publication: &Publication,
    recipients: &[UserId],
    reason: &str,
) -> Bytes {
    let mut out = vec![VERSION];
    push_counted(&mut out, reason);
    push_message(&mut out, recipients, publication);
    out.into()
}

/// The body of [`EventKind::Connected`], or with an end that of [`EventKind::Disconnected`].
pub(crate) fn session_body(session: &SessionRecord, end: Option<&SessionEnd>) -> Bytes {
    let mut out = vec![VERSION];
    out.extend_from_slice(&session.id.to_bytes());
    out.extend_from_slice(&session.began_ms.to_be_bytes());
    push_counted(&mut out, session.device.as_deref().unwrap_or_default());
    if let Some(end) = end {
        out.extend_from_slice(&end.code.to_be_bytes());
        out.extend_from_slice(end.reason.as_bytes());
    }
    out.into()
}

/// The body of [`EventKind::Delivered`].
pub(crate) fn delivered_body(id: MessageId, recipient: &UserId) -> Bytes {
    let mut out = vec![VERSION];
    out.extend_from_slice(&id.to_bytes());
    recipient.with_key(|key| push_counted(&mut out, key));
    out.into()
}

fn push_message(out: &mut Vec<u8>, recipients: &[UserId], publication: &Publication) {
    push_len(recipients.len(), out);
    for recipient in recipients {
        recipient.with_key(|key| push_counted(out, key));
    }
    out.extend_from_slice(publication.body());
}

fn push_counted(out: &mut Vec<u8>, text: &str) {
    push_len(text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

fn versioned(body: &Bytes) -> Result<&[u8], EventRecordError> {
    match body.split_first() {
        Some((&VERSION, rest)) => Ok(rest),
        Some(_) | None => Err(EventRecordError),
    }
}

fn message(body: &Bytes, mut rest: &[u8]) -> Result<Publication, EventRecordError> {
    let count = take_len(&mut rest).ok_or(EventRecordError)?;
    // Each takes two bytes at least.
    let mut recipients = Vec::with_capacity(count.min(rest.len() / 2));
    for _ in 0..count {
        recipients.push(user(text(counted(&mut rest)?)?)?);
    }
    let stored = body.slice(body.len() - rest.len()..);
    Ok(Publication::with_recipients(stored, recipients.into())?)
}

fn session(rest: &mut &[u8]) -> Result<SessionRecord, EventRecordError> {
    let id = take_id(rest)?;
    let (began, tail) = rest.split_first_chunk().ok_or(EventRecordError)?;
    *rest = tail;
    let device = text(counted(rest)?)?;
    Ok(SessionRecord {
        id,
        began_ms: u64::from_be_bytes(*began),
        device: (!device.is_empty()).then(|| device.to_owned()),
    })
}

fn take_id(rest: &mut &[u8]) -> Result<MessageId, EventRecordError> {
    let (id, tail) = rest.split_first_chunk().ok_or(EventRecordError)?;
    *rest = tail;
    Ok(MessageId::from_bytes(*id))
}

fn counted<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], EventRecordError> {
    let len = take_len(rest).ok_or(EventRecordError)?;
    let (part, tail) = rest.split_at_checked(len).ok_or(EventRecordError)?;
    *rest = tail;
    Ok(part)
}

fn text(bytes: &[u8]) -> Result<&str, EventRecordError> {
    str::from_utf8(bytes).map_err(|_| EventRecordError)
}

fn user(key: &str) -> Result<UserId, EventRecordError> {
    key.parse().map_err(|_| EventRecordError)
}

const VERSION: u8 = 1;
