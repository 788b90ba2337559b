//! Events → standard error, as the configuration says.

use std::{
    env::{self, VarError},
    io::{self, IsTerminal as _},
};

use anyhow::{Context as _, anyhow};
use tidewire_server::config::{LogFormat, Settings};
use tracing_subscriber::EnvFilter;

use crate::report::WrongUsage;

/// Starts logging for the whole process.
pub(crate) fn start(settings: &Settings) -> anyhow::Result<()> {
    let events = tracing_subscriber::fmt()
        .with_env_filter(filter(&settings.log_level)?)
        .with_writer(io::stderr)
        // Their report goes to the standard error too, and would panic when that is closed.
        .log_internal_errors(false)
        .with_ansi(is_colourful());
    let started = if settings.log_format == LogFormat::Json {
        events.json().try_init()
    } else {
        events.try_init()
    };
    started.map_err(|error| anyhow!(error).context("cannot start logging"))
}

/// `RUST_LOG` is the word of the moment and beats the configuration. It is read here and not
/// with the configuration because it is not ours: its syntax is richer than `log.level`.
fn filter(level: &str) -> anyhow::Result<EnvFilter> {
    let text = match env::var(VARIABLE) {
        Ok(text) if !text.is_empty() => text,
        Ok(_) | Err(VarError::NotPresent) => {
            return EnvFilter::try_new(level).context(WrongUsage("invalid log.level"));
        }
        Err(error @ VarError::NotUnicode(_)) => {
            return Err(anyhow!(error).context(WrongUsage(INVALID)));
        }
    };
    EnvFilter::try_new(text).context(WrongUsage(INVALID))
}

/// See <https://no-color.org>.
fn is_colourful() -> bool {
    io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

const VARIABLE: &str = "RUST_LOG";
const INVALID: &str = "invalid environment variable RUST_LOG";
