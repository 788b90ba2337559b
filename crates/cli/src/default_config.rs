//! `tidewire default-config`: prints the documented default configuration.

use std::process::ExitCode;

use anyhow::Context as _;
use tidewire_server::config::DEFAULT_TOML;

use crate::{exit_codes::exit_codes, output};

pub(crate) const HELP: &str = concat!(
    "Every key with its meaning and its default; what is left out of a file keeps its default.\n\n",
    "EXAMPLES\n",
    "  tidewire default-config > tidewire.toml\n\n",
    exit_codes!()
);

pub(crate) fn run() -> anyhow::Result<ExitCode> {
    output::print(DEFAULT_TOML).context("cannot write the configuration")?;
    Ok(ExitCode::SUCCESS)
}
