//! `tidewire-bench`: load against a running `tidewire serve`, with CPU and memory per message or
//! session; and backends that are killed behind a running `tidewire gateway`.
//!
//! The server is a child process of its own, pinned to a core. Other libraries are measured by
//! `benches/peers`. Figures and commands stand in `docs/benchmarks.md`.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program that prints figures"
)]

mod chat; // user-to-user messages through a running `tidewire serve`
mod child; // the server under test as a process: pinned, measured
mod idle; // memory per idle connection
mod faults; // what clients of a gateway notice of dying backends
mod ledger; // whether everything accepted arrives, whatever happens

use std::process::ExitCode;

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

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(answer) => return usage(&answer),
    };
    match run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the help that was asked for, or one line that says what is wrong with the arguments.
fn usage(answer: &clap::Error) -> ExitCode {
    if answer.exit_code() == 0 {
        return answer
            .print()
            .map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    let text = answer.render().to_string();
    let paragraphs = text.split("\n\n");
    let told = paragraphs.filter(|text| text.starts_with("error: ") || text.starts_with("  tip: "));
    let words = told.flat_map(str::split_whitespace).collect::<Vec<_>>();
    let line = match words.as_slice() {
        [] => "error: expected a command".to_owned(),
        words => words.join(" ").replace(" tip: ", "; "),
    };
    eprintln!("{line}; --help tells more");
    ExitCode::from(WRONG_USAGE)
}

const WRONG_USAGE: u8 = 2;

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Idle(options) => idle::run(&options),
        Command::Chat(options) => chat::run(&options),
        Command::Faults(options) => faults::run(&options),
        Command::Ledger(options) => ledger::run(&options),
        Command::Backend(options) => faults::backend::run(&options),
    }
}
