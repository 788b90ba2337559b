//! From payload bytes to a checked [`Envelope`].
//!
//! In: bytes of any client. Out: an envelope that borrows from them, or the first broken rule
//! in the order of S-20. Invariant: one pass over the whole payload by the JSON reader, then
//! only the small members are looked into.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Envelope, EnvelopeError, scan};
use crate::UserId;

/// What happens to recipients who are named several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeats {
    Dropped,
    Kept,
}

pub(super) fn parse(
    payload: &[u8],
    recipients_max: usize,
    repeats: Repeats,
) -> Result<Envelope<'_>, EnvelopeError> {
    let members = Members::read(payload)?;
    let kind_json = members
        .kind
        .map(RawValue::get)
        .filter(|json| is_string(json));
    let kind_json = kind_json.ok_or(EnvelopeError::Type)?;
    let kind = unquote(kind_json).ok_or(EnvelopeError::Type)?;
    if kind.len() > EnvelopeError::TYPE_LEN_MAX {
        return Err(EnvelopeError::TypeTooLong);
    }
    let sender = members.sender.ok_or(EnvelopeError::Sender)?;
    let sender = serde_json::from_str(sender.get()).map_err(|_| EnvelopeError::Sender)?;
    let recipients = members.recipients.ok_or(EnvelopeError::Recipients)?;
    let recipients = read_recipients(recipients.get(), recipients_max, repeats)?;
    let text_json = match members.text.map(RawValue::get) {
        Some(json) if is_string(json) => json,
        Some(_) | None if kind == "text" => return Err(EnvelopeError::Text),
        Some(_) | None => "\"\"",
    };
    let timestamp_json = members
        .timestamp
        .map(RawValue::get)
        .filter(|json| is_string(json) && json.len() <= TIMESTAMP_LEN_MAX + "\"\"".len());
    Ok(Envelope {
        kind,
        sender,
        recipients,
        kind_json,
        text_json,
        data_json: members.data.map_or("null", RawValue::get),
        timestamp_json,
    })
}

/// The members the original reads; others are dropped, a repeated one is an error.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    sender: Option<&'a RawValue>,
    #[serde(borrow, default)]
    recipients: Option<&'a RawValue>,
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    timestamp: Option<&'a RawValue>,
}

impl<'a> Members<'a> {
    fn read(payload: &'a [u8]) -> Result<Self, EnvelopeError> {
        if payload.is_empty() {
            return Err(EnvelopeError::Empty);
        }
        let json = |reason: String| EnvelopeError::Json { reason };
        let text = str::from_utf8(payload).map_err(|error| json(error.to_string()))?;
        // Raw values are skipped without regard to depth, and escapes in them are not decoded.
        let members = if text.trim_start_matches(JSON_BLANKS).starts_with('{') {
            serde_json::from_str(text).map_err(|error| json(error.to_string()))?
        } else {
            // The derived reader would take an array for the members in order.
            serde_json::from_str::<IgnoredAny>(text).map_err(|error| json(error.to_string()))?;
            return Err(json("expected an object".to_owned()));
        };
        scan::check(payload).map_err(|error| json(error.to_string()))?;
        Ok(members)
    }
}

fn read_recipients(json: &str, max: usize, repeats: Repeats) -> Result<Vec<UserId>, EnvelopeError> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let recipients = Recipients { max, repeats }.deserialize(&mut reader);
    let recipients = recipients.map_err(|_| EnvelopeError::Recipients)?;
    if recipients.is_empty() {
        return Err(EnvelopeError::NoRecipients);
    }
    if recipients.len() > max {
        return Err(EnvelopeError::TooManyRecipients { max });
    }
    Ok(recipients)
}

/// Reads an array of ids but keeps at most one more than `max`.
struct Recipients {
    max: usize,
    repeats: Repeats,
}

impl<'de> DeserializeSeed<'de> for Recipients {
    type Value = Vec<UserId>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<UserId>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Recipients {
    type Value = Vec<UserId>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of user ids")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<UserId>, A::Error> {
        let mut recipients = Vec::with_capacity(1);
        let mut named = HashSet::new();
        while let Some(recipient) = elements.next_element()? {
            let is_kept = recipients.len() <= self.max
                && (self.repeats == Repeats::Kept || is_first(&recipient, &recipients, &mut named));
            if is_kept {
                recipients.push(recipient);
            }
        }
        Ok(recipients)
    }
}

/// Whether `recipient` is not among those before it. `named` holds them once they are many.
fn is_first(recipient: &UserId, before: &[UserId], named: &mut HashSet<UserId>) -> bool {
    if before.len() < SEARCHED_MAX {
        return !before.contains(recipient);
    }
    if named.is_empty() {
        named.extend(before.iter().cloned());
    }
    named.insert(recipient.clone())
}

/// Lists shorter than this are searched instead of hashed.
const SEARCHED_MAX: usize = 8;

fn is_string(json: &str) -> bool {
    json.starts_with('"')
}

/// The value of a JSON string; borrowed unless it has escapes.
fn unquote(json: &str) -> Option<Cow<'_, str>> {
    if json.contains('\\') {
        return serde_json::from_str(json).ok().map(Cow::Owned);
    }
    json.strip_prefix('"')?.strip_suffix('"').map(Cow::Borrowed)
}

/// Bytes of a client's time stamp as written; a longer one is replaced.
const TIMESTAMP_LEN_MAX: usize = 64;

const JSON_BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
