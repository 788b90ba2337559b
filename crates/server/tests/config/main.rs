//! Behaviour of the configuration: what it yields and what it refuses.
#![forbid(unsafe_code)]

mod defaults; // the example is the default
mod foreign_variables; // what orchestrators and images set
mod generated; // files that are made from the keys
mod mutants; // one mistake each, none accepted
mod precedence; // which layer wins
mod reload; // what a running server takes
mod rules; // what is checked beyond types
mod tls; // certificates and keys as they are found
mod wsserver; // config.json of wsserver

use std::{fs, path::PathBuf};

use tempfile::TempDir;
use tidewire_server::config::{ConfigError, Overrides, Settings, load};

/// A configuration file with this text, gone when dropped.
struct Fixture {
    _directory: TempDir,
    file: PathBuf,
}

impl Fixture {
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("tidewire.toml");
        fs::write(&file, text).expect("writable");
        Self {
            _directory: directory,
            file,
        }
    }

    fn load(
        &self,
        variables: &[(&str, &str)],
        overrides: &Overrides,
    ) -> Result<Settings, ConfigError> {
        load(Some(&self.file), pairs(variables), overrides)
    }
}

fn pairs(variables: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
}

fn load_text(text: &str) -> Result<Settings, ConfigError> {
    Fixture::new(text).load(&[], &Overrides::default())
}

fn load_variables(variables: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    load(None, pairs(variables), &Overrides::default())
}

/// Loads a text that is expected to be right.
fn settings(text: &str) -> Settings {
    load_text(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}
