//! The crates that are linked into the program, as cargo resolves them: without those of tests, and of other platforms.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Context as _;
use serde::Deserialize;

use crate::process;
use crate::workspace::Workspace;

/// The package whose program is shipped.
pub(super) const PROGRAM: &str = "tidewire-cli";

/// A crate as cargo describes it.
#[derive(Debug, Deserialize)]
pub(super) struct Crate {
    id: String,
    pub(super) name: String,
    pub(super) version: String,
    /// An SPDX expression, in old crates with `/` for `OR`.
    pub(super) license: Option<String>,
    pub(super) description: Option<String>,
    pub(super) authors: Vec<String>,
    pub(super) repository: Option<String>,
    /// `None`: one of ours.
    pub(super) source: Option<String>,
    pub(super) manifest_path: PathBuf,
}

impl Crate {
    /// The address in the language of package URLs.
    pub(super) fn purl(&self) -> String {
        format!("pkg:cargo/{}@{}", self.name, self.version)
    }

    pub(super) fn expression(&self) -> String {
        let license = self.license.as_deref().unwrap_or("MIT OR Apache-2.0");
        license.replace('/', " OR ")
    }
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Crate>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Debug, Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Debug, Deserialize)]
struct Kind {
    /// `dev` or `build`; `None`: a normal one.
    kind: Option<String>,
}

/// The program's crates, each with the crates that it uses, sorted by name and version.
#[derive(Debug)]
pub(super) struct Linked {
    pub(super) crates: Vec<Crate>,
    /// By package URL.
    pub(super) uses: BTreeMap<String, BTreeSet<String>>,
}

/// Crates that only build scripts and macros need are in the list: their output is in the program.
pub(super) fn linked(workspace: &Workspace) -> anyhow::Result<Linked> {
    let json = process::read(
        process::cargo()
            .args(["metadata", "--format-version", "1", "--locked"])
            .args(["--filter-platform", &process::host()?])
            .current_dir(&workspace.root),
    )?;
    let metadata: Metadata = serde_json::from_str(&json)
        .context("cargo metadata printed something else than expected")?;
    let nodes: BTreeMap<&str, &Node> = metadata
        .resolve
        .nodes
        .iter()
        .map(|node| (node.id.as_str(), node))
        .collect();
    let root = metadata
        .packages
        .iter()
        .find(|one| one.name == PROGRAM)
        .with_context(|| format!("the workspace has no package `{PROGRAM}`"))?;
    let mut reached = BTreeSet::from([root.id.as_str()]);
    let mut open = vec![root.id.as_str()];
    while let Some(id) = open.pop() {
        for next in used(nodes.get(id).copied()) {
            if reached.insert(next) {
                open.push(next);
            }
        }
    }
    let urls: BTreeMap<&str, String> = metadata
        .packages
        .iter()
        .map(|one| (one.id.as_str(), one.purl()))
        .collect();
    let uses = reached
        .iter()
        .filter_map(|id| {
            let names = used(nodes.get(id).copied());
            let names = names.filter_map(|next| urls.get(next).cloned()).collect();
            Some((urls.get(id)?.clone(), names))
        })
        .collect();
    let reached: BTreeSet<String> = reached.into_iter().map(str::to_owned).collect();
    let mut crates = metadata.packages;
    crates.retain(|one| reached.contains(&one.id));
    crates.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    Ok(Linked { crates, uses })
}

fn used(node: Option<&Node>) -> impl Iterator<Item = &str> {
    let edges = node.into_iter().flat_map(|node| &node.deps);
    edges
        .filter(|edge| {
            let kinds = edge.dep_kinds.iter();
            kinds.filter_map(|kind| kind.kind.as_deref()).count() < edge.dep_kinds.len()
                || edge
                    .dep_kinds
                    .iter()
                    .any(|kind| kind.kind.as_deref() == Some("build"))
        })
        .map(|edge| edge.pkg.as_str())
}
