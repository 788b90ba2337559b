//! `cargo xtask bench`: micro-benchmarks of the core, then our server against other libraries; with
//! `gateways`, our gateway against other proxies instead.
//!
//! In: nothing but options. Out: tables on standard output. Not part of continuous integration: the
//! rivals are compiled here only, in a workspace of their own, and figures need a quiet machine.

use std::process::Command;

use crate::{process, workspace::Workspace};

/// Options of `bench`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    part: Option<Part>,
    /// Every benchmark once and short: does everything work?
    #[arg(long)]
    quick: bool,
    /// Skip the micro-benchmarks.
    #[arg(long)]
    no_micro: bool,
    /// For the generator, after `--`: scenarios, rivals, rounds (see `-- --help`).
    #[arg(last = true)]
    peers: Vec<String>,
}

#[derive(Debug, clap::Subcommand)]
enum Part {
    /// Only our UDP servers against bare loops of system calls.
    #[command(disable_help_flag = true)]
    Datagrams {
        /// For the generator: --quick, --rounds, --only, --rivals (see --help).
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Only our gateway against other proxies; builds it, unless --tidewire names one.
    #[command(disable_help_flag = true)]
    Gateways {
        /// For the generator: --quick, --rounds, --only, --rivals (see --help).
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
}

/// Builds and runs what is asked for; stops at the first failure.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    match &options.part {
        Some(Part::Gateways { options }) => return gateways(workspace, options),
        Some(Part::Datagrams { options }) => {
            return process::run(peers(workspace, "datagrams").args(options));
        }
        None => {}
    }
    if !options.no_micro {
        let mut micro = process::cargo();
        micro
            .args([
                "bench",
                "--locked",
                "-p",
                "tidewire-proto",
                "--bench",
                "protocol",
            ])
            .current_dir(&workspace.root);
        if options.quick {
            micro.args(["--", "--test"]);
        }
        process::run(&mut micro)?;
    }
    let mut peers = peers(workspace, "run");
    peers.args(&options.peers);
    if options.quick {
        peers.arg("--quick");
    }
    process::run(&mut peers)
}

fn gateways(workspace: &Workspace, options: &[String]) -> anyhow::Result<()> {
    let mut peers = peers(workspace, "gateways");
    let is_named = |option: &String| {
        ["--tidewire", "--help", "-h"].contains(&option.as_str())
            || option.starts_with("--tidewire=")
    };
    if !options.iter().any(is_named) {
        let mut build = process::cargo();
        build
            .args(["build", "--release", "--locked", "-p", "tidewire-cli"])
            .current_dir(&workspace.root);
        process::run(&mut build)?;
        peers
            .arg("--tidewire")
            .arg(workspace.target_directory.join("release/tidewire"));
    }
    process::run(peers.args(options))
}

/// The generator, built when it is run, with one of its subcommands.
fn peers(workspace: &Workspace, subcommand: &str) -> Command {
    let mut peers = process::cargo();
    peers
        // Not locked: a new dependency of ours is added to that lock file; the rivals' versions stay.
        .args(["run", "--release", "--manifest-path"])
        .arg(workspace.root.join("benches/peers/Cargo.toml"))
        // Beside the project's own output, where cleaning finds it.
        .arg("--target-dir")
        .arg(workspace.target_directory.join("peers"))
        .args(["--", subcommand]);
    peers
}
