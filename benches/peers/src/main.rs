//! `peers`: our WebSocket server against other libraries, our gateway against other proxies, under
//! one load generator.
//!
//! In: scenarios (a table, [`scenario`]) and rivals (built in, or any command line with
//! `--rival`). Out: CPU per message, messages per second, memory per connection; medians of
//! interleaved rounds. Each round starts a fresh server on core 0; the generator runs on
//! core 1, writes pre-encoded frames and only counts bytes. CPU time is the scheduler's own
//! account of the server's threads. `docs/benchmarks.md` holds figures and commands.
#![forbid(unsafe_code)]

mod scenario; // what is measured, as data
mod serve; // the servers
mod child; // a server as a process: pinned, measured
mod load; // the generator
mod run; // rounds over rivals
mod report; // medians and tables
mod gateways; // proxies in front of one backend
mod datagrams; // UDP

use clap::{Parser, Subcommand};

/// Measure WebSocket servers and proxies on loopback.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure rivals in turn and print tables.
    Run(run::Options),
    /// Measure proxies in front of one echo server and print tables.
    Gateways(gateways::Options),
    /// Measure UDP servers in turn and print tables.
    Datagrams(datagrams::Options),
    /// Run one UDP server (used for the child process).
    ServeDatagrams(datagrams::ServeOptions),
    /// Run one server (used for the child process).
    Serve(serve::Options),
    /// Name the scenarios and the built-in rivals.
    List,
}

fn main() -> anyhow::Result<()> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    match Arguments::parse().command {
        Command::Run(options) => run::run(&options),
        Command::Gateways(options) => gateways::run(&options),
        Command::Datagrams(options) => datagrams::run(&options),
        Command::ServeDatagrams(options) => datagrams::serve(&options),
        Command::Serve(options) => serve::run(&options),
        Command::List => {
            for scenario in scenario::ALL {
                println!("{}", scenario.name);
            }
            for name in gateways::names() {
                println!("{name}");
            }
            for rival in serve::Rival::all() {
                println!("{}", rival.name());
            }
            Ok(())
        }
    }
}
