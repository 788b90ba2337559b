//! Behaviour of the gateway's configuration: what it yields and what it refuses.
#![forbid(unsafe_code)]

mod defaults; // the example is the default
mod foreign_variables; // what orchestrators and images set
mod generated; // files that are made from the keys
mod mutants; // one mistake each, none accepted
mod precedence; // which layer wins
mod rules; // what is checked beyond types
mod socketmaster; // config.ini as in SocketMaster's README

use std::{fs, path::PathBuf, sync::LazyLock};

use tempfile::TempDir;
use tidewire_gateway::{
    config::{ConfigError, Overrides, default_toml, load},
    settings::{Endpoint, Settings},
};

/// A configuration file with this text, gone when dropped.
struct Fixture {
    _directory: TempDir,
    file: PathBuf,
}

impl Fixture {
    fn new(name: &str, text: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join(name);
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

fn load_toml(text: &str) -> Result<Settings, ConfigError> {
    Fixture::new("gateway.toml", text).load(&[], &Overrides::default())
}

fn load_ini(text: &str) -> Result<Settings, ConfigError> {
    Fixture::new("config.ini", text).load(&[], &Overrides::default())
}

/// Loads a text that is expected to be right.
fn settings(text: &str) -> Settings {
    load_toml(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The settings of the only endpoint.
fn endpoint(settings: &Settings) -> &Endpoint {
    let [endpoint] = settings.endpoints.as_slice() else {
        panic!("{:?}", settings.endpoints);
    };
    endpoint
}

/// The file that `default-config --gateway` prints.
static EXAMPLE: LazyLock<String> = LazyLock::new(default_toml);

/// The least that is valid.
const CHAT: &str = "[endpoints.chat]\nupstreams = [\"ws://127.0.0.1:9001/\"]\n";
