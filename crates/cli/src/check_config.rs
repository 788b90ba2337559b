//! `tidewire check-config`: tells whether the server would take a configuration.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use tidewire_server::config::{Overrides, load_from_process};

use crate::{exit_codes::exit_codes, output, report::WrongUsage};

/// Check the configuration without starting the server.
#[derive(Debug, clap::Args)]
#[command(after_help = concat!(
    "Checks what `tidewire serve` would take: the file and the TIDEWIRE_ variables of the ",
    "environment.\n\n",
    "EXAMPLES\n",
    "  tidewire check-config\n",
    "  tidewire check-config --config /etc/tidewire.toml\n\n",
    exit_codes!()
))]
pub(crate) struct CheckConfigArguments {
    /// TOML file with the configuration
    #[arg(short, long, value_name = "FILE", env = "TIDEWIRE_CONFIG")]
    config: Option<PathBuf>,
}

pub(crate) fn run(arguments: &CheckConfigArguments) -> anyhow::Result<ExitCode> {
    let settings = load_from_process(arguments.config.as_deref(), &Overrides::default())
        .context(WrongUsage("invalid configuration"))?;
    for warning in &settings.warnings {
        writeln!(io::stderr(), "warning: {warning}").context("cannot write the warnings")?;
    }
    output::print("configuration is valid\n").context("cannot write the result")?;
    Ok(ExitCode::SUCCESS)
}
