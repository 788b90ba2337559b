//! `cargo xtask deny` and `cargo xtask advisories`: what comes into the lock file, judged by
//! cargo-deny after the rules in `deny.toml`.
//!
//! The two are apart because they differ in what they need: licences, duplicates and sources
//! are known from the lock file, so that check is the same everywhere. Known vulnerabilities
//! come from a database that is fetched; without it nothing is said about them, and that is
//! what is printed. The other workspaces (fuzzing, rivals' servers) are not released and not looked at.

use std::path::PathBuf;
use std::process::Command;

use anyhow::bail;

use crate::outcome::Outcome;
use crate::process;
use crate::workspace::Workspace;

/// Raised together with what its new version asks of `deny.toml`.
const CARGO_DENY_VERSION: &str = "0.20.2";

/// Never silence: who reads the output must not think that the check was made.
const NOT_CHECKED: &str = "ADVISORIES NOT CHECKED: the database cannot be fetched; \
                           run `cargo xtask advisories` where the network reaches it";

/// Licences, duplicates, sources.
pub(crate) fn deny(workspace: &Workspace) -> anyhow::Result<Outcome> {
    install(workspace)?;
    fetch(workspace)?;
    process::run(
        cargo_deny(workspace)
            .arg("--offline")
            .args(["check", "licenses", "bans", "sources"]),
    )?;
    Ok(Outcome::Passed)
}

/// Known vulnerabilities and yanked versions. The database is fetched in a step of its own,
/// since cargo-deny's exit code does not tell a missing database from a vulnerability.
pub(crate) fn advisories(workspace: &Workspace) -> anyhow::Result<Outcome> {
    install(workspace)?;
    if let Err(error) = process::read(cargo_deny(workspace).args(["fetch", "db"])) {
        println!("{error:#}\n{NOT_CHECKED}");
        return Ok(Outcome::Incomplete(
            "the advisory database cannot be fetched",
        ));
    }
    process::run(cargo_deny(workspace).args(["check", "advisories"]))?;
    Ok(Outcome::Passed)
}

/// Builds cargo-deny below the target folder if it is not there in the right version: about
/// two minutes on two cores, once.
pub(crate) fn install(workspace: &Workspace) -> anyhow::Result<()> {
    let program = program(workspace);
    let version = process::read(Command::new(&program).arg("--version")).unwrap_or_default();
    if version.trim() == format!("cargo-deny {CARGO_DENY_VERSION}") {
        return Ok(());
    }
    process::run(
        process::cargo()
            .args(["install", "cargo-deny", "--locked", "--force"])
            .args(["--version", CARGO_DENY_VERSION, "--no-default-features"])
            .arg("--root")
            .arg(root(workspace))
            // Flags for our own code are none of its business.
            .env_remove("RUSTFLAGS"),
    )?;
    if !program.is_file() {
        bail!("{} is missing after its installation", program.display());
    }
    Ok(())
}

/// Brings every crate of the lock file, those of other platforms included: cargo-deny looks at all of them, and a build
/// has fetched its own platform's only. Nothing is asked of the network for what is there already.
fn fetch(workspace: &Workspace) -> anyhow::Result<()> {
    process::run(
        process::cargo()
            .args(["fetch", "--locked"])
            .current_dir(&workspace.root),
    )
}

fn cargo_deny(workspace: &Workspace) -> Command {
    let mut command = Command::new(program(workspace));
    command
        .args(["--locked", "--color", "never"])
        .current_dir(&workspace.root);
    command
}

fn root(workspace: &Workspace) -> PathBuf {
    workspace.target_directory.join("tools")
}

fn program(workspace: &Workspace) -> PathBuf {
    root(workspace).join("bin/cargo-deny")
}
