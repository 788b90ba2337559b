//! Layers → [`Config`] → [`Settings`].
//!
//! Reading stops at the first wrong value, so the value is noted, taken out of its layer, and
//! the rest is read again: one run tells everything that is wrong.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::Path,
};

use figment::{
    providers::{Format, Toml},
    value::{Dict, Value},
};
use tidewire_auth::{Lookup, LookupError, Secret};

use super::{
    Config, Settings, environment,
    error::{ConfigError, Problem, Rule, Source},
    example::DEFAULT_TOML,
    layer::{Layer, LayerKind, Layers},
    report::{auth_table_of, problem_of},
};

/// What command line flags set; `None` leaves a key to the other layers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--listen`: `server.listen`.
    pub listen: Option<String>,
    /// `--rest-listen`: `rest.listen`.
    pub rest_listen: Option<String>,
    /// `--data-dir`: `data_dir`.
    pub data_dir: Option<String>,
    /// `--echo`: `server.echo`.
    pub echo: Option<bool>,
}

/// Reads the configuration: defaults, then `file`, then the variables of `env` that start
/// with `TIDEWIRE_`, then `overrides`. References such as `${env:NAME}` are looked up in `env`
/// too, and files named by keys are opened to see that they are there.
///
/// # Errors
/// Every problem of the first step that has any: the layers and the types of their values
/// first, then the rules of values and between them.
pub fn load(
    file: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
    overrides: &Overrides,
) -> Result<Settings, ConfigError> {
    let variables: BTreeMap<String, String> = env.collect();
    let mut problems = Vec::new();
    let defaults = default_keys();
    let mut layers = vec![Layer {
        kind: LayerKind::Default,
        keys: defaults.clone(),
    }];
    if let Some(path) = file {
        match read_file(path) {
            Ok(layer) => layers.push(layer),
            Err(rule) => problems.push(Problem {
                sources: vec![Source::File(path.to_owned())],
                key: String::new(),
                rule,
            }),
        }
    }
    layers.push(environment::layer(&variables, &defaults, &mut problems));
    layers.push(overrides.layer());

    let layers = Layers(layers);
    let config = read(&layers, &mut problems);
    if let Some(error) = ConfigError::of(problems) {
        return Err(error);
    }
    let sources = |key: &str| layers.sources_of(&split(key));
    config.check_with(&Surroundings { variables }, &sources)
}

/// [`load`] with the variables of this process: the only place that reads them.
///
/// # Errors
/// As for [`load`]; also when one of our variables is not valid UTF-8.
pub fn load_from_process(
    file: Option<&Path>,
    overrides: &Overrides,
) -> Result<Settings, ConfigError> {
    let mut variables = Vec::new();
    for (name, value) in std::env::vars_os() {
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => variables.push((name, value)),
            (Ok(name), Err(_)) if environment::is_ours(&name) => {
                return Err(ConfigError::from(Problem {
                    sources: vec![Source::Variable(name)],
                    key: String::new(),
                    rule: Rule::NotUnicode,
                }));
            }
            // Other programs' business; a reference to it is reported as not set.
            (Ok(_) | Err(_), _) => {}
        }
    }
    load(file, variables.into_iter(), overrides)
}

impl Overrides {
    fn layer(&self) -> Layer {
        let mut names = BTreeMap::new();
        let mut server = Dict::new();
        let mut rest = Dict::new();
        let mut keys = Dict::new();
        if let Some(listen) = &self.listen {
            names.insert("server.listen", "--listen");
            server.insert("listen".to_owned(), Value::from(listen.as_str()));
        }
        if let Some(echo) = self.echo {
            names.insert("server.echo", "--echo");
            server.insert("echo".to_owned(), Value::from(echo));
        }
        if let Some(listen) = &self.rest_listen {
            names.insert("rest.listen", "--rest-listen");
            rest.insert("listen".to_owned(), Value::from(listen.as_str()));
        }
        if let Some(data_dir) = &self.data_dir {
            names.insert("data_dir", "--data-dir");
            keys.insert("data_dir".to_owned(), Value::from(data_dir.as_str()));
        }
        for (table, inner) in [("server", server), ("rest", rest)] {
            if !inner.is_empty() {
                keys.insert(table.to_owned(), Value::from(inner));
            }
        }
        Layer {
            kind: LayerKind::Flags(names),
            keys,
        }
    }
}

/// Files and variables that references point to.
pub(super) struct Surroundings {
    variables: BTreeMap<String, String>,
}

impl Lookup for Surroundings {
    fn env(&self, name: &str) -> Result<Secret, LookupError> {
        self.variables
            .get(name)
            .map(|value| Secret::from(value.as_str()))
            .ok_or(LookupError::NotSet)
    }

    fn file(&self, path: &str) -> Result<Secret, LookupError> {
        read_text(Path::new(path), SECRET_FILE_BYTES_MAX)
            .map(Secret::new)
            .map_err(|reason| LookupError::Unreadable { reason })
    }
}

/// Reads the joined layers, noting every wrong value. The result is the defaults when the
/// layers cannot be read at all, which `problems` then says.
fn read(layers: &Layers, problems: &mut Vec<Problem>) -> Config {
    let mut remaining = layers.clone();
    for _ in 0..PROBLEMS_MAX {
        let error = match remaining.figment().extract::<Config>() {
            Ok(config) => return config,
            Err(error) => error,
        };
        problems.push(problem_of(&error, &remaining));
        let path = match auth_table_of(&error.path) {
            Some(table) => table,
            None => error.path.as_slice(),
        };
        if !remaining.remove(path) {
            break;
        }
    }
    Config::default()
}

fn split(key: &str) -> Vec<String> {
    key.split(['.', '[', ']'])
        .filter(|segment| !segment.is_empty())
        .map(str::to_owned)
        .collect()
}

fn default_keys() -> Dict {
    Toml::from_str(DEFAULT_TOML).expect("the default configuration is TOML: a test reads it")
}

fn read_file(path: &Path) -> Result<Layer, Rule> {
    let text =
        read_text(path, CONFIG_FILE_BYTES_MAX).map_err(|reason| Rule::Unreadable { reason })?;
    let keys = Toml::from_str(&text).map_err(|error| {
        // The parser's own text repeats the line, which may hold a secret.
        let start = error.span().map_or(0, |span| span.start);
        let before = text.get(..start).unwrap_or(&text);
        let line_start = before.rfind('\n').map_or(0, |position| position + 1);
        Rule::Syntax {
            line: before.matches('\n').count() + 1,
            column: before.chars().count() - before.get(..line_start).unwrap_or("").chars().count()
                + 1,
            message: error.message().replace('\n', "; "),
        }
    })?;
    Ok(Layer {
        kind: LayerKind::File(path.to_owned()),
        keys,
    })
}

/// Reads a small text file; the bound keeps a wrong path (a device, a log) from being swallowed.
fn read_text(path: &Path, bytes_max: u64) -> Result<String, String> {
    let read = || -> io::Result<String> {
        let mut text = String::new();
        File::open(path)?
            .take(bytes_max + 1)
            .read_to_string(&mut text)?;
        Ok(text)
    };
    match read() {
        Ok(text) if text.len() as u64 > bytes_max => {
            Err(format!("is longer than {bytes_max} bytes"))
        }
        Ok(text) => Ok(text),
        Err(error) => Err(error.to_string()),
    }
}

/// How many wrong values one run reports.
const PROBLEMS_MAX: usize = 64;
const CONFIG_FILE_BYTES_MAX: u64 = 1 << 20;
const SECRET_FILE_BYTES_MAX: u64 = 64 << 10;
