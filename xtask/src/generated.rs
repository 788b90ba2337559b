//! Writes the files that are made from the keys of the configuration: reference pages and JSON schemas.
//!
//! The crates that know the keys have tests that compare them with what is checked in, or write it anew when they are
//! told to; [`tidy`](mod@crate::tidy) only compares a digest of the declarations.

use std::process::ExitCode;

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
