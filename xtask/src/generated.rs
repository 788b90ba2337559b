//! Writes the files that are made from the keys of the configuration: reference pages and JSON schemas.
//!
//! The crates that know the keys have tests that compare them with what is checked in, or write it anew when they are
//! told to; [`tidy`](mod@crate::tidy) only compares a digest of the declarations.

use std::{fs, process::ExitCode};

use anyhow::Context as _;

use crate::{process, tidy, workspace::Workspace};

pub(crate) fn write(workspace: &Workspace) -> anyhow::Result<ExitCode> {
    tidy::write_digests(workspace)?;
    let mut tests = process::cargo();
    tests.args(["test", "--quiet", "--package", "tidewire-server"]);
    tests.args(["--package", "tidewire-gateway", "--test", "config"]);
    tests.args(["--", "generated"]);
    process::run(tests.env("TIDEWIRE_BLESS", "1"))?;
    Ok(ExitCode::SUCCESS)
}

/// Puts `digest` behind `marker` in the page at `path`.
pub(crate) fn put_digest(
    workspace: &Workspace,
    path: &str,
    marker: &str,
    digest: &str,
) -> anyhow::Result<()> {
    let file = workspace.root.join(path);
    let page = fs::read_to_string(&file).with_context(|| format!("cannot read {path}"))?;
    let (before, after) = page
        .split_once(marker)
        .with_context(|| format!("{path} has no line that begins with `{marker}`"))?;
    let (_, generated) = after.split_once('\n').unwrap_or_default();
    let page = format!("{before}{marker}{digest}. -->\n{generated}");
    fs::write(&file, page).with_context(|| format!("cannot write {path}"))
}
