//! `tidewire check-config`: tells whether the server, or the gateway, would take a configuration.

use std::{
    env,
    fmt::Display,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use tidewire_gateway::config as gateway;
use tidewire_server::config as server;

use crate::{exit_codes::exit_codes, output, report::WrongUsage};

/// Check the configuration without starting anything.
#[derive(Debug, clap::Args)]
#[command(after_help = concat!(
    "Checks what `tidewire serve` would take: the file and the TIDEWIRE_ variables of the ",
    "environment; or what `tidewire gateway` would take: the file (TOML or config.ini) and the ",
    "TIDEWIRE_GATEWAY_ variables.\n\n",
    "A file is taken for the gateway's if its name ends in .ini, if it looks like a config.ini, or if it is TOML with ",
    "endpoints, routes or listeners at its top; any other for the server's. --gateway does not ask.\n\n",
    "EXAMPLES\n",
    "  tidewire check-config\n",
    "  tidewire check-config /etc/tidewire.toml\n",
    "  tidewire check-config gateway.toml\n",
    "  TIDEWIRE_LOG__LEVEL=debug tidewire check-config --config tidewire.toml\n",
    "  tidewire check-config --gateway --config config.ini\n\n",
    exit_codes!()
))]
pub(crate) struct CheckConfigArguments {
    /// The file; without it, `TIDEWIRE_CONFIG` or, for the gateway, `TIDEWIRE_GATEWAY_CONFIG` names it
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The same as --config
    #[arg(value_name = "FILE", conflicts_with = "config")]
    file: Option<PathBuf>,
    /// Check for the gateway, whatever the file looks like
    #[arg(long)]
    gateway: bool,
}

pub(crate) fn run(arguments: &CheckConfigArguments) -> anyhow::Result<ExitCode> {
    let variable = if arguments.gateway {
        "TIDEWIRE_GATEWAY_CONFIG"
    } else {
        "TIDEWIRE_CONFIG"
    };
    // Not by the argument itself: which variable counts depends on another argument.
    let from_variable = || env::var_os(variable).map(PathBuf::from);
    let named = arguments.config.clone().or_else(|| arguments.file.clone());
    let file = named.or_else(from_variable);
    let file = file.as_deref();
    let is_recognised = !arguments.gateway && file.is_some_and(gateway::is_meant_for_gateway);
    if arguments.gateway || is_recognised {
        let wrong = WrongUsage(if is_recognised {
            "invalid configuration of the gateway"
        } else {
            "invalid configuration"
        });
        let settings =
            gateway::load_from_process(file, &gateway::Overrides::default()).context(wrong)?;
        warn(&settings.warnings)?;
    } else {
        let settings = server::load_from_process(file, &server::Overrides::default())
            .context(WrongUsage("invalid configuration"))?;
        warn(&settings.warnings)?;
    }
    let result = if is_recognised {
        "configuration of the gateway is valid\n"
    } else {
        "configuration is valid\n"
    };
    output::print(result).context("cannot write the result")?;
    Ok(ExitCode::SUCCESS)
}

fn warn(warnings: &[impl Display]) -> anyhow::Result<()> {
    for warning in warnings {
        writeln!(io::stderr(), "warning: {warning}").context("cannot write the warnings")?;
    }
    Ok(())
}
