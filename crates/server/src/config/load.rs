//! Defaults, file, environment, flags → [`Settings`].

use std::path::Path;

use tidewire_config::{ConfigError, Flag, Loader, Schema, Surroundings, Value, template};
use tidewire_table::Table as _;

use super::{Config, Settings};

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
    // The gateway's variables begin with ours.
    let is_foreign = |key: &str| key.starts_with("gateway_");
    Schema::new("TIDEWIRE_", is_foreign, &Config::describe())
}

/// Every key with its default and its meaning, ready to be saved and edited.
pub fn default_toml() -> String {
    template(&Config::describe(), HEAD)
}

/// The tables of keys of the reference page, as Markdown.
pub fn reference() -> String {
    tidewire_config::reference(&Config::describe())
}

/// The JSON schema of the file, for editors.
pub fn json_schema() -> String {
    tidewire_config::json_schema(&Config::describe(), "Tidewire server")
}

const HEAD: &str = "Tidewire server: every key with its default.\n\n\
    Precedence, weakest first: these defaults, the configuration file, environment variables, flags. The variable of \
    a key is TIDEWIRE_ with `__` between levels: TIDEWIRE_SERVER__LISTEN sets server.listen. Sizes are bytes, or a \
    number with KiB, MiB or GiB (K, M, G). Times are a whole number with ms, s, m, h or d.";
