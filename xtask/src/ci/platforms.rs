//! The libraries' Rust code for other systems than this one, as far as a compiler can say without them.
//!
//! Checked: types, borrows and warnings of `tidewire-proto` and `tidewire` with all features, for macOS and Windows.
//! Not checked: whether it links and runs, since there are no linker, no system libraries and no machine of these
//! kinds; the C and assembler of ring, for which a compiler would be needed, and which rustc never looks at here; and
//! the programs, which are for Linux.

use std::process::Command;

use anyhow::Context as _;

use crate::outcome::Outcome;
use crate::process;
use crate::workspace::Workspace;

const TARGETS: &[&str] = &["x86_64-apple-darwin", "x86_64-pc-windows-gnu"];

/// Never silence: who reads the output must not think that the check was made.
const NOT_CHECKED: &str = "OTHER PLATFORMS NOT CHECKED: their standard library cannot be had";

/// Checks both libraries for each target, whose standard library it installs if it is not there.
pub(super) fn run(workspace: &Workspace) -> anyhow::Result<Outcome> {
    for target in TARGETS {
        if !is_installed(target) {
            println!("the standard library for {target} is not installed, trying to");
            let mut install = Command::new("rustup");
            if let Err(error) = process::run(install.args(["target", "add", target])) {
                println!("{error:#}\n{NOT_CHECKED}: {target}");
                return Ok(Outcome::Incomplete(
                    "the standard libraries for macOS and Windows cannot be had",
                ));
            }
        }
        check(workspace, target).with_context(|| format!("for {target}"))?;
    }
    Ok(Outcome::Passed)
}

fn is_installed(target: &str) -> bool {
    let listed = process::read(Command::new("rustup").args(["target", "list", "--installed"]));
    listed.is_ok_and(|listed| listed.lines().any(|line| line == target))
}

fn check(workspace: &Workspace, target: &str) -> anyhow::Result<()> {
    let variable = target.replace('-', "_");
    process::run(
        process::cargo()
            .args(["check", "--locked", "--all-features", "--target", target])
            .args(["--package", "tidewire-proto", "--package", "tidewire"])
            // Nothing is linked, so what the build scripts would compile from C is not needed.
            .env(format!("CC_{variable}"), "true")
            .env(format!("AR_{variable}"), "true")
            .env("RUSTFLAGS", "-D warnings")
            .current_dir(&workspace.root),
    )
}
