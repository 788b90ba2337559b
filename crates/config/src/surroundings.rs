//! What lies around a program: its environment variables, and small files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use tidewire_auth::{Lookup, LookupError, Secret};

use crate::{ConfigError, Problem, Rule, Schema, Source, environment};

/// Environment variables and files, which references to secrets point to.
#[derive(Clone, Default)]
pub struct Surroundings {
    pub(crate) variables: BTreeMap<String, String>,
    /// Shared by clones.
    looked_up: Arc<Mutex<BTreeSet<PathBuf>>>,
}

/// Tells how many variables there are; they may be secrets.
impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings")
            .field("variables", &self.variables.len())
            .finish_non_exhaustive()
    }
}

impl Surroundings {
    /// With these variables.
    pub fn new(variables: impl Iterator<Item = (String, String)>) -> Self {
        Self {
            variables: variables.collect(),
            looked_up: Arc::default(),
        }
    }

    /// The files that references have led to, through this one and its clones.
    pub fn files(&self) -> Vec<PathBuf> {
        let files = self.looked_up.lock();
        files.iter().cloned().collect()
    }

    /// With the variables of this process: the only place that reads them.
    ///
    /// # Errors
    /// When a variable of this schema is not valid UTF-8.
    pub fn of_process(schema: &Schema) -> Result<Self, ConfigError> {
        let mut variables = BTreeMap::new();
        for (name, value) in std::env::vars_os() {
            match (name.into_string(), value.into_string()) {
                (Ok(name), Ok(value)) => {
                    variables.insert(name, value);
                }
                (Ok(name), Err(_)) if environment::is_ours(&name, schema) => {
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
        Ok(Self {
            variables,
            looked_up: Arc::default(),
        })
    }
}

impl Lookup for Surroundings {
    fn env(&self, name: &str) -> Result<Secret, LookupError> {
        self.variables
            .get(name)
            .map(|value| Secret::from(value.as_str()))
            .ok_or(LookupError::NotSet)
    }

    fn file(&self, path: &str) -> Result<Secret, LookupError> {
        self.looked_up.lock().insert(PathBuf::from(path));
        read_text(Path::new(path), SECRET_FILE_BYTES_MAX)
            .map(Secret::new)
            .map_err(|reason| LookupError::Unreadable { reason })
    }
}

/// Reads a small text file; the bound keeps a wrong path (a device, a log) from being swallowed.
///
/// # Errors
/// What the system said, or that there is more.
pub fn read_text(path: &Path, bytes_max: u64) -> Result<String, String> {
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

const SECRET_FILE_BYTES_MAX: u64 = 64 << 10;
