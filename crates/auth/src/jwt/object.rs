//! A JSON object whose members are read one by one, for tokens: nothing in it may be there twice.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned},
};
use serde_json::value::RawValue;

/// The members of an object by name, unread.
pub(crate) struct Object(BTreeMap<String, Box<RawValue>>);

impl Object {
    pub(crate) fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The member of this name.
    ///
    /// # Errors
    /// It is there, but not a `T`; `null` is none.
    pub(crate) fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Malformed> {
        let Some(raw) = self.0.get(name) else {
            return Ok(None);
        };
        let value: Option<T> = serde_json::from_str(raw.get()).map_err(|_| Malformed)?;
        value.map(Some).ok_or(Malformed)
    }
}

/// A member has another type.
#[derive(Debug)]
pub(crate) struct Malformed;

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> de::Visitor<'de> for Members {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
            if members.insert(name, value).is_some() {
                return Err(de::Error::custom("a member is there twice"));
            }
        }
        Ok(Object(members))
    }
}
