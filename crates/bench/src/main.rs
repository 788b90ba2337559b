//! `tidewire-bench`: load against echo servers, ours and a rival's, with CPU per message.
//!
//! The server under test is this program again as a child process on core 0; the generator runs
//! on core 1. The generator writes pre-encoded frames and counts bytes, so that it costs less
//! than any server. Figures and commands stand in `docs/benchmarks.md`.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    reason = "a command line program that prints figures"
)]

mod chat; // user-to-user messages through a running `tidewire serve`
mod child; // the server under test as a process: pinned, measured
mod echo; // echo throughput
mod idle; // memory per idle connection
mod servers; // echo servers: ours and the rival's

use clap::{Parser, Subcommand};

/// Measure WebSocket servers on loopback.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Echo messages per second and CPU per message, rivals in turn, medians and ratios.
    Echo(echo::Options),
    /// Resident memory per idle connection of a running `tidewire serve`.
    Idle(idle::Options),
    /// User-to-user messages per second through a running `tidewire serve`.
    Chat(chat::Options),
    /// Run an echo server (used for the child process).
    Serve(servers::Options),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Echo(options) => echo::run(&options),
        Command::Idle(options) => idle::run(&options),
        Command::Chat(options) => chat::run(&options),
        Command::Serve(options) => servers::run(&options),
    }
}
