//! Events as JSON.
//!
//! In: text, already bounded. Out: an [`Event`] if it is one JSON object (RFC 8259) with the member
//! `event`; members may stand in any order, unknown ones are skipped whatever they hold. Nothing
//! recurses: what is skipped is skipped in a loop.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    Event,
    members::{Member, Members},
};

pub(super) fn parse(text: &str) -> Option<Event> {
    let Object(members) = serde_json::from_str(text).ok()?;
    members.into_event()
}

/// A JSON text for `value`.
pub(super) fn quoted(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

/// Returns the text that `quoted`, or any other writer of JSON, has written.
pub(super) fn unquoted(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

struct Object(Members);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor).map(Self)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the member `event`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Members::default();
        while let Some(key) = map.next_key::<String>()? {
            let member = members
                .begin(key)
                .ok_or_else(|| A::Error::custom("a member twice, or too many"))?;
            let raw: &RawValue = map.next_value()?;
            if member != Member::Unknown {
                members.set(member, scalar(raw.get())?);
            }
        }
        Ok(members)
    }
}

/// A text as itself, `null` as nothing, a number or truth value as it is written.
fn scalar<E: Error>(json: &str) -> Result<Option<String>, E> {
    match json.bytes().next() {
        Some(b'"') => unquoted(json)
            .map(Some)
            .ok_or_else(|| E::custom("text with half a surrogate pair")),
        Some(b'n') => Ok(None),
        Some(b'{' | b'[') => Err(E::custom("expected no object and no array")),
        _ => Ok(Some(json.to_owned())),
    }
}
