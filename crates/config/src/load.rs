//! [`Loader`]: layers → the program's raw type → its settings.
//!
//! Reading stops at the first wrong value, so the value is noted, taken out of its layer, and
//! the rest is read again; what is left is checked by the program's rules: one run tells everything that is wrong.

use std::{collections::BTreeMap, path::Path};

use figment::{
    providers::{Format, Toml},
    value::{Dict, Value},
};
use serde::de::DeserializeOwned;

use crate::{
    Checker, ConfigError, Layer, LayerKind, NearMiss, Problem, Rule, Schema, Source, Surroundings,
    environment, layer::Layers, layer::insert, read_text, report::problem_of,
};

/// What a command line flag sets: the key, the flag as written, the value.
pub type Flag = (&'static str, &'static str, Value);

/// Collects layers, weakest first.
#[derive(Debug)]
pub struct Loader<'a> {
    schema: &'a Schema,
    surroundings: Surroundings,
    layers: Vec<Layer>,
    problems: Vec<Problem>,
    near_misses: Vec<NearMiss>,
    /// A part of a file is missing.
    is_partial: bool,
}

impl<'a> Loader<'a> {
    /// With the defaults of `schema` only. Variables and references to secrets are looked up in
    /// `surroundings`.
    pub fn new(schema: &'a Schema, surroundings: Surroundings) -> Self {
        Self {
            schema,
            surroundings,
            layers: vec![Layer {
                kind: LayerKind::Default,
                keys: schema.defaults.clone(),
            }],
            problems: Vec::new(),
            near_misses: Vec::new(),
            is_partial: false,
        }
    }

    /// Adds a TOML file.
    pub fn toml_file(&mut self, path: &Path) {
        if let Some(text) = self.text_of(path) {
            self.toml(path, &text);
        }
    }

    /// The text of a configuration file; when it cannot be read, that is noted.
    pub fn text_of(&mut self, path: &Path) -> Option<String> {
        match read_text(path, CONFIG_FILE_BYTES_MAX) {
            Ok(text) => Some(text),
            Err(reason) => {
                self.complain(path, "", Rule::Unreadable { reason });
                None
            }
        }
    }

    /// Adds what stands in the TOML file `path`.
    pub fn toml(&mut self, path: &Path, text: &str) {
        match toml_keys(text) {
            Ok(keys) => self.file(path, keys),
            Err(rule) => self.complain(path, "", rule),
        }
    }

    /// Adds keys that were read from a file.
    pub fn file(&mut self, path: &Path, keys: Dict) {
        let kind = LayerKind::File(path.to_owned());
        self.layers.push(Layer { kind, keys });
    }

    /// Notes a problem of a file, of which a part is missing then.
    pub fn complain(&mut self, path: &Path, key: &str, rule: Rule) {
        self.is_partial = true;
        self.problems.push(Problem {
            sources: vec![Source::File(path.to_owned())],
            key: key.to_owned(),
            rule,
        });
    }

    /// Adds the environment variables with the schema's prefix.
    pub fn environment(&mut self) {
        let layer = environment::layer(
            &self.surroundings.variables,
            self.schema,
            &self.layers,
            &mut self.problems,
            &mut self.near_misses,
        );
        self.layers.push(layer);
    }

    /// Variables of the [environment](Self::environment) that are almost keys; taken out.
    pub fn near_misses(&mut self) -> Vec<NearMiss> {
        std::mem::take(&mut self.near_misses)
    }

    /// Adds command line flags.
    pub fn flags(&mut self, flags: impl IntoIterator<Item = Flag>) {
        let mut names = BTreeMap::new();
        let mut keys = Dict::new();
        for (key, name, value) in flags {
            names.insert(key, name);
            insert(&mut keys, &split(key), value);
        }
        let kind = LayerKind::Flags(names);
        self.layers.push(Layer { kind, keys });
    }

    /// Reads the layers joined and runs `check` on what they say: on all that is understood, when some of it
    /// is not. Nothing is checked when a file could not be read as a whole, for then much would seem to be missing.
    ///
    /// # Errors
    /// Everything noted so far, every key or value that is not understood, and what `check` noted, except what
    /// only follows from the others.
    ///
    /// # Panics
    /// When `check` yields nothing and nothing was noted.
    pub fn settings<T: DeserializeOwned, S>(
        mut self,
        check: impl FnOnce(&T, &mut Checker<'_>) -> Option<S>,
    ) -> Result<S, ConfigError> {
        let layers = Layers(self.layers);
        let (config, broken) = read::<T>(&layers, self.schema, &mut self.problems);
        let sources = |key: &str| layers.sources_of(&split(key));
        let mut checker = Checker::new(&self.surroundings, &sources).after(self.problems, broken);
        let settings = config
            .filter(|_| !self.is_partial)
            .and_then(|config| check(&config, &mut checker));
        checker.finish(settings)
    }
}

/// Reads the joined layers, noting every wrong value. Gives what is left, unless the layers cannot be read at
/// all, and the paths of what was left out.
fn read<T: DeserializeOwned>(
    layers: &Layers,
    schema: &Schema,
    problems: &mut Vec<Problem>,
) -> (Option<T>, Vec<Vec<String>>) {
    let mut remaining = layers.clone();
    let mut broken = Vec::new();
    for _ in 0..PROBLEMS_MAX {
        let error = match remaining.figment().extract::<T>() {
            Ok(config) => return (Some(config), broken),
            Err(error) => error,
        };
        problems.push(problem_of(&error, &remaining, schema));
        let path = match schema.auth_table_of(&error.path) {
            Some(table) => table,
            None => error.path.as_slice(),
        };
        if !remaining.remove(path) {
            break;
        }
        broken.push(path.to_vec());
    }
    (None, broken)
}

/// Whether a text is TOML at all.
pub fn is_toml(text: &str) -> bool {
    toml_keys(text).is_ok()
}

/// The keys at the top of a TOML text; nothing when it is no TOML.
pub fn toml_tables(text: &str) -> Vec<String> {
    toml_keys(text).map_or_else(|_| Vec::new(), |keys| keys.into_keys().collect())
}

pub(crate) fn split(key: &str) -> Vec<String> {
    key.split(['.', '[', ']'])
        .filter(|segment| !segment.is_empty())
        .map(str::to_owned)
        .collect()
}

fn toml_keys(text: &str) -> Result<Dict, Rule> {
    Toml::from_str(text).map_err(|error| {
        // The parser's own text repeats the line, which may hold a secret.
        let start = error.span().map_or(0, |span| span.start);
        let before = text.get(..start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |position| position + 1);
        Rule::Syntax {
            line: before.matches('\n').count() + 1,
            column: before.chars().count() - before.get(..line_start).unwrap_or("").chars().count()
                + 1,
            message: error.message().replace('\n', "; "),
        }
    })
}

/// How many wrong values one run reports.
const PROBLEMS_MAX: usize = 64;
const CONFIG_FILE_BYTES_MAX: u64 = 1 << 20;
