//! `tidewire-bench`: load against a running `tidewire serve`, with CPU and memory per message or
//! session; and backends that are killed behind a running `tidewire gateway`.
//!
//! The server is a child process of its own, pinned to a core. Other libraries are measured by
//! `benches/peers`. Figures and commands stand in `docs/benchmarks.md`.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    reason = "a command line program that prints figures"
)]

mod chat; // user-to-user messages through a running `tidewire serve`
mod child; // the server under test as a process: pinned, measured
mod idle; // memory per idle connection
mod faults; // what clients of a gateway notice of dying backends
mod ledger; // whether everything accepted arrives, whatever happens

use clap::{Parser, Subcommand};

/// Measure WebSocket servers on loopback.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Resident memory per idle connection of a running `tidewire serve`.
    Idle(idle::Options),
    /// User-to-user messages per second through a running `tidewire serve`.
    Chat(chat::Options),
    /// Kills backends behind `tidewire gateway` and tells what 1 000 clients notice of it.
    Faults(faults::Options),
    /// Users talk over bad networks to a server that dies; fails if anything accepted is missing.
    Ledger(ledger::Options),
    /// The backend that `faults` kills.
    #[command(hide = true)]
    Backend(faults::backend::Options),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Idle(options) => idle::run(&options),
        Command::Chat(options) => chat::run(&options),
        Command::Faults(options) => faults::run(&options),
        Command::Ledger(options) => ledger::run(&options),
        Command::Backend(options) => faults::backend::run(&options),
    }
}
