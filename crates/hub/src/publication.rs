//! One message in the hub: [`Publication`].
//!
//! In: a [`Draft`] that is accepted, or a record of a mailbox. Out: its members for dialects, and its
//! [body](crate::body) for mailboxes. Invariants: text, type, data and an author's time stamp are held once,
//! in the body, byte for byte as they came; a publication never changes, so what a dialect has made of it
//! is kept beside it and made once, however many sessions get it.

use std::{any::Any, borrow::Cow, fmt, sync::OnceLock};

use bytes::Bytes;

use crate::{
    Draft, JsonText, MessageId, UserId,
    body::{self, BodyError, Parts},
    command,
};

/// A message with its id, shared by everybody who gets it.
pub struct Publication {
    id: MessageId,
    sender: UserId,
    recipients: Box<[UserId]>,
    body: Bytes,
    parts: Parts,
    rendered: Rendered,
}

/// The message and its sender, who learns of its delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) id: MessageId,
    pub(crate) sender: UserId,
}

impl Publication {
    /// A draft with its id; `now` stands in for a missing time stamp.
    pub fn new(id: MessageId, draft: Draft<'_>, now: &JsonText<'_>) -> Self {
        let timestamp = draft.timestamp.as_ref().unwrap_or(now);
        let members = body::Members {
            kind: draft.kind.literal(),
            timestamp: timestamp.literal(),
            text: draft.text.literal(),
            data: &draft.data,
        };
        let (body, parts) = body::encode(id, &draft.sender, &members);
        Self {
            id,
            sender: draft.sender,
            recipients: draft.recipients.into_users(),
            body,
            parts,
            rendered: Rendered::default(),
        }
    }

    /// What a mailbox of `recipient` has kept: it names no other recipients.
    pub(crate) fn from_body(body: Bytes, recipient: &UserId) -> Result<Self, BodyError> {
        Self::with_recipients(body, Box::new([recipient.clone()]))
    }

    /// A message of which the recipients are known from elsewhere.
    pub(crate) fn with_recipients(
        body: Bytes,
        recipients: Box<[UserId]>,
    ) -> Result<Self, BodyError> {
        let body::Decoded {
            id,
            sender,
            body,
            parts,
        } = body::decode(body)?;
        Ok(Self {
            id,
            sender,
            recipients,
            body,
            parts,
            rendered: Rendered::default(),
        })
    }

    /// The id it was given.
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// Who has sent it.
    pub fn sender(&self) -> &UserId {
        &self.sender
    }

    /// Everybody it was sent to, in the order in which each was named, 0 included; only the reader
    /// when it comes from a mailbox.
    pub fn recipients(&self) -> &[UserId] {
        &self.recipients
    }

    /// Its type.
    pub fn kind(&self) -> Cow<'_, str> {
        command::decode(self.kind_json()).unwrap_or_default()
    }

    /// Its text; empty where there is none.
    pub fn text(&self) -> Cow<'_, str> {
        command::decode(self.text_json()).unwrap_or_default()
    }

    /// Its type as a JSON string literal, as its author wrote it.
    pub fn kind_json(&self) -> &str {
        self.parts.kind(&self.body)
    }

    /// Its text as a JSON string literal, as its author wrote it.
    pub fn text_json(&self) -> &str {
        self.parts.text(&self.body)
    }

    /// Its time stamp as a JSON string literal: the author's, or the server's in the configured time zone.
    pub fn timestamp_json(&self) -> &str {
        self.parts.timestamp(&self.body)
    }

    /// Its data: any JSON, as its author wrote it.
    pub fn data_json(&self) -> &str {
        self.parts.data(&self.body)
    }

    /// What its delivery owes to the sender.
    pub(crate) fn receipt(&self) -> Receipt {
        Receipt {
            id: self.id,
            sender: self.sender.clone(),
        }
    }

    /// What mailboxes keep of it, the same for all recipients.
    pub(crate) fn body(&self) -> &Bytes {
        &self.body
    }

    /// About how many bytes it takes in a queue, encoded as text.
    pub(crate) fn size(&self) -> usize {
        let recipients = self.recipients.iter();
        let ids: usize = recipients.map(|id| id.with_key(str::len) + 1).sum();
        self.body.len() + ENCODING_BYTES + ids
    }

    /// What a dialect makes of it, made by the first who asks and then shared. Each dialect brings a type of its
    /// own; the publication knows none of them. Whoever asks meanwhile waits, so `make` must not wait itself.
    #[expect(clippy::missing_panics_doc, reason = "no input makes it panic")]
    pub fn rendered<T: Any + Send + Sync>(&self, make: impl FnOnce(&Self) -> T) -> &T {
        let mut make = Some(make);
        let mut slot = &self.rendered;
        loop {
            let value = slot.value.get_or_init(|| {
                let make = make.take().expect("a slot of this type ends the search");
                Box::new(make(self))
            });
            if let Some(value) = value.downcast_ref() {
                return value;
            }
            slot = slot.next.get_or_init(Box::default);
        }
    }
}

impl fmt::Debug for Publication {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Publication")
            .field("id", &self.id)
            .field("sender", &self.sender)
            .finish_non_exhaustive()
    }
}

/// What an encoding adds to a body: names of the members, the id as text. It is counted with each message that
/// waits, so that many small ones are not taken for less than they are.
pub(crate) const ENCODING_BYTES: usize = 120;

/// A list of one value per type; a message of few dialects is the rule, so it is searched.
#[derive(Default)]
struct Rendered {
    value: OnceLock<Box<dyn Any + Send + Sync>>,
    next: OnceLock<Box<Self>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    impl Publication {
        /// Some message.
        pub(crate) fn of_tests() -> Self {
            publication()
        }
    }

    fn publication() -> Publication {
        let settings = Settings::try_from(crate::Config::default()).unwrap();
        let mut recipients = settings.recipients();
        recipients.add(UserId::from(2));
        let draft = Draft {
            kind: JsonText::quote("text"),
            sender: UserId::from(1),
            recipients: recipients.finish().unwrap(),
            text: JsonText::from_literal(r#""\u00e9""#).unwrap(),
            data: "{}".into(),
            timestamp: None,
            reference: None,
        };
        Publication::new(MessageId::NIL, draft, &JsonText::quote("now"))
    }

    #[test]
    fn members_keep_their_spelling_and_are_readable() {
        let publication = publication();
        assert_eq!(publication.text_json(), r#""\u00e9""#);
        assert_eq!(publication.text(), "é");
        assert_eq!(publication.kind(), "text");
        assert_eq!(publication.timestamp_json(), "\"now\"");
        assert_eq!(publication.data_json(), "{}");
    }

    #[test]
    fn each_dialect_renders_once() {
        let publication = publication();
        for _ in 0..2 {
            assert_eq!(publication.rendered(|p| p.text().into_owned()), "é");
            assert_eq!(*publication.rendered(|p| p.recipients().len()), 1);
        }
        // Who comes second gets what the first has made.
        assert_eq!(publication.rendered(|_| String::from("another")), "é");
    }
}
