//! Values that may be written in more than one form.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, value::MapAccessDeserializer},
};

use tidewire_table::{Plain, Shape, Value, table, toml_text};

use crate::settings::{Balance, HashKey};

/// `balance`: `"round-robin"`, `"least-connections"` or `{hash = "ip"}`.
///
/// `None` is a table without `hash`: an error, but one of the checks, for the reader takes a wrong
/// `hash` away to find more mistakes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalanceConfig(pub(super) Option<Balance>);

impl Default for BalanceConfig {
    fn default() -> Self {
        Self(Some(Balance::default()))
    }
}

impl Value<Plain> for BalanceConfig {
    fn shape() -> Shape {
        Shape::Mixed(
            r#"{
                "anyOf": [
                    {"enum": ["round-robin", "least-connections"]},
                    {
                        "type": "object",
                        "additionalProperties": false,
                        "required": ["hash"],
                        "properties": {"hash": {"type": "string", "pattern": "^(ip|(header|query|cookie):.+)$"}}
                    }
                ]
            }"#,
        )
    }

    fn show(&self) -> Option<String> {
        match self.0.as_ref()? {
            Balance::RoundRobin => Some(toml_text("round-robin")),
            Balance::LeastConnections => Some(toml_text("least-connections")),
            Balance::Hash(_) => None,
        }
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BalanceVisitor)
    }
}

struct BalanceVisitor;

impl<'de> de::Visitor<'de> for BalanceVisitor {
    type Value = BalanceConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"round-robin\", \"least-connections\" or { hash = \"ip\" }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<BalanceConfig, E> {
        match text {
            "round-robin" => Ok(BalanceConfig(Some(Balance::RoundRobin))),
            "least-connections" => Ok(BalanceConfig(Some(Balance::LeastConnections))),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<BalanceConfig, A::Error> {
        let table = HashTable::deserialize(MapAccessDeserializer::new(map))?;
        Ok(BalanceConfig(table.hash.map(|key| Balance::Hash(key.0))))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HashTable {
    hash: Option<HashText>,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct HashText(HashKey);

impl TryFrom<String> for HashText {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let key = match text.split_once(':') {
            None if text == "ip" => HashKey::Ip,
            Some(("header", name)) if is_token(name) => HashKey::Header(name.to_ascii_lowercase()),
            Some(("query", name)) if !name.is_empty() => HashKey::Query(name.to_owned()),
            Some(("cookie", name)) if is_token(name) => HashKey::Cookie(name.to_owned()),
            _ => {
                return Err(
                    "\"ip\", \"header:NAME\", \"query:NAME\" or \"cookie:NAME\" with a name as in HTTP",
                );
            }
        };
        Ok(Self(key))
    }
}

/// Whether this can be the name of a header, a cookie or a subprotocol (RFC 9110 section 5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

table! {
    /// A member of `upstreams`.
    pub struct UpstreamConfig {
        /// Its address.
        url: String;
        /// Its share of new connections against its siblings.
        weight: u32 = 1;
        /// Where it stands.
        zone: String;
        /// Connections at a time; 0 = no limit.
        connections_max: u32 = 0;
    }
}

/// A list of upstreams, each an address, or a table with one.
#[derive(Debug)]
pub enum Upstreams {}

impl Value<Upstreams> for Vec<UpstreamConfig> {
    fn shape() -> Shape {
        Shape::MixedList(
            r#"{
                "anyOf": [
                    {"type": "string"},
                    {
                        "type": "object",
                        "additionalProperties": false,
                        "required": ["url"],
                        "properties": {
                            "url": {"type": "string"},
                            "weight": {"type": "integer", "minimum": 1, "maximum": 1000},
                            "zone": {"type": "string"},
                            "connections_max": {"type": "integer", "minimum": 0}
                        }
                    }
                ]
            }"#,
        )
    }

    fn show(&self) -> Option<String> {
        let urls: Vec<String> = self
            .iter()
            .map(|upstream| toml_text(&upstream.url))
            .collect();
        Some(format!("[{}]", urls.join(", ")))
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let upstreams = Vec::<AddressOrTable>::deserialize(deserializer)?;
        Ok(upstreams.into_iter().map(|upstream| upstream.0).collect())
    }
}

struct AddressOrTable(UpstreamConfig);

impl<'de> Deserialize<'de> for AddressOrTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UpstreamVisitor).map(Self)
    }
}

struct UpstreamVisitor;

impl<'de> de::Visitor<'de> for UpstreamVisitor {
    type Value = UpstreamConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "an address such as \"ws://127.0.0.1:9001/\", or { url = \"ws://…\", weight = 1 }",
        )
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<UpstreamConfig, E> {
        Ok(UpstreamConfig {
            url: text.to_owned(),
            ..UpstreamConfig::default()
        })
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<UpstreamConfig, A::Error> {
        UpstreamConfig::deserialize(MapAccessDeserializer::new(map))
    }
}

/// `origins`: `"same"`, `"any"` or a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OriginsConfig {
    /// Pages of the host that was asked for.
    #[default]
    Same,
    /// Any page.
    Any,
    /// Pages of these origins.
    List(Vec<String>),
}

impl Value<Plain> for OriginsConfig {
    fn shape() -> Shape {
        Shape::Mixed(
            r#"{"anyOf": [{"enum": ["same", "any"]}, {"type": "array", "items": {"type": "string"}}]}"#,
        )
    }

    fn show(&self) -> Option<String> {
        match self {
            Self::Same => Some(toml_text("same")),
            Self::Any => Some(toml_text("any")),
            Self::List(origins) => origins.show(),
        }
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OriginsVisitor)
    }
}

struct OriginsVisitor;

impl<'de> de::Visitor<'de> for OriginsVisitor {
    type Value = OriginsConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"same\", \"any\" or a list such as [\"https://example.org\"]")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<OriginsConfig, E> {
        match text {
            "same" => Ok(OriginsConfig::Same),
            "any" => Ok(OriginsConfig::Any),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<OriginsConfig, A::Error> {
        let mut origins = Vec::new();
        while let Some(origin) = seq.next_element()? {
            origins.push(origin);
        }
        Ok(OriginsConfig::List(origins))
    }
}
