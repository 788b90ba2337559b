//! `cargo xtask ci --fresh`: the same command as a machine sees it that has just cloned the repository.
//!
//! In: the arguments that choose the steps. Out: a second cargo that builds and runs this task with an empty cargo home,
//! an empty target folder, and empty caches of npm and pip. Invariant: nothing that an earlier build has fetched,
//! installed or compiled is seen; a step that needs it without bringing it fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context as _;

use crate::process;
use crate::workspace::Workspace;

/// Settings, not caches: they say how this machine reaches a registry (a proxy, a mirror, a certificate, a
/// credential for it), and a new machine of the same owner would have them too. Empty homes without them would test the
/// network instead.
const SETTINGS: &[&str] = &["config.toml", "config", "credentials.toml", "credentials"];

/// Runs the steps in temporary folders, which are removed afterwards.
pub(super) fn run(workspace: &Workspace, selection: &[String]) -> anyhow::Result<ExitCode> {
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let cargo_home = folder.path().join("cargo-home");
    fs::create_dir(&cargo_home).with_context(|| format!("{}", cargo_home.display()))?;
    if let Some(own) = own_cargo_home() {
        copy_settings(&own, &cargo_home)?;
    }
    let mut command = process::cargo();
    command
        .args([
            "run",
            "--quiet",
            "--locked",
            "--package",
            "xtask",
            "--",
            "ci",
        ])
        .args(selection)
        .current_dir(&workspace.root)
        .env("CARGO_HOME", &cargo_home)
        .env("CARGO_TARGET_DIR", folder.path().join("target"))
        .env("npm_config_cache", folder.path().join("npm"))
        .env("PIP_CACHE_DIR", folder.path().join("pip"));
    println!("== everything anew, in {}", folder.path().display());
    // Its own summary tells what failed.
    let passed = run_to_end(&mut command)?;
    Ok(ExitCode::from(u8::from(!passed)))
}

fn run_to_end(command: &mut Command) -> anyhow::Result<bool> {
    let status = command.status().context("cannot start cargo")?;
    Ok(status.success())
}

/// Where cargo keeps what this machine has: `CARGO_HOME`, else `.cargo` in the home folder.
fn own_cargo_home() -> Option<PathBuf> {
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".cargo")))
}

/// Copies keep the permissions of what they copy, and the temporary folder is its owner's alone.
fn copy_settings(from: &Path, to: &Path) -> anyhow::Result<()> {
    for name in SETTINGS {
        let file = from.join(name);
        if file.is_file() {
            fs::copy(&file, to.join(name)).with_context(|| format!("{}", file.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_along_and_caches_do_not() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(from.path().join("config.toml"), "[net]\nretry = 3\n").unwrap();
        fs::create_dir_all(from.path().join("registry/cache")).unwrap();
        fs::create_dir_all(from.path().join("bin")).unwrap();
        copy_settings(from.path(), to.path()).unwrap();
        let copied: Vec<_> = fs::read_dir(to.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(copied, ["config.toml"]);
    }
}
