//! The JSON message between users: [`Envelope`].
//!
//! In: the payload of a text or binary message, or a REST body ([`parse`]). Out: the delivered
//! form with its keys in alphabetical order (S-21), for all recipients or reduced to one; the
//! hub's own notifications ([`notification`]). Invariant: `data`, `text`, `type` and a
//! client's `timestamp` leave byte for byte as they came; nothing that leaves is
//! nested too deep for common JSON readers or has unpaired surrogates. Numbers inside `data`
//! leave as written, whatever their size.

mod notification;
mod parse;
mod scan;

use std::borrow::Cow;

pub(crate) use notification::{accepted, data_of, received, refused, refused_in_part};
use parse::Repeats;

use crate::{MessageId, UserId};

/// A checked message that borrows from the payload it was parsed from.
#[derive(Clone, Debug)]
pub struct Envelope<'a> {
    kind: Cow<'a, str>,
    sender: UserId,
    recipients: Vec<UserId>,
    // The values below are JSON as the client wrote it.
    kind_json: &'a str,
    text_json: &'a str,
    data_json: &'a str,
    timestamp_json: Option<&'a str>,
}

impl<'a> Envelope<'a> {
    /// Reads and checks a payload in the order of the errors' variants. Recipients are a set in
    /// the order in which each is first named.
    pub fn parse(payload: &'a [u8], recipients_max: usize) -> Result<Self, EnvelopeError> {
        parse::parse(payload, recipients_max, Repeats::Dropped)
    }

    /// The same, but a recipient who is named several times stays so.
    pub fn parse_with_repeats(
        payload: &'a [u8],
        recipients_max: usize,
    ) -> Result<Self, EnvelopeError> {
        parse::parse(payload, recipients_max, Repeats::Kept)
    }

    /// `type`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Who claims to have sent it.
    pub fn sender(&self) -> &UserId {
        &self.sender
    }

    /// At least one; 0 may occur.
    pub fn recipients(&self) -> &[UserId] {
        &self.recipients
    }

    /// Whether it is for the administrator alone: nobody else is among the recipients.
    pub fn is_for_bot(&self) -> bool {
        self.recipients.iter().all(UserId::is_bot)
    }

    /// `data`, as JSON.
    pub(crate) fn data_json(&self) -> &str {
        self.data_json
    }

    /// Whether the client gave a usable `timestamp`.
    pub(crate) fn has_timestamp(&self) -> bool {
        self.timestamp_json.is_some()
    }

    /// Appends the delivered form. `now` stands in for a missing time stamp.
    pub(crate) fn write(&self, id: MessageId, recipients: &[UserId], now: &str, out: &mut String) {
        out.push_str(DATA);
        out.push_str(self.data_json);
        out.push_str(ID);
        id.write(out);
        out.push_str(RECIPIENTS);
        for (index, recipient) in recipients.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            recipient.write_json(out);
        }
        out.push_str("],\"sender\":");
        self.sender.write_json(out);
        out.push_str(",\"text\":");
        out.push_str(self.text_json);
        out.push_str(",\"timestamp\":");
        if let Some(timestamp) = self.timestamp_json {
            out.push_str(timestamp);
        } else {
            out.push('"');
            out.push_str(now);
            out.push('"');
        }
        out.push_str(",\"type\":");
        out.push_str(self.kind_json);
        out.push('}');
    }

    /// Where the list of recipients begins in what [`Envelope::write`] appends.
    pub(crate) fn recipients_at(&self) -> usize {
        DATA.len() + self.data_json.len() + ID.len() + MessageId::TEXT_LEN + RECIPIENTS.len()
    }

    /// An upper bound of what [`Envelope::write`] appends.
    pub(crate) fn json_len_max(&self, recipients: &[UserId]) -> usize {
        let ids: usize = recipients.iter().map(|id| id.json_len_max() + 1).sum();
        // Keys, punctuation, the message id and a server-made time stamp are under 160 bytes.
        160 + ids
            + self.sender.json_len_max()
            + self.data_json.len()
            + self.text_json.len()
            + self.kind_json.len()
            + self.timestamp_json.map_or(0, str::len)
    }
}

const DATA: &str = "{\"data\":";
const ID: &str = ",\"id\":\"";
const RECIPIENTS: &str = "\",\"recipients\":[";

/// A payload broke a rule; the variants stand in the order of the checks. The texts are those
/// of S-20: clients and their logs know them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// No bytes.
    #[error("Empty message")]
    Empty,
    /// No UTF-8, no JSON, no object, a repeated key, nested too deep or an unpaired surrogate.
    #[error("Invalid payload: {reason}")]
    Json {
        /// What the JSON reader says.
        reason: String,
    },
    /// `type` is missing or no string.
    #[error("Invalid payload: $.type must be a string")]
    Type,
    /// `type` is longer than [`EnvelopeError::TYPE_LEN_MAX`] bytes.
    #[error("Invalid payload: $.type must have at most 64 bytes")]
    TypeTooLong,
    /// `sender` is missing or no user id.
    #[error("Invalid payload: $.sender must be uint64_t")]
    Sender,
    /// `recipients` is missing, no array, or an element is no user id.
    #[error("Invalid payload: $.recipients[] must be uint64_t[]")]
    Recipients,
    /// `recipients` is empty.
    #[error("Invalid payload: $.recipients[] must contains at least 1 value")]
    NoRecipients,
    /// More recipients than the configured `recipients_max`.
    #[error("Invalid payload: $.recipients[] must contain at most {max} values")]
    TooManyRecipients {
        /// The limit.
        max: usize,
    },
    /// `type` is `text`, and `text` is missing or no string.
    #[error("Invalid payload: $.text must be string")]
    Text,
    /// The sender is not the user of the connection.
    #[error("Invalid payload: $.sender must be the id of this connection")]
    ForeignSender,
}

impl EnvelopeError {
    /// Bytes of a `type`: it becomes a key of filters and metrics. The longest in use by old
    /// clients have about 30.
    pub const TYPE_LEN_MAX: usize = 64;
}
