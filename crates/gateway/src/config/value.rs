//! Choices, and values that may be written in more than one form.
//!
//! Choices are read from strings only: a derived enum would also take numbers and tables
//! from the configuration library.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, value::MapAccessDeserializer},
};

use crate::settings::{
    Balance, Extensions, HashKey, OnUnhealthy, OutgoingProxyProtocol, Overflow, PingAnswers, Replay,
};

/// `balance`: `"round-robin"`, `"least-connections"` or `{hash = "ip"}`.
///
/// `None` is a table without `hash`: an error, but one of the checks, for the reader takes a wrong
/// `hash` away to find more mistakes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BalanceConfig(pub(super) Option<Balance>);

impl Default for BalanceConfig {
    fn default() -> Self {
        Self(Some(Balance::default()))
    }
}

impl<'de> Deserialize<'de> for BalanceConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
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

/// A member of `upstreams`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UpstreamConfig {
    pub(super) url: String,
    pub(super) weight: u32,
    pub(super) zone: String,
    pub(super) connections_max: u32,
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            weight: 1,
            zone: String::new(),
            connections_max: 0,
        }
    }
}

/// Each an address, or a table with one.
impl<'de> Deserialize<'de> for UpstreamConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UpstreamVisitor)
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
        let table = UpstreamTable::deserialize(MapAccessDeserializer::new(map))?;
        Ok(UpstreamConfig {
            url: table.url,
            weight: table.weight,
            zone: table.zone,
            connections_max: table.connections_max,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct UpstreamTable {
    url: String,
    weight: u32,
    zone: String,
    connections_max: u32,
}

impl Default for UpstreamTable {
    fn default() -> Self {
        let UpstreamConfig {
            url,
            weight,
            zone,
            connections_max,
        } = UpstreamConfig::default();
        Self {
            url,
            weight,
            zone,
            connections_max,
        }
    }
}

/// `origins`: `"same"`, `"any"` or a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum OriginsConfig {
    #[default]
    Same,
    Any,
    List(Vec<String>),
}

impl<'de> Deserialize<'de> for OriginsConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
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

/// A choice between words, each with what it stands for.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident($of:ty) { $($word:literal => $value:expr,)+ } or $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
        #[serde(try_from = "String")]
        pub(super) struct $name(pub(super) $of);

        impl TryFrom<String> for $name {
            type Error = &'static str;

            fn try_from(text: String) -> Result<Self, &'static str> {
                match text.as_str() {
                    $($word => Ok(Self($value)),)+
                    _ => Err($expected),
                }
            }
        }
    };
}

words! {
    /// `health.on_unhealthy`.
    OnUnhealthyConfig(OnUnhealthy) {
        "move" => OnUnhealthy::Move,
        "keep" => OnUnhealthy::Keep,
        "close" => OnUnhealthy::Close,
    } or "\"move\", \"keep\" or \"close\""
}

words! {
    /// `resume.overflow`.
    OverflowConfig(Overflow) {
        "close" => Overflow::Close,
        "wait" => Overflow::Wait,
    } or "\"close\" or \"wait\""
}

words! {
    /// `resume.replay`.
    ReplayConfig(Replay) {
        "unsent" => Replay::Unsent,
        "unconfirmed" => Replay::Unconfirmed,
    } or "\"unsent\" or \"unconfirmed\""
}

words! {
    /// `extensions`.
    ExtensionsConfig(Extensions) {
        "end-to-end" => Extensions::EndToEnd,
        "per-hop" => Extensions::PerHop,
    } or "\"end-to-end\" or \"per-hop\""
}

words! {
    /// `pings`.
    PingAnswersConfig(PingAnswers) {
        "auto" => PingAnswers::Auto,
        "end-to-end" => PingAnswers::EndToEnd,
        "gateway" => PingAnswers::Gateway,
    } or "\"auto\", \"end-to-end\" or \"gateway\""
}

words! {
    /// `proxy_protocol` of an endpoint.
    OutgoingConfig(Option<OutgoingProxyProtocol>) {
        "off" => None,
        "v1" => Some(OutgoingProxyProtocol::V1),
        "v2" => Some(OutgoingProxyProtocol::V2),
    } or "\"off\", \"v1\" or \"v2\""
}
