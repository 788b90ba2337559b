//! From payload bytes to a checked [`Draft`].
//!
//! In: bytes of any client. Out: a draft that borrows from them; the first broken rule
//! in the order of [`EnvelopeError`]'s variants, for which old servers ended the connection; or a bound of this server
//! that old ones did not have. Invariant: one pass over the whole payload by the JSON reader, then
//! only the small members are looked into.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use tidewire_hub::{Command, Draft, JsonText, Recipients, RecipientsError, Refusal};

use super::{
    EnvelopeError, notice,
    scan::{self, ScanError},
};

pub(super) fn parse(payload: &[u8], recipients: Recipients) -> Result<Command<'_>, EnvelopeError> {
    let Read { members, too_deep } = Members::read(payload)?;
    let kind = literal(members.kind).ok_or(EnvelopeError::Type)?;
    let (is_text, kind_len) = {
        let kind = kind.decode().ok_or(EnvelopeError::Type)?;
        (kind == "text", kind.len())
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
    let reference = notice::reference(data);
    // The rules of old servers were broken by none so far; these bounds they did not have, so nobody's connection
    // ends for them.
    let recipients = match recipients.and_then(|recipients| {
        check_bounds(kind_len, too_deep, data)?;
        Ok(recipients)
    }) {
        Ok(recipients) => recipients,
        Err(refusal) => return Ok(Command::Refuse { refusal, reference }),
    };
    Ok(Command::Publish(Draft {
        kind,
        sender,
        recipients,
        text,
        data: data.into(),
        timestamp,
        reference,
    }))
}

fn check_bounds(kind_len: usize, too_deep: bool, data: &str) -> Result<(), Refusal> {
    if kind_len > EnvelopeError::TYPE_LEN_MAX {
        let max = EnvelopeError::TYPE_LEN_MAX;
        return Err(Refusal::TypeTooLong { max });
    }
    if too_deep {
        let max = scan::DEPTH_MAX;
        return Err(Refusal::TooDeep { max });
    }
    if !scan::has_common_numbers(data.as_bytes()) {
        let max = scan::NUMBER_LEN_MAX;
        return Err(Refusal::NumberTooLarge { max });
    }
    Ok(())
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
    fn read(payload: &'a [u8]) -> Result<Read<'a>, EnvelopeError> {
        // Some editors and libraries begin every text so.
        let payload = payload.strip_prefix(BYTE_ORDER_MARK).unwrap_or(payload);
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
        let too_deep = match scan::check(payload) {
            Ok(()) => false,
            Err(ScanError::TooDeep) => true,
            Err(error @ ScanError::Surrogate) => return Err(json(error.to_string())),
        };
        Ok(Read { members, too_deep })
    }
}

/// A payload that is an object of these members.
struct Read<'a> {
    members: Members<'a>,
    /// It is nested deeper than what is passed on.
    too_deep: bool,
}

/// The outer error is a rule, the inner one a bound.
fn read_recipients(
    json: &str,
    recipients: Recipients,
) -> Result<Result<Recipients, Refusal>, EnvelopeError> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let recipients = Collect(recipients).deserialize(&mut reader);
    let recipients = recipients.map_err(|_| EnvelopeError::Recipients)?;
    match recipients.finish() {
        Ok(recipients) => Ok(Ok(recipients)),
        Err(RecipientsError::TooMany { max }) => Ok(Err(Refusal::TooManyRecipients { max })),
        Err(RecipientsError::None | _) => Err(EnvelopeError::NoRecipients),
    }
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

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

const JSON_BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
