//! Where things are: the root folder, the build output, and the member crates.
//! Read once from `cargo metadata`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

use crate::process;

/// What `cargo metadata --no-deps` knows about the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    #[serde(rename = "workspace_root")]
    pub root: PathBuf,
    pub target_directory: PathBuf,
    pub packages: Vec<Package>,
}

/// A member crate.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub name: String,
    pub manifest_path: PathBuf,
    /// The oldest compiler it states.
    pub rust_version: Option<String>,
    /// Name of each feature, and what it switches on.
    pub features: BTreeMap<String, Vec<String>>,
    pub dependencies: Vec<Dependency>,
}

/// A dependency of a member, of any kind (normal, dev, build).
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub name: String,
    /// `dev` or `build`; `None`: a normal one.
    #[serde(default)]
    pub kind: Option<String>,
}

impl Workspace {
    pub(crate) fn load() -> anyhow::Result<Self> {
        let json = process::read(process::cargo().args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
        ]))?;
        serde_json::from_str(&json).context("cargo metadata printed something else than expected")
    }

    /// The path as it is written in messages: relative to the root.
    pub(crate) fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }
}
