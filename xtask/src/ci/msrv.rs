//! The stated oldest compiler (`rust-version`) against what is really tested.

use std::process::Command;

use anyhow::{Context as _, bail};

use crate::outcome::Outcome;
use crate::process;
use crate::workspace::Workspace;

/// If this run uses the stated version, every step is the check. If not, that version checks
/// the workspace, as long as it is there or can be had. The lint `incompatible_msrv` looks at
/// the same number in every run of clippy.
pub(super) fn run(workspace: &Workspace) -> anyhow::Result<Outcome> {
    let stated = stated(workspace)?;
    let used = process::compiler_version()?;
    if is_of(&used, &stated) {
        println!("rust-version {stated} is the compiler of this run ({used})");
        return Ok(Outcome::Passed);
    }
    if !process::succeeds("rustup", &["run", &stated, "rustc", "--version"]) {
        println!("rust {stated} is not installed, trying to");
        let mut install = Command::new("rustup");
        install.args(["toolchain", "install", &stated, "--profile", "minimal"]);
        if let Err(error) = process::run(&mut install) {
            println!(
                "{error:#}\nRUST-VERSION NOT CHECKED: this run uses {used}, and {stated} cannot \
                 be had; only the lint `incompatible_msrv` looked"
            );
            return Ok(Outcome::Incomplete("the stated compiler cannot be had"));
        }
    }
    process::run(
        Command::new("rustup")
            .args(["run", &stated, "cargo", "check"])
            .args(["--workspace", "--all-targets", "--locked", "--target-dir"])
            .arg(workspace.target_directory.join("msrv"))
            .env_remove("CARGO")
            .env_remove("RUSTC")
            .current_dir(&workspace.root),
    )?;
    Ok(Outcome::Passed)
}

/// The one version all members state.
fn stated(workspace: &Workspace) -> anyhow::Result<String> {
    let mut versions = workspace.packages.iter().map(|package| {
        let version = package.rust_version.as_deref();
        version.with_context(|| format!("`{}` states no rust-version", package.name))
    });
    let first = versions.next().context("the workspace has members")??;
    for version in versions {
        let version = version?;
        if version != first {
            bail!("members state rust-version {version} and {first}, expected one of them");
        }
    }
    Ok(first.to_owned())
}

/// Returns whether the full version is a patch of the stated one, which may leave out the patch.
fn is_of(full: &str, stated: &str) -> bool {
    full.strip_prefix(stated)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_release_is_of_the_stated_version() {
        assert!(is_of("1.95.0", "1.95"));
        assert!(is_of("1.95.1", "1.95.1"));
        assert!(!is_of("1.950.0", "1.95"));
        assert!(!is_of("1.96.0", "1.95"));
        assert!(!is_of("1.97.0-nightly", "1.95"));
    }
}
