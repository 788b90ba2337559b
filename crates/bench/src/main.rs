//! `tidewire-bench`: load against a running `tidewire serve`, with CPU and memory per message or
//! session.
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
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Idle(options) => idle::run(&options),
        Command::Chat(options) => chat::run(&options),
    }
}
