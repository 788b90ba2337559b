//! The steps of continuous integration, in order: cheap and telling ones first.

use std::process::{Command, ExitCode};

use anyhow::bail;

use super::setup;
use crate::workspace::Workspace;
use crate::{conformance, process, tidy};

/// One thing that passes or fails.
#[derive(Debug)]
pub(super) struct Step {
    pub name: &'static str,
    pub purpose: &'static str,
    pub run: fn(&Workspace) -> anyhow::Result<()>,
}

pub(super) const STEPS: &[Step] = &[
    Step {
        name: "setup",
        purpose: "the programs the later steps need",
        run: |_| setup::run(),
    },
    Step {
        name: "fmt",
        purpose: "one format",
        run: |workspace| cargo(workspace, &["fmt", "--all", "--check"]),
    },
    Step {
        name: "clippy",
        purpose: "lints, as errors",
        run: clippy,
    },
    Step {
        name: "tidy",
        purpose: "checks of our own",
        run: |workspace| success(tidy::run(workspace)?),
    },
    Step {
        name: "test",
        purpose: "unit, crate, system and doc tests",
        run: |workspace| {
            cargo(
                workspace,
                &["test", "--workspace", "--all-features", "--locked"],
            )
        },
    },
    Step {
        name: "doc",
        purpose: "documentation without warnings",
        run: doc,
    },
    Step {
        name: "release",
        purpose: "the binary that is shipped",
        run: |workspace| cargo(workspace, &["build", "--release", "--locked"]),
    },
    Step {
        name: "clients",
        purpose: "the release binary, used from Node and Python",
        run: clients,
    },
    Step {
        name: "conformance",
        purpose: "the Autobahn suite against the release binary",
        run: |workspace| {
            let options = conformance::Options::default();
            success(conformance::run(workspace, &options)?)
        },
    },
];

fn clippy(workspace: &Workspace) -> anyhow::Result<()> {
    let mut args = vec![
        "clippy",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--locked",
    ];
    args.extend(["--", "-D", "warnings"]);
    cargo(workspace, &args)
}

fn doc(workspace: &Workspace) -> anyhow::Result<()> {
    process::run(
        process::cargo()
            .args(["doc", "--workspace", "--no-deps", "--locked"])
            .env("RUSTDOCFLAGS", "-D warnings")
            .current_dir(&workspace.root),
    )
}

/// Tests written in other languages; each gets the binary in `SERVER_BIN`.
fn clients(workspace: &Workspace) -> anyhow::Result<()> {
    let binary = workspace.target_directory.join("release/tidewire");
    if !binary.is_file() {
        bail!(
            "{} is missing, expected from step `release`",
            binary.display()
        );
    }
    let node = workspace.root.join("tests/clients/node");
    let python = workspace.root.join("tests/clients/python");
    for folder in [&node, &python] {
        if !folder.is_dir() {
            bail!("{} is missing", workspace.relative(folder).display());
        }
    }
    process::run(
        Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund"])
            .current_dir(&node),
    )?;
    process::run(
        Command::new("node")
            .arg("--test")
            .env("SERVER_BIN", &binary)
            .current_dir(&node),
    )?;
    let venv = workspace.target_directory.join("clients-venv");
    process::run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    let interpreter = venv.join("bin/python");
    process::run(
        Command::new(&interpreter)
            .args(["-m", "pip", "--disable-pip-version-check", "--quiet"])
            .args(["install", "--requirement", "requirements.txt"])
            .current_dir(&python),
    )?;
    process::run(
        Command::new(&interpreter)
            .args(["-m", "unittest", "discover"])
            .env("SERVER_BIN", &binary)
            .current_dir(&python),
    )
}

fn cargo(workspace: &Workspace, args: &[&str]) -> anyhow::Result<()> {
    process::run(process::cargo().args(args).current_dir(&workspace.root))
}

fn success(code: ExitCode) -> anyhow::Result<()> {
    if code != ExitCode::SUCCESS {
        bail!("see above");
    }
    Ok(())
}
