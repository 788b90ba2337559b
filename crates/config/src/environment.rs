//! Environment variables → [`Layer`].
//!
//! `TIDEWIRE_SERVER__LISTEN` sets `server.listen`. A variable is text; what it becomes is
//! decided by the kind of the key's value, so that a password of digits stays a text.
//!
//! An unknown variable with `__` is an error, as in a file: nobody else writes so, and what was meant to close a door
//! would leave it open. Of the others [near misses](crate::NearMiss) are told, and the rest is left alone.

use std::collections::BTreeMap;

use figment::{
    providers::{Format, Toml},
    value::{Dict, Value},
};

use crate::{
    Layer, LayerKind, NearMiss, Problem, Rule, Schema, Source,
    layer::{find, insert},
    near_miss,
};

/// Reads the variables with our prefix, and notes those that are almost keys. Names in the layers `below` are found in any case, for
/// variables are written in capitals.
pub(crate) fn layer(
    variables: &BTreeMap<String, String>,
    schema: &Schema,
    below: &[Layer],
    problems: &mut Vec<Problem>,
    near_misses: &mut Vec<NearMiss>,
) -> Layer {
    let mut keys = Dict::new();
    let mut names = BTreeMap::new();
    for (name, text) in variables {
        let Some(path) = key_path(name, schema) else {
            continue;
        };
        let path = as_written(path, schema, below);
        let key = path.join(".");
        let mut complain = |rule| {
            problems.push(Problem {
                sources: vec![Source::Variable(name.clone())],
                key: key.clone(),
                rule,
            });
        };
        let is_marked = path.len() > 1;
        match shape_of(schema, &path) {
            Shape::Unknown(_) | Shape::Table
                if near_miss::is_service_link(&name_behind_prefix(name, schema), text) => {}
            Shape::Unknown(expected) => match schema.renamed.rule(&path) {
                Some(renamed) => complain(renamed),
                None if is_marked => complain(Rule::UnknownKey { expected }),
                None => near_misses.extend(near_miss_of(name, &key, schema)),
            },
            Shape::Table if !is_marked => near_misses.push(NearMiss {
                variable: name.clone(),
                meant: format!("{}__KEY, for a key of that table", name.to_uppercase()),
            }),
            Shape::Table => complain(Rule::IsTable),
            Shape::Text | Shape::Number | Shape::Boolean | Shape::List
                if names.contains_key(&key) =>
            {
                complain(Rule::SetTwice);
            }
            shape @ (Shape::Text | Shape::Number | Shape::Boolean | Shape::List) => {
                insert(&mut keys, &path, shape.read(text));
                names.insert(key, name.clone());
            }
        }
    }
    Layer {
        kind: LayerKind::Environment(names),
        keys,
    }
}

/// Returns whether a variable sets a key of ours, or looks as if it was meant to.
pub(crate) fn is_ours(name: &str, schema: &Schema) -> bool {
    key_path(name, schema).is_some_and(|path| {
        path.len() > 1 || !matches!(shape_of(schema, &path), Shape::Unknown(_) | Shape::Table)
    })
}

fn near_miss_of(variable: &str, key: &str, schema: &Schema) -> Option<NearMiss> {
    Some(NearMiss {
        variable: variable.to_owned(),
        meant: near_miss::meant(key, schema)?,
    })
}

/// The key a variable names: the part behind the prefix in lower case, split at `__`.
///
/// Without a meaning for us is `config`, which the command line reads.
fn key_path(name: &str, schema: &Schema) -> Option<Vec<String>> {
    let prefix = name.get(..schema.prefix.len())?;
    if !prefix.eq_ignore_ascii_case(schema.prefix) {
        return None;
    }
    let key = name_behind_prefix(name, schema);
    let is_foreign = key == "config" || (schema.is_foreign)(&key);
    (!is_foreign).then(|| key.split("__").map(str::to_owned).collect())
}

fn name_behind_prefix(name: &str, schema: &Schema) -> String {
    let key = name.get(schema.prefix.len()..).unwrap_or_default();
    key.to_ascii_lowercase()
}

/// The path with the name in it, if there is one, as the layers below write it.
fn as_written(mut path: Vec<String>, schema: &Schema, below: &[Layer]) -> Vec<String> {
    let [table, name, ..] = path.as_mut_slice() else {
        return path;
    };
    if schema.member_of(table).is_some() {
        let written = below.iter().rev().find_map(|layer| {
            match find(&layer.keys, std::slice::from_ref(table)) {
                Some(Value::Dict(_, members)) => {
                    members.keys().find(|key| key.eq_ignore_ascii_case(name))
                }
                _ => None,
            }
        });
        if let Some(written) = written {
            name.clone_from(written);
        }
    }
    path
}

/// What kind of value a key holds.
enum Shape {
    Text,
    Number,
    Boolean,
    List,
    Table,
    /// No such key; the keys of the innermost table that exists.
    Unknown(Vec<String>),
}

impl Shape {
    /// Text that does not fit stays text, so that reading the layers reports it like any other
    /// wrong value.
    fn read(&self, text: &str) -> Value {
        let number = || text.parse::<i64>().ok().map(Value::from);
        let boolean = || text.parse::<bool>().ok().map(Value::from);
        match self {
            Self::Number => number(),
            Self::Boolean => boolean(),
            Self::List => list(text),
            Self::Text | Self::Table | Self::Unknown(_) => None,
        }
        .unwrap_or_else(|| Value::from(text))
    }
}

fn shape_of(schema: &Schema, path: &[String]) -> Shape {
    let (mut table, path) = match path {
        [first, rest @ ..] if schema.member_of(first).is_some() => {
            match (schema.member_of(first), rest) {
                (Some(member), [_name, within @ ..]) => (member, within),
                _ => return Shape::Table,
            }
        }
        _ => (&schema.keys, path),
    };
    for (index, key) in path.iter().enumerate() {
        let is_last = index + 1 == path.len();
        let is_auth = index > 0 && path.get(index - 1).is_some_and(|table| table == "auth");
        match table.get(key) {
            Some(Value::Dict(_, _)) if is_last => return Shape::Table,
            Some(Value::Dict(_, inner)) => table = inner,
            Some(Value::Num(..)) if is_last => return Shape::Number,
            Some(Value::Bool(..)) if is_last => return Shape::Boolean,
            Some(Value::Array(..)) if is_last => return Shape::List,
            Some(_) if is_last => return Shape::Text,
            // The defaults only have the keys of `noauth`.
            None if is_auth && is_last && AUTH_LISTS.contains(&key.as_str()) => return Shape::List,
            None if is_auth && is_last && AUTH_SWITCHES.contains(&key.as_str()) => {
                return Shape::Boolean;
            }
            None if is_auth && is_last && AUTH_NUMBERS.contains(&key.as_str()) => {
                return Shape::Number;
            }
            None if is_auth && is_last && AUTH_TEXTS.contains(&key.as_str()) => return Shape::Text,
            None if is_auth => {
                let keys = [
                    &["type"],
                    AUTH_LISTS,
                    AUTH_TEXTS,
                    AUTH_SWITCHES,
                    AUTH_NUMBERS,
                ];
                let keys = keys.into_iter().flatten();
                return Shape::Unknown(keys.map(|key| (*key).to_owned()).collect());
            }
            None => return Shape::Unknown(table.keys().cloned().collect()),
            Some(_) => return Shape::Unknown(Vec::new()),
        }
    }
    Shape::Table
}

/// A list is written as in TOML, or as texts with commas between them.
fn list(text: &str) -> Option<Value> {
    let trimmed = text.trim();
    if trimmed.starts_with('[') {
        let mut document: Dict = Toml::from_str(&format!("list = {trimmed}")).ok()?;
        return (document.len() == 1).then(|| document.remove("list"))?;
    }
    if trimmed.is_empty() {
        return Some(Value::from(Vec::<String>::new()));
    }
    Some(Value::from(
        trimmed.split(',').map(str::trim).collect::<Vec<&str>>(),
    ))
}

const AUTH_TEXTS: &[&str] = &[
    "user",
    "password",
    "name",
    "value",
    "query",
    "secret",
    "public_key",
    "jwks",
    "ca",
    "issuer",
    "leeway",
    "user_claim",
    "device_claim",
    "grants_claim",
    "cookie",
    "url",
    "method",
    "data",
    "timeout",
    "cache_ttl",
    "denied_ttl",
    "prefix",
    "suffix",
];
const AUTH_LISTS: &[&str] = &["types", "algorithms", "audience"];
const AUTH_SWITCHES: &[&str] = &["first_message", "binds_user", "danger_allow_http"];
const AUTH_NUMBERS: &[&str] = &["cache_entries_max", "requests_max"];
