//! `tidewire default-config`: prints the documented default configuration.

use std::process::ExitCode;

use crate::{exit_codes::exit_codes, output};
use anyhow::Context as _;

/// Print the documented default configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = concat!(
    "Every key with its meaning and its default; what is left out of a file keeps its default.\n\n",
    "EXAMPLES\n",
    "  tidewire default-config > tidewire.toml\n",
    "  tidewire default-config --gateway > gateway.toml\n\n",
    exit_codes!()
))]
pub(crate) struct DefaultConfigArguments {
    /// That of the gateway instead of the server's
    #[arg(long)]
    gateway: bool,
}

pub(crate) fn run(arguments: &DefaultConfigArguments) -> anyhow::Result<ExitCode> {
    let text = if arguments.gateway {
        tidewire_gateway::config::default_toml()
    } else {
        tidewire_server::config::default_toml()
    };
    output::print(&text).context("cannot write the configuration")?;
    Ok(ExitCode::SUCCESS)
}
