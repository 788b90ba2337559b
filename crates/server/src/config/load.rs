//! Defaults, file, environment, flags → [`Settings`].

use std::path::Path;

use tidewire_config::{ConfigError, Flag, Loader, Schema, Surroundings, Value};

use super::{Config, Settings, example::DEFAULT_TOML};

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
/// Every problem: the layers and the types of their values, then the rules of values and between them; the
/// latter not when a file could not be read as a whole.
pub fn load(
    file: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
    overrides: &Overrides,
) -> Result<Settings, ConfigError> {
    load_with(file, &schema(), Surroundings::new(env), overrides)
}

/// [`load`] with the variables of this process: the only place that reads them.
///
/// # Errors
/// As for [`load`]; also when one of our variables is not valid UTF-8.
pub fn load_from_process(
    file: Option<&Path>,
    overrides: &Overrides,
) -> Result<Settings, ConfigError> {
    let schema = schema();
    let surroundings = Surroundings::of_process(&schema)?;
    load_with(file, &schema, surroundings, overrides)
}

fn load_with(
    file: Option<&Path>,
    schema: &Schema,
    surroundings: Surroundings,
    overrides: &Overrides,
) -> Result<Settings, ConfigError> {
    let mut loader = Loader::new(schema, surroundings);
    if let Some(path) = file {
        loader.toml_file(path);
    }
    loader.environment();
    loader.flags(overrides.flags());
    loader.settings(Config::check_with)
}

impl Overrides {
    fn flags(&self) -> impl Iterator<Item = Flag> {
        let text = |value: &Option<String>| value.as_deref().map(Value::from);
        [
            ("server.listen", "--listen", text(&self.listen)),
            ("server.echo", "--echo", self.echo.map(Value::from)),
            ("rest.listen", "--rest-listen", text(&self.rest_listen)),
            ("data_dir", "--data-dir", text(&self.data_dir)),
        ]
        .into_iter()
        .filter_map(|(key, flag, value)| Some((key, flag, value?)))
    }
}

fn schema() -> Schema {
    let defaults = Schema::keys_of(DEFAULT_TOML);
    Schema {
        prefix: "TIDEWIRE_",
        // The gateway's variables begin with ours.
        is_foreign: |key| key.starts_with("gateway_"),
        keys: defaults.clone(),
        defaults,
        named: Vec::new(),
    }
}
