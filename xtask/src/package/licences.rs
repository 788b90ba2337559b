//! The notices that permissive licences ask for: the files that each crate brings, every text once, with the crates it
//! belongs to. A crate that brings no file is listed with its licence and its authors.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::crates::{self, Crate};
use super::folder;
use crate::workspace::Workspace;

/// How names of such files begin.
const NAMES: &[&str] = &[
    "LICENSE",
    "LICENCE",
    "COPYING",
    "COPYRIGHT",
    "NOTICE",
    "UNLICENSE",
];

pub(super) fn write(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let linked = crates::linked(workspace)?;
    let others = linked.crates.iter().filter(|one| one.source.is_some());
    let mut list = String::from(
        "Tidewire is linked with the following crates. Their notices and licences stand below the list.\n\n",
    );
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut without = Vec::new();
    for one in others {
        writeln!(list, "{} {}: {}", one.name, one.version, one.expression())?;
        let found = files(one)?;
        if found.is_empty() {
            without.push(one);
        }
        for text in found {
            let name = format!("{} {}", one.name, one.version);
            texts.entry(text).or_default().push(name);
        }
    }
    for one in without {
        let of = one.repository.as_deref().unwrap_or("crates.io");
        writeln!(
            list,
            "\n{} {} brings no file with its licence, which is {}. Authors: {}. Source: {of}",
            one.name,
            one.version,
            one.expression(),
            if one.authors.is_empty() {
                format!("the authors of {}", one.name)
            } else {
                one.authors.join(", ")
            }
        )?;
    }
    for (text, names) in &texts {
        writeln!(
            list,
            "\n{}\n{}\n\n{}",
            "=".repeat(80),
            names.join(", "),
            text.trim_end()
        )?;
    }
    let path = folder(workspace)?.join("THIRD-PARTY.txt");
    fs::write(&path, list).with_context(|| path.display().to_string())?;
    println!("{}: {} texts", path.display(), texts.len());
    Ok(path)
}

/// The texts beside the manifest.
fn files(of: &Crate) -> anyhow::Result<Vec<String>> {
    let folder = of.manifest_path.parent().unwrap_or_else(|| Path::new("."));
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.to_uppercase();
        if path.is_file() && NAMES.iter().any(|start| name.starts_with(start)) {
            paths.push(path);
        }
    }
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let bytes = fs::read(path).with_context(|| path.display().to_string())?;
            Ok(String::from_utf8_lossy(&bytes).replace("\r\n", "\n"))
        })
        .collect()
}
