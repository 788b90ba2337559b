//! [`Layer`]: the keys of one source, and [`Layers`]: all of them, weakest first.
//!
//! Figment joins the layers and reports where in the joined tree a value is wrong. Which source
//! that value came from is looked up here, because a table may come from several.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use figment::{
    Figment, Metadata, Profile, Provider,
    value::{Dict, Map, Value},
};

use crate::Source;

/// The keys of one source.
#[derive(Clone)]
pub struct Layer {
    /// What it was read from.
    pub kind: LayerKind,
    /// Its keys, tables within tables.
    pub keys: Dict,
}

/// What a layer was read from.
#[derive(Clone, Debug)]
pub enum LayerKind {
    /// The program.
    Default,
    /// A file.
    File(PathBuf),
    /// Key path (joined by dots) → variable.
    Environment(BTreeMap<String, String>),
    /// Key path (joined by dots) → flag.
    Flags(BTreeMap<&'static str, &'static str>),
}

/// Tells its keys, not their values, which may be secrets.
impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layer")
            .field("kind", &self.kind)
            .field("keys", &self.keys.keys())
            .finish()
    }
}

impl Layer {
    /// The value at `path`, if this source sets it or, for a table, a part of it.
    fn find(&self, path: &[String]) -> Option<&Value> {
        find(&self.keys, path)
    }

    /// What to name as the source of `path`.
    fn sources_of(&self, path: &[String]) -> Vec<Source> {
        let key = path.join(".");
        let is_at_or_below = |candidate: &str| {
            candidate
                .strip_prefix(&key)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                || key
                    .strip_prefix(candidate)
                    .is_some_and(|rest| rest.starts_with('.'))
        };
        match &self.kind {
            LayerKind::Default => vec![Source::Default],
            LayerKind::File(file) => vec![Source::File(file.clone())],
            LayerKind::Environment(variables) => variables
                .iter()
                .filter(|(candidate, _)| is_at_or_below(candidate))
                .map(|(_, name)| Source::Variable(name.clone()))
                .collect(),
            LayerKind::Flags(flags) => flags
                .iter()
                .filter(|(candidate, _)| is_at_or_below(candidate))
                .map(|(_, name)| Source::Flag(name))
                .collect(),
        }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named("layer")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.keys.clone()))
    }
}

/// All sources, weakest first. The first one is the defaults.
#[derive(Clone, Debug)]
pub(crate) struct Layers(pub(crate) Vec<Layer>);

impl Layers {
    /// The layers joined: a stronger one replaces values and lists, and joins tables.
    pub(crate) fn figment(&self) -> Figment {
        self.0
            .iter()
            .fold(Figment::new(), |below, layer| below.merge(layer.clone()))
    }

    /// The sources of the value at `path`. A table that several sources contribute to names
    /// them all; the defaults are only named when nobody else sets it.
    pub(crate) fn sources_of(&self, path: &[String]) -> Vec<Source> {
        let setters: Vec<&Layer> = self
            .0
            .iter()
            .filter(|layer| layer.find(path).is_some())
            .collect();
        let Some(strongest) = setters.last() else {
            return match path.split_last() {
                Some((_, table)) => self.sources_of(table),
                None => vec![Source::Default],
            };
        };
        match strongest.find(path) {
            Some(Value::Dict(..)) => {
                let set: Vec<Source> = setters
                    .iter()
                    .filter(|layer| !matches!(layer.kind, LayerKind::Default))
                    .flat_map(|layer| layer.sources_of(path))
                    .collect();
                if set.is_empty() {
                    vec![Source::Default]
                } else {
                    set
                }
            }
            _ => strongest.sources_of(path),
        }
    }

    /// The strongest value at `path`.
    pub(crate) fn find(&self, path: &[String]) -> Option<&Value> {
        self.0.iter().rev().find_map(|layer| layer.find(path))
    }

    /// Takes the value at `path` out of every layer above the defaults, so that the rest can
    /// be checked without it. `false` when there is nothing to take out.
    pub(crate) fn remove(&mut self, path: &[String]) -> bool {
        let mut removed = false;
        for layer in self.0.iter_mut().skip(1) {
            removed |= remove(&mut layer.keys, path);
        }
        removed
    }
}

pub(crate) fn find<'a>(keys: &'a Dict, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter()
        .try_fold(keys.get(first)?, |value, key| match value {
            Value::Dict(_, table) => table.get(key),
            Value::Array(_, items) => items.get(key.parse::<usize>().ok()?),
            Value::String(..)
            | Value::Char(..)
            | Value::Bool(..)
            | Value::Num(..)
            | Value::Empty(..) => None,
        })
}

fn remove(keys: &mut Dict, path: &[String]) -> bool {
    let Some((first, rest)) = path.split_first() else {
        return false;
    };
    if rest.is_empty() {
        return keys.remove(first).is_some();
    }
    match keys.get_mut(first) {
        Some(Value::Dict(_, table)) => remove(table, rest),
        Some(Value::Array(_, items)) => match rest.split_first() {
            Some((index, within)) if !within.is_empty() => {
                let item = index.parse::<usize>().ok().and_then(|at| items.get_mut(at));
                let removed = match item {
                    Some(Value::Dict(_, table)) => remove(table, within),
                    _ => false,
                };
                removed || keys.remove(first).is_some()
            }
            // A single item cannot be taken out of a list without moving the others.
            _ => keys.remove(first).is_some(),
        },
        _ => false,
    }
}

/// Sets the value at `path`, making the tables on the way.
pub(crate) fn insert(keys: &mut Dict, path: &[String], value: Value) {
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
