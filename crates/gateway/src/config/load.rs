//! Defaults, file, environment, flags → [`Settings`].

use std::path::Path;

use tidewire_config::{
    ConfigError, Flag, Loader, Schema, Surroundings, Value, is_toml, read_text, template,
    toml_tables,
};
use tidewire_table::Table as _;

use super::{Config, ini};
use crate::settings::Settings;

/// What command line flags set; `None` leaves a key to the other layers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--listen`: `listen`.
    pub listen: Option<String>,
    /// `--log`: `log.file`.
    pub log: Option<String>,
    /// `--verbose`: `log.level` is `debug`.
    pub verbose: bool,
}

/// Reads the configuration: defaults, then `file`, then the variables of `env` that start
/// with `TIDEWIRE_GATEWAY_`, then `overrides`. References such as `${env:NAME}` are looked up in
/// `env` too, and files named by keys are read.
///
/// A file ending in `.ini` is SocketMaster's, one ending in `.toml` is TOML; any other is what it
/// looks like. Without a file there is no endpoint unless the environment names one.
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

/// [`load`] with the variables of this process: the only place that reads them. Notes the
/// [files](Settings::files).
///
/// # Errors
/// As for [`load`]; also when one of our variables is not valid UTF-8.
pub fn load_from_process(
    file: Option<&Path>,
    overrides: &Overrides,
) -> Result<Settings, ConfigError> {
    let schema = schema();
    let surroundings = Surroundings::of_process(&schema)?;
    let looked_up = surroundings.clone();
    let mut settings = load_with(file, &schema, surroundings, overrides)?;
    settings.files = file.map(Path::to_owned).into_iter().collect();
    settings.files.extend(looked_up.files());
    Ok(settings)
}

fn load_with(
    file: Option<&Path>,
    schema: &Schema,
    surroundings: Surroundings,
    overrides: &Overrides,
) -> Result<Settings, ConfigError> {
    let mut loader = Loader::new(schema, surroundings);
    let mut warnings = Vec::new();
    if let Some(path) = file
        && let Some(text) = loader.text_of(path)
    {
        if is_ini(path, &text) {
            warnings = ini::add(&mut loader, path, &text);
        } else {
            loader.toml(path, &text);
        }
    }
    loader.environment();
    let near_misses = loader.near_misses();
    warnings.extend(near_misses.iter().map(ToString::to_string));
    loader.flags(overrides.flags());
    let mut settings = loader.settings(Config::check_with)?;
    settings.warnings.splice(..0, warnings);
    Ok(settings)
}

/// Whether a configuration file is meant for the gateway, not for another program of ours: one that is named
/// `.ini`, or looks like SocketMaster's, or is TOML with `endpoints`, `routes` or `listeners` at its top. Where
/// the TOML is wrong, a line that begins such a table counts. `false` when it cannot be read.
pub fn is_meant_for_gateway(file: &Path) -> bool {
    let Ok(text) = read_text(file, LOOKED_AT_BYTES_MAX) else {
        return false;
    };
    let begins_table = |line: &str| {
        let line = line.trim_start().trim_start_matches('[');
        OURS.iter().any(|table| {
            let rest = line.strip_prefix(table);
            rest.is_some_and(|rest| rest.starts_with(['.', ']']))
        })
    };
    is_ini(file, &text)
        || toml_tables(&text)
            .iter()
            .any(|key| OURS.contains(&key.as_str()))
        || (!is_toml(&text)
            && text
                .lines()
                .any(|line| line.trim_start().starts_with('[') && begins_table(line)))
}

/// What only the gateway's configuration has.
const OURS: [&str; 3] = ["endpoints", "routes", "listeners"];

/// The longest configuration file there is.
const LOOKED_AT_BYTES_MAX: u64 = 1 << 20;

fn is_ini(path: &Path, text: &str) -> bool {
    let ends_in = |ending: &str| {
        path.extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case(ending))
    };
    ends_in("ini") || (!ends_in("toml") && !is_toml(text) && ini::is_ini(text))
}

impl Overrides {
    fn flags(&self) -> impl Iterator<Item = Flag> {
        let text = |value: &Option<String>| value.as_deref().map(Value::from);
        let verbose = self.verbose.then(|| Value::from("debug"));
        [
            ("listen", "--listen", text(&self.listen)),
            ("log.file", "--log", text(&self.log)),
            ("log.level", "--verbose", verbose),
        ]
        .into_iter()
        .filter_map(|(key, flag, value)| Some((key, flag, value?)))
    }
}

fn schema() -> Schema {
    Schema::new("TIDEWIRE_GATEWAY_", |_| false, &Config::describe())
}

/// Every key with its meaning and, but for the one endpoint and its route, its default, ready to be saved and edited.
pub fn default_toml() -> String {
    template(&Config::describe(), HEAD)
}

/// The tables of keys of the reference page, as Markdown.
pub fn reference() -> String {
    tidewire_config::reference(&Config::describe())
}

/// The JSON schema of the file, for editors.
pub fn json_schema() -> String {
    tidewire_config::json_schema(&Config::describe(), "Tidewire gateway")
}

const HEAD: &str = "Tidewire gateway: every key with its default. Of this file only the endpoint `chat` and its route \
    are examples; whatever you leave out has the value shown.\n\n\
    Precedence, weakest first: these defaults, the configuration file, environment variables, flags. The variable of \
    a key is TIDEWIRE_GATEWAY_ with `__` between levels: TIDEWIRE_GATEWAY_LIMITS__PER_IP_MAX sets limits.per_ip_max, \
    and TIDEWIRE_GATEWAY_ENDPOINTS__CHAT__ZONE sets endpoints.chat.zone. Sizes are bytes, or a number with KiB, MiB or \
    GiB (K, M, G). Times are a whole number with ms, s, m, h or d. A table that says `enabled = false` here is off \
    while it is absent, and on once it is there, unless it says so itself.";
