//! `cargo xtask bench`: micro-benchmarks of the core, then our server against other libraries.
//!
//! In: nothing but options. Out: tables on standard output. Not part of continuous integration: the
//! rivals are compiled here only, in a workspace of their own, and figures need a quiet machine.

use crate::{process, workspace::Workspace};

/// Options of `bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
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

/// Builds and runs both kinds; stops at the first failure.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
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
    let mut peers = process::cargo();
    peers
        // Not locked: a new dependency of ours is added to that lock file; the rivals' versions stay.
        .args(["run", "--release", "--manifest-path"])
        .arg(workspace.root.join("benches/peers/Cargo.toml"))
        // Beside the project's own output, where cleaning finds it.
        .arg("--target-dir")
        .arg(workspace.target_directory.join("peers"))
        .args(["--", "run"])
        .args(&options.peers);
    if options.quick {
        peers.arg("--quick");
    }
    process::run(&mut peers)
}
