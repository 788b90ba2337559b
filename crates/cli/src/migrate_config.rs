//! `tidewire migrate-config`: prints the TOML that says the same as a `config.json` of wsserver.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use tidewire_server::config;

use crate::{
    exit_codes::exit_codes,
    output,
    report::{self, WrongUsage},
};

/// Print a config.json of wsserver as TOML, and what differs.
#[derive(Debug, clap::Args)]
#[command(after_help = concat!(
    "The TOML goes to the standard output, with each key's old name and what differs as comments; what differs goes to the ",
    "standard error too. `tidewire serve --config config.json` takes the file as it is, so that nobody has to convert it. ",
    "docs/migration-from-wsserver.md has every key, flag and behaviour.\n\n",
    "A file that cannot be converted, or whose TOML `tidewire check-config` would refuse on this machine, as for a certificate ",
    "that is not there, is told with 2.\n\n",
    "EXAMPLES\n",
    "  tidewire migrate-config /etc/wsserver/config.json > tidewire.toml\n",
    "  tidewire check-config tidewire.toml\n\n",
    exit_codes!()
))]
pub(crate) struct MigrateConfigArguments {
    /// The config.json
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(crate) fn run(arguments: &MigrateConfigArguments) -> anyhow::Result<ExitCode> {
    const INVALID: WrongUsage = WrongUsage("cannot be converted");
    let file = arguments.file.as_path();
    let migrated = config::migrate(file).context(INVALID)?;
    output::print(&migrated.toml).context("cannot write the configuration")?;
    for difference in &migrated.differences {
        report::tell(&format!("warning: {difference}"));
    }
    let none = std::iter::empty();
    config::load(Some(file), none, &config::Overrides::default())
        .context(WrongUsage("converted, but not valid on this machine"))?;
    Ok(ExitCode::SUCCESS)
}
