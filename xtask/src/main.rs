//! `cargo xtask`: the project's automation. One folder per task; what they share stands here.
//!
//! - [`tidy`]: small checks of the source tree that no compiler makes
//! - [`generated`]: reference pages and JSON schemas of the configuration
//! - [`conformance`]: the Autobahn suite against our server and our client
//! - [`fuzz`]: libFuzzer on the fuzz targets, and the core against other implementations
//! - [`dependencies`]: what the lock file holds: licences, duplicates, vulnerabilities
//! - [`mod@bench`]: micro-benchmarks, and our server against other libraries
//! - [`package`]: what is handed to those who do not compile
//! - [`release_check`]: whether a version can be released, and what is left to do by hand
//! - [`site`]: the documentation as a web site
//! - [`ci`]: every step of continuous integration, in order
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task's report is its output"
)]

mod bench;
mod ci;
mod conformance;
mod dependencies;
mod fuzz;
mod generated;
mod misuse;
mod outcome;
mod package;
mod process;
mod release_check;
mod site;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::misuse::Misuse;
use crate::outcome::Outcome;
use crate::workspace::Workspace;

/// The project's automation.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Check the source tree: layers, manifests, file sizes, links, white space, generated files.
    Tidy,
    /// Write the reference pages and JSON schemas of the configuration anew.
    Generate,
    /// Run the Autobahn suite and compare with the committed expectation.
    Conformance(conformance::Options),
    /// Look for inputs that break a promise.
    Fuzz(fuzz::Options),
    /// Check licences, duplicates and sources of all dependencies.
    Deny,
    /// Check all dependencies for known vulnerabilities; fetches their database.
    Advisories,
    /// Measure: the core alone, and our server against other libraries.
    Bench(bench::Options),
    /// Build the documentation site, run its examples and check its links.
    Site(site::Options),
    /// Make what is handed to those who do not compile.
    Package(package::Options),
    /// Check that a version can be released, and name what is left to do by hand.
    ReleaseCheck(release_check::Options),
    /// Run what continuous integration runs; stop at the first failure.
    Ci(ci::Options),
}

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => run(cli.task).unwrap_or_else(|error| fail(&error)),
        Err(error) if error.exit_code() == 0 => {
            // Help and version: asked for. Nothing is left to do if nobody reads them.
            error.print().ok();
            ExitCode::SUCCESS
        }
        Err(error) => fail(&Misuse::from(&error).into()),
    }
}

/// One line in every case: where in the automation an error arose helps nobody who uses it.
fn fail(error: &anyhow::Error) -> ExitCode {
    let code = if error.is::<Misuse>() { 2 } else { 1 };
    eprintln!("error: {error:#}");
    ExitCode::from(code)
}

fn run(task: Task) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::load()?;
    match task {
        Task::Tidy => tidy::run(&workspace),
        Task::Generate => generated::write(&workspace),
        Task::Conformance(options) => conformance::run(&workspace, &options),
        Task::Fuzz(options) => fuzz::run(&workspace, &options),
        Task::Deny => dependencies::deny(&workspace).map(|_| ExitCode::SUCCESS),
        Task::Advisories => Ok(match dependencies::advisories(&workspace)? {
            Outcome::Passed => ExitCode::SUCCESS,
            // Asked for by name, so an answer that is none is a failure.
            Outcome::Incomplete(_) => ExitCode::FAILURE,
        }),
        Task::Bench(options) => {
            bench::run(&workspace, &options)?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Site(options) => site::run(&workspace, &options),
        Task::Package(options) => package::run(&workspace, &options),
        Task::ReleaseCheck(options) => release_check::run(&workspace, &options),
        Task::Ci(options) => ci::run(&workspace, &options),
    }
}
