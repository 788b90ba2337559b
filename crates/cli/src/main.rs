//! The `tidewire` command line: arguments → one command → an exit code.
//!
//! Each command has a file of its own with its options, help and `run`. Results go to the
//! standard output, everything said about them to the standard error. This crate is the only
//! one that decides how the process ends.
#![forbid(unsafe_code)]

mod arguments; // what can be asked for
mod serve; // run the server
mod gateway; // run the gateway
mod bench; // load, and what it costs
mod chat; // talk to a server from a terminal
mod check_config; // is this configuration right?
mod default_config; // the documented example
mod migrate_config; // wsserver's config.json as TOML
mod certs; // certificates to begin with
mod token; // tokens made, and looked into
#[cfg(unix)]
mod store; // a copy of the store, and a look
mod remote; // a running server, asked over REST
mod trace; // what has become of a message
mod send; // a message
mod status; // how a server does
mod check_health; // is it well?
mod generate; // for shells and `man`
mod wsserver; // called by the name of the program that it replaces
mod signals; // what a running program is told
mod logs; // events → standard error or a file
mod sampling; // lines that strangers cause, bounded
mod service_manager; // what systemd is told
mod upgrade; // a new process of the same command
mod output; // results → standard output
mod report; // errors → standard error and an exit code
mod exit_codes; // what the exit code means

use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;

use arguments::{Arguments, Command};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let mut given = std::env::args_os();
    if wsserver::is_called(given.next().as_ref()) {
        return wsserver::main(&given.collect::<Vec<_>>());
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(answer) => return report::usage(&answer),
    };
    run(arguments.or_serve()).unwrap_or_else(|error| report::failure(&error))
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Gateway(arguments) => gateway::run(&arguments),
        Command::Chat(arguments) => chat::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::CheckConfig(arguments) => check_config::run(&arguments),
        Command::DefaultConfig(arguments) => default_config::run(&arguments),
        Command::MigrateConfig(arguments) => migrate_config::run(&arguments),
        Command::Certs(arguments) => certs::run(&arguments),
        Command::Token(arguments) => token::run(&arguments),
        Command::Trace(arguments) => trace::run(&arguments),
        Command::Send(arguments) => send::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::CheckHealth(arguments) => check_health::run(&arguments),
        Command::Completions(arguments) => generate::completions(&arguments),
        Command::Man(arguments) => generate::man(&arguments),
        #[cfg(unix)]
        Command::Store(arguments) => store::run(&arguments),
    }
}
