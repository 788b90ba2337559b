//! `tidewire check-health`: the health of a running server as an exit code, for containers, which have no other program that
//! could ask.

use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::Value;

use crate::{
    exit_codes::exit_codes,
    output,
    remote::{Remote, block_on},
};

/// Ask a running server whether it can do its work.
#[derive(Debug, clap::Args)]
#[command(after_help = concat!(
    "Asks /health of the REST API, which needs no credentials, and prints the state: ok, degraded (the disk or\n",
    "the store is full: what is there is still delivered) or failing. Failing, and no answer, are told by exit code 1.\n\n",
    "EXAMPLES\n",
    "  tidewire check-health\n",
    "  tidewire check-health --config /etc/tidewire/tidewire.toml\n",
    "  tidewire check-health --url https://chat.example:8092 --ca ca.pem\n",
    "  tidewire check-health --url https://proxy.example/ --user admin --password password-file     or --token token\n\n",
    exit_codes!()
))]
pub(crate) struct CheckHealthArguments {
    #[command(flatten)]
    remote: Remote,
}

pub(crate) fn run(arguments: &CheckHealthArguments) -> anyhow::Result<ExitCode> {
    let rest = arguments.remote.rest()?;
    let answer = block_on(rest.text("/health"))?;
    let health: Value = serde_json::from_str(&answer)
        .context("the server is too busy to answer, or the answer is of another program")?;
    let state = health["status"].as_str().unwrap_or("unknown");
    let text = match health["reason"].as_str() {
        Some(reason) => format!("{state}: {reason}\n"),
        None => format!("{state}\n"),
    };
    output::print(&text).context("cannot write the result")?;
    Ok(match state {
        "ok" | "degraded" => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}
