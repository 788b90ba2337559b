//! `cargo xtask fuzz differential`: the core against tungstenite and wsproto on the same
//! streams. The comparison is in `fuzz/differential`; here it is built and started.

use std::process::{Command, ExitCode};

use crate::process;
use crate::workspace::Workspace;

const CASES: u32 = 100_000;
const SEED: u32 = 1;

/// How much is compared.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many streams; 100 000 take a few seconds.
    #[arg(long, value_name = "N", default_value_t = CASES)]
    cases: u32,
    /// Other seeds give other streams, equal ones the same.
    #[arg(long, value_name = "S", default_value_t = SEED)]
    seed: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cases: CASES,
            seed: SEED,
        }
    }
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<ExitCode> {
    let folder = workspace.root.join("fuzz/differential");
    let build = workspace.target_directory.join("fuzz/differential");
    process::run(
        process::cargo()
            .args(["build", "--release", "--locked", "--target-dir"])
            .arg(&build)
            .current_dir(&folder),
    )?;
    let venv = workspace.target_directory.join("fuzz/venv");
    process::run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    let interpreter = venv.join("bin/python");
    process::run(
        Command::new(&interpreter)
            .args(["-m", "pip", "--disable-pip-version-check", "--quiet"])
            .args(["install", "--requirement", "requirements.txt"])
            .current_dir(&folder),
    )?;
    process::run(
        Command::new(&interpreter)
            .arg("compare.py")
            .arg(build.join("release/tidewire-differential"))
            .args([options.cases.to_string(), options.seed.to_string()])
            .current_dir(&folder),
    )?;
    Ok(ExitCode::SUCCESS)
}
