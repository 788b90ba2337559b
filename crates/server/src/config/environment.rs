//! Environment variables → [`Layer`].
//!
//! `TIDEWIRE_SERVER__LISTEN` sets `server.listen`. A variable is text; what it becomes is
//! decided by the type of the key's default, so that a password of digits stays a text.

use std::collections::BTreeMap;

use figment::{
    providers::{Format, Toml},
    value::{Dict, Value},
};

use super::{
    error::{Problem, Rule, Source},
    layer::{Layer, LayerKind},
};

/// Reads the variables with our prefix; `defaults` tells which keys there are.
pub(super) fn layer(
    variables: &BTreeMap<String, String>,
    defaults: &Dict,
    problems: &mut Vec<Problem>,
) -> Layer {
    let mut keys = Dict::new();
    let mut names = BTreeMap::new();
    for (name, text) in variables {
        let Some(path) = key_path(name) else {
            continue;
        };
        let key = path.join(".");
        let mut complain = |rule| {
            problems.push(Problem {
                sources: vec![Source::Variable(name.clone())],
                key: key.clone(),
                rule,
            });
        };
        match shape_of(defaults, &path) {
            Shape::Unknown(expected) => complain(Rule::UnknownKey { expected }),
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

/// Whether a variable is one of ours.
pub(super) fn is_ours(name: &str) -> bool {
    key_path(name).is_some()
}

/// The key a variable names: the part behind the prefix in lower case, split at `__`.
///
/// Without a meaning for us are `TIDEWIRE_CONFIG`, which the command line reads, and the
/// variables Kubernetes sets for a service called `tidewire`.
fn key_path(name: &str) -> Option<Vec<String>> {
    let (prefix, key) = name.split_at_checked(PREFIX.len())?;
    if !prefix.eq_ignore_ascii_case(PREFIX) {
        return None;
    }
    let key = key.to_ascii_lowercase();
    let is_foreign = matches!(key.as_str(), "config" | "port" | "service_host")
        || key.starts_with("service_port")
        || key
            .strip_prefix("port_")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    (!is_foreign).then(|| key.split("__").map(str::to_owned).collect())
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

fn shape_of(defaults: &Dict, path: &[String]) -> Shape {
    let mut table = defaults;
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
            None if is_auth && is_last && key == "types" => return Shape::List,
            None if is_auth && is_last && AUTH_TEXTS.contains(&key.as_str()) => return Shape::Text,
            None if is_auth => {
                let keys = ["type", "types"].iter().chain(AUTH_TEXTS);
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

fn insert(keys: &mut Dict, path: &[String], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    if rest.is_empty() {
        keys.insert(first.clone(), value);
        return;
    }
    let table = keys
        .entry(first.clone())
        .or_insert_with(|| Value::from(Dict::new()));
    if let Value::Dict(_, inner) = table {
        insert(inner, rest, value);
    }
}

const PREFIX: &str = "TIDEWIRE_";
const AUTH_TEXTS: &[&str] = &["user", "password", "name", "value"];
