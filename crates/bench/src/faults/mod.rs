//! Faults behind a real `tidewire gateway`, and what its clients notice of them.

mod wild; // one that misbehaves
pub(crate) mod backend; // what is killed
mod gateway; // what is under test
mod site; // an endpoint and its backend
mod channel; // a client's socket, in three dialects
mod outage; // what a client may know of its backend
mod client; // who sends and judges
mod tally; // what comes out
mod kills; // backends killed again and again
mod latency; // how long round trips took
mod stage; // what is done to whom, as clients have to know it
mod pacer; // who measures round trips
mod isolation; // one backend in trouble, the others measured
mod stuck; // one socket that is stuck, the others measured

use std::path::PathBuf;

/// Options of `faults`; without a scenario backends are killed.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    scenario: Option<Scenario>,
    #[command(flatten)]
    kills: kills::Options,
    #[command(flatten)]
    gateway: Program,
}

#[derive(clap::Subcommand)]
enum Scenario {
    /// Brings one backend after the other into trouble; tells round trips of the others' clients.
    Isolation {
        #[command(flatten)]
        options: isolation::Options,
        #[command(flatten)]
        gateway: Program,
    },
    /// Leaves one socket of a connection stuck; tells how fast the others go on.
    Stuck {
        #[command(flatten)]
        options: stuck::Options,
        #[command(flatten)]
        gateway: Program,
    },
}

/// What is under test.
#[derive(clap::Args)]
struct Program {
    /// The gateway's program.
    #[arg(
        long = "program",
        value_name = "FILE",
        default_value = "target/release/tidewire"
    )]
    path: PathBuf,
}

/// Runs a scenario and fails if anything was lost that must not be.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    match &options.scenario {
        None => runtime.block_on(kills::run(&options.kills, &options.gateway.path)),
        Some(Scenario::Isolation { options, gateway }) => {
            runtime.block_on(isolation::run(options, &gateway.path))
        }
        Some(Scenario::Stuck { options, gateway }) => {
            runtime.block_on(stuck::run(options, &gateway.path))
        }
    }
}
