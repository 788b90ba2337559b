//! The package as its users have it: installed, started as its own user in a file system that is read-only but for its data,
//! upgraded, removed and purged. All of it happens in a copy of this machine that is thrown away (an overlay in a mount and
//! network namespace), so nothing is left behind.

use std::path::Path;
use std::process::Command;

use crate::outcome::Outcome;
use crate::process;
use crate::workspace::Workspace;

/// The steps, told as a shell's.
const SCRIPT: &str = "packaging/debian/trial.sh";

pub(super) fn run(workspace: &Workspace, package: &Path) -> anyhow::Result<Outcome> {
    let namespaces = ["--mount", "--net", "--pid", "--fork", "--kill-child"];
    let may = Command::new("unshare")
        .args(namespaces)
        .args(["mount", "-t", "tmpfs", "none", "/mnt"])
        .output();
    if !may.is_ok_and(|output| output.status.success()) {
        return Ok(Outcome::Incomplete(
            "the package is built, but not installed: that needs root and namespaces",
        ));
    }
    process::run(
        Command::new("timeout")
            .args(["300", "unshare"])
            .args(namespaces)
            .arg("sh")
            .arg(workspace.root.join(SCRIPT))
            .arg(package),
    )?;
    Ok(Outcome::Passed)
}
