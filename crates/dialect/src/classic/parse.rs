//! From payload bytes to a checked [`Draft`].
//!
//! In: bytes of any client. Out: a draft that borrows from them, or the first broken rule
//! in the order of [`EnvelopeError`]'s variants. Invariant: one pass over the whole payload by the JSON reader, then
//! only the small members are looked into.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use tidewire_hub::{Draft, JsonText, Recipients, RecipientsError};

use super::{EnvelopeError, notice, scan};

pub(super) fn parse(payload: &[u8], recipients: Recipients) -> Result<Draft<'_>, EnvelopeError> {
    let members = Members::read(payload)?;
    let kind = literal(members.kind).ok_or(EnvelopeError::Type)?;
    let is_text = {
        let kind = kind.decode().ok_or(EnvelopeError::Type)?;
        if kind.len() > EnvelopeError::TYPE_LEN_MAX {
            return Err(EnvelopeError::TypeTooLong);
        }
        kind == "text"
    };
    let sender = members.sender.ok_or(EnvelopeError::Sender)?;
    let sender = serde_json::from_str(sender.get()).map_err(|_| EnvelopeError::Sender)?;
    let listed = members.recipients.ok_or(EnvelopeError::Recipients)?;
    let recipients = read_recipients(listed.get(), recipients)?;
    let text = match literal(members.text) {
        Some(text) => text,
        None if is_text => return Err(EnvelopeError::Text),
        None => JsonText::EMPTY,
    };
    let timestamp = literal(members.timestamp)
        .filter(|text| text.literal().len() <= TIMESTAMP_LEN_MAX + "\"\"".len());
    let data = members.data.map_or("null", RawValue::get);
    Ok(Draft {
        kind,
        sender,
        recipients,
        text,
        data: data.into(),
        timestamp,
        reference: notice::reference(data),
    })
}

/// The value of a member, if it is a string.
fn literal(value: Option<&RawValue>) -> Option<JsonText<'_>> {
    value.map(RawValue::get).and_then(JsonText::from_literal)
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

fn read_recipients(json: &str, recipients: Recipients) -> Result<Recipients, EnvelopeError> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let recipients = Collect(recipients).deserialize(&mut reader);
    let recipients = recipients.map_err(|_| EnvelopeError::Recipients)?;
    recipients.finish().map_err(|error| match error {
        RecipientsError::TooMany { max } => EnvelopeError::TooManyRecipients { max },
        RecipientsError::None | _ => EnvelopeError::NoRecipients,
    })
}

/// Reads an array of ids into a bounded list.
struct Collect(Recipients);

impl<'de> DeserializeSeed<'de> for Collect {
    type Value = Recipients;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Recipients, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Collect {
    type Value = Recipients;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of user ids")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<Recipients, A::Error> {
        while let Some(recipient) = elements.next_element()? {
            self.0.add(recipient);
        }
        Ok(self.0)
    }
}

/// Bytes of a client's time stamp as written; a longer one is replaced.
const TIMESTAMP_LEN_MAX: usize = 64;

const JSON_BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
