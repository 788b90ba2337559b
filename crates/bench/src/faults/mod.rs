//! Faults behind a real `tidewire gateway`, and what its clients notice of them.

pub(crate) mod backend; // what is killed
mod gateway; // what is under test
mod site; // an endpoint and its backend
mod channel; // a client's socket, in three dialects
mod weather; // what a client may know of its backend
mod client; // who sends and judges
mod tally; // what comes out
mod kills; // backends killed again and again

use std::path::PathBuf;

/// Options of `faults`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long backends are killed.
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// Clients: a third each over mux, `SMHandshake` and plain sockets.
    #[arg(long, default_value_t = 1000)]
    clients: usize,
    /// Endpoints, each with a backend.
    #[arg(long, default_value_t = 20)]
    endpoints: usize,
    /// From kill to kill.
    #[arg(long, default_value_t = 1.0)]
    kill_every: f64,
    /// From a kill to the start of the next backend at the same address.
    #[arg(long, default_value_t = 0.5)]
    down: f64,
    /// What a client waits between an echo and its next message.
    #[arg(long, default_value_t = 0.1)]
    think: f64,
    /// The gateway's program.
    #[arg(long, default_value = "target/release/tidewire")]
    program: PathBuf,
}

/// Runs everything and fails if anything was lost that must not be.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(kills::run(options))
}
