//! [`NearMiss`]: a variable that is no key of ours, but may have been meant for one.
//!
//! Many set variables that begin with our prefix and mean something else: an orchestrator tells every pod of the
//! services beside it (`TIDEWIRE_REST_PORT=tcp://10.0.0.1:8092`), images tell their version. None of that may keep a
//! program from starting, so an unknown variable without `__` is left alone; one that is almost a key is told.

use std::fmt;

use figment::value::{Dict, Value};

use crate::Schema;

/// A variable that is not read, and the one that may have been meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearMiss {
    /// The variable as it is called.
    pub variable: String,
    /// A variable that is read, or the form of such.
    pub meant: String,
}

impl fmt::Display for NearMiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { variable, meant } = self;
        write!(
            f,
            "environment variable {variable} is not read: did you mean {meant}?"
        )
    }
}

/// Finds what may have been meant by a key, in lower case, that is in no table.
pub(crate) fn meant(key: &str, schema: &Schema) -> Option<String> {
    let mut keys = Vec::new();
    collect(&schema.keys, &mut Vec::new(), &mut keys);
    let squeezed = squeeze(key);
    let distance = |candidate: &str| strsim::osa_distance(&squeezed, candidate);
    // The whole path, with an underscore too few or a letter wrong.
    let whole = keys
        .iter()
        .map(|path| (distance(&squeeze(&path.concat())), path))
        .filter(|(distance, _)| *distance <= letters_wrong_max(&squeezed))
        .min_by_key(|(distance, _)| *distance);
    // Its last part alone.
    let part = || {
        let is_last =
            |path: &&Vec<String>| path.last().is_some_and(|last| squeeze(last) == squeezed);
        let found = keys.iter().find(is_last);
        found.filter(|_| !COMMON.contains(&squeezed.as_str()))
    };
    let path = whole.map(|(_, path)| path).or_else(part)?;
    Some(format!(
        "{}{}",
        schema.prefix,
        path.join("__").to_uppercase()
    ))
}

/// Returns whether a variable is one that Kubernetes or Docker sets for a service or a container beside us. Gets the name
/// behind the prefix in lower case.
pub(crate) fn is_service_link(key: &str, text: &str) -> bool {
    let is_part = |part: &str| key == part || key.ends_with(&["_", part].concat());
    let begins_part = |part: &str| key.starts_with(part) || key.contains(&["_", part].concat());
    is_part("service_host")
        || is_part("service_port")
        || begins_part("service_port_")
        || (is_part("port") && text.contains("://"))
        || has_port_link(key)
        // Docker's --link: the environment of the other container, and how it is called.
        || begins_part("env_")
        || (is_part("name") && text.starts_with('/'))
}

/// `…PORT_8092_TCP`, perhaps with `_ADDR`, `_PORT` or `_PROTO` behind.
fn has_port_link(key: &str) -> bool {
    let parts: Vec<&str> = key.split('_').collect();
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.windows(3).any(|window| {
        let [port, number, protocol] = window else {
            return false;
        };
        *port == "port" && is_number(number) && matches!(*protocol, "tcp" | "udp" | "sctp")
    })
}

fn collect(table: &Dict, at: &mut Vec<String>, keys: &mut Vec<Vec<String>>) {
    for (name, value) in table {
        at.push(name.clone());
        match value {
            Value::Dict(_, within) => collect(within, at, keys),
            Value::String(..)
            | Value::Char(..)
            | Value::Bool(..)
            | Value::Num(..)
            | Value::Empty(..)
            | Value::Array(..) => keys.push(at.clone()),
        }
        at.pop();
    }
}

fn squeeze(key: &str) -> String {
    key.chars().filter(|letter| *letter != '_').collect()
}

/// Short names are near to too much.
fn letters_wrong_max(squeezed: &str) -> usize {
    match squeezed.len() {
        0..4 => 0,
        4..8 => 1,
        _ => 2,
    }
}

/// Last parts of keys that mean many other things.
const COMMON: &[&str] = &["enabled", "key", "path", "name", "type", "format", "user"];
