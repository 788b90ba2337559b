//! Defaults, file, environment, flags → [`Settings`].

use std::path::Path;

use serde::de::IgnoredAny;
use tidewire_config::{
    Checker, ConfigError, Flag, Loader, Rule, Schema, Surroundings, Value, template,
};
use tidewire_table::Table as _;

use super::{
    Config, Settings, Warning,
    wsserver::{self, Converted},
};

/// What command line flags set; `None` leaves a key to the other layers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--listen`: `server.listen`.
    pub listen: Option<String>,
    /// `--rest-listen`: `rest.listen`.
    pub rest_listen: Option<String>,
    /// `--admin-listen`: `admin.listen`, and switches `admin.enabled` on.
    pub admin_listen: Option<String>,
    /// `--data-dir`: `data_dir`.
    pub data_dir: Option<String>,
    /// `--echo`: `server.echo`.
    pub echo: Option<bool>,
    /// `--verbosity`: `log.level`.
    pub log_level: Option<String>,
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

/// A configuration that was read again while the server runs by another one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Reload {
    /// What can be taken at once: where keys need a restart it has the values the server runs by.
    pub settings: Settings,
    /// Keys that have other values now and can be taken at once.
    pub changed: Vec<String>,
    /// Keys that have other values now and take effect with the next start only.
    pub needs_restart: Vec<String>,
}

/// [`load_from_process`] for a server that runs by `running`. What can be taken at once is checked together with
/// what cannot, so that the server never runs by a mixture that no file may have.
///
/// # Errors
/// As for [`load_from_process`]; then nothing may be taken.
pub fn reload_from_process(
    file: Option<&Path>,
    overrides: &Overrides,
    running: &Config,
) -> Result<Reload, ConfigError> {
    let schema = schema();
    let surroundings = Surroundings::of_process(&schema)?;
    reload_with(file, &schema, surroundings, overrides, running)
}

/// [`reload_from_process`] with these variables instead of the process's.
///
/// # Errors
/// As for [`load`]; then nothing may be taken.
pub fn reload(
    file: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
    overrides: &Overrides,
    running: &Config,
) -> Result<Reload, ConfigError> {
    reload_with(file, &schema(), Surroundings::new(env), overrides, running)
}

fn reload_with(
    file: Option<&Path>,
    schema: &Schema,
    surroundings: Surroundings,
    overrides: &Overrides,
    running: &Config,
) -> Result<Reload, ConfigError> {
    let mut needs_restart = Vec::new();
    let settings = load_checked(file, schema, surroundings, overrides, |config, check| {
        let as_written = config.check_with(check)?;
        let effective = config.with_fixed_keys_of(running);
        config.differences(&effective, "", &mut |key| needs_restart.push(key));
        if needs_restart.is_empty() {
            return Some(as_written);
        }
        effective.check_with(check)
    })?;
    let mut changed = Vec::new();
    let note = &mut |key| changed.push(key);
    running.differences(&settings.config, "", note);
    Ok(Reload {
        settings,
        changed,
        needs_restart,
    })
}

impl Config {
    /// Returns this configuration with the values that `running` has for what a running server cannot change: the
    /// store, the events and their targets, the sockets it listens on, the threads, and what is told to the hub and the log at the start.
    fn with_fixed_keys_of(&self, running: &Self) -> Self {
        let mut effective = self.clone();
        effective.data_dir.clone_from(&running.data_dir);
        effective.chat.clone_from(&running.chat);
        effective.mailbox.clone_from(&running.mailbox);
        effective.events.clone_from(&running.events);
        effective.targets.clone_from(&running.targets);
        effective.trace.clone_from(&running.trace);
        effective.log.format = running.log.format;
        effective.access_log.clone_from(&running.access_log);
        effective.admin.enabled = running.admin.enabled;
        effective.admin.listen.clone_from(&running.admin.listen);
        let (server, rest) = (&mut effective.server, &mut effective.rest);
        server.listen.clone_from(&running.server.listen);
        server.runtime = running.server.runtime;
        server.workers = running.server.workers;
        rest.enabled = running.rest.enabled;
        rest.listen.clone_from(&running.rest.listen);
        rest.idempotency_ttl = running.rest.idempotency_ttl;
        rest.idempotency_keys_max = running.rest.idempotency_keys_max;
        effective
    }
}

fn load_with(
    file: Option<&Path>,
    schema: &Schema,
    surroundings: Surroundings,
    overrides: &Overrides,
) -> Result<Settings, ConfigError> {
    load_checked(file, schema, surroundings, overrides, Config::check_with)
}

fn load_checked(
    file: Option<&Path>,
    schema: &Schema,
    surroundings: Surroundings,
    overrides: &Overrides,
    check: impl FnOnce(&Config, &mut Checker<'_>) -> Option<Settings>,
) -> Result<Settings, ConfigError> {
    let mut loader = Loader::new(schema, surroundings);
    let converted = file.and_then(|path| add_file(&mut loader, path));
    loader.environment();
    let near_misses = loader.near_misses();
    loader.flags(overrides.flags());
    let settings = loader.settings(check);
    let mut settings = settings.map_err(|error| match &converted {
        Some(converted) => converted.in_its_words(error),
        None => error,
    })?;
    let converted = converted.iter().zip(file);
    let notes = converted.flat_map(|(converted, path)| converted.warnings(path));
    let near_misses = near_misses.into_iter().map(Warning::NearMiss);
    settings.warnings.splice(..0, near_misses.chain(notes));
    Ok(settings)
}

/// Adds a file, TOML or wsserver's `config.json`; returns what became of the latter.
fn add_file(loader: &mut Loader<'_>, path: &Path) -> Option<Converted> {
    let text = loader.text_of(path)?;
    if !wsserver::is_json(&text) {
        loader.toml(path, &text);
        return None;
    }
    let converted = Converted::of(&text);
    converted.add_to(loader, path);
    Some(converted)
}

/// A `config.json` of wsserver as a file of ours.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Migrated {
    /// The TOML, with what is different as comments.
    pub toml: String,
    /// The differences, a sentence each.
    pub differences: Vec<String>,
}

/// Converts wsserver's `config.json`. What it names, such as certificates, is not looked at; [`load`] does that.
///
/// # Errors
/// Everything that cannot be converted, by the keys of the file.
pub fn migrate(file: &Path) -> Result<Migrated, ConfigError> {
    let schema = schema();
    let mut loader = Loader::new(&schema, Surroundings::new(std::iter::empty()));
    let text = loader.text_of(file);
    let is_json = text.as_deref().is_none_or(wsserver::is_json);
    if !is_json {
        let what = "is no JSON: expected the config.json of wsserver".to_owned();
        loader.complain(file, "", Rule::Missing { what });
    }
    let converted = Converted::of(text.as_deref().filter(|_| is_json).unwrap_or("{}"));
    converted.add_to(&mut loader, file);
    loader.settings(|_: &IgnoredAny, _| Some(()))?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    Ok(Migrated {
        toml: converted.toml(&name),
        differences: converted.warnings(file).map(|it| it.to_string()).collect(),
    })
}

impl Overrides {
    fn flags(&self) -> impl Iterator<Item = Flag> {
        let text = |value: &Option<String>| value.as_deref().map(Value::from);
        [
            ("server.listen", "--listen", text(&self.listen)),
            ("server.echo", "--echo", self.echo.map(Value::from)),
            ("rest.listen", "--rest-listen", text(&self.rest_listen)),
            ("admin.listen", "--admin-listen", text(&self.admin_listen)),
            (
                "admin.enabled",
                "--admin-listen",
                self.admin_listen.as_ref().map(|_| Value::from(true)),
            ),
            ("data_dir", "--data-dir", text(&self.data_dir)),
            ("log.level", "--verbosity", text(&self.log_level)),
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
