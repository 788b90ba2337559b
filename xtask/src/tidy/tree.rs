//! What the checks look at: the text files of the project and the edges between its
//! crates. Tests build one from literals.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Context as _;

use crate::workspace::Workspace;

/// Folders that hold no sources of ours.
const SKIPPED_FOLDERS: &[&str] = &[
    ".git",
    "target",
    "node_modules",
    "__pycache__",
    "tidewire-data",
    "corpus", // fuzz inputs: any bytes, whatever their names end in
];

/// Extensions of the files whose text is read; of others only the path is known.
const TEXT: &[&str] = &[
    "rs", "md", "toml", "txt", "json", "py", "js", "mjs", "ts", "html", "css", "sh", "yml", "yaml",
];

/// A snapshot of the project. Paths are relative to the root, with `/`.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Path and text of every file; the text is empty for what is not text.
    pub files: BTreeMap<String, String>,
    pub folders: BTreeSet<String>,
    pub packages: Vec<Package>,
}

/// A member crate and the names of everything it depends on; its tests may use what stands above it.
#[derive(Debug)]
pub(super) struct Package {
    pub name: String,
    pub manifest: String,
    pub dependencies: Vec<String>,
}

impl Tree {
    pub(super) fn read(workspace: &Workspace) -> anyhow::Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(&workspace.root, &workspace.root)?;
        for package in &workspace.packages {
            tree.packages.push(Package {
                name: package.name.clone(),
                manifest: to_slashes(workspace.relative(&package.manifest_path)),
                dependencies: package
                    .dependencies
                    .iter()
                    .filter(|dependency| dependency.kind.as_deref() != Some("dev"))
                    .map(|dependency| dependency.name.clone())
                    .collect(),
            });
        }
        Ok(tree)
    }

    /// The files with one of these extensions, with their text.
    pub(super) fn with_extension<'a>(
        &'a self,
        extensions: &'a [&str],
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files
            .iter()
            .filter(|(path, _)| extensions.contains(&extension(path)))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    fn read_folder(&mut self, root: &Path, folder: &Path) -> anyhow::Result<()> {
        let entries = fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            let relative = to_slashes(path.strip_prefix(root).unwrap_or(&path));
            let kind = entry.file_type()?;
            if kind.is_dir() {
                if !SKIPPED_FOLDERS.contains(&entry.file_name().to_string_lossy().as_ref()) {
                    self.folders.insert(relative);
                    self.read_folder(root, &path)?;
                }
            } else if kind.is_file() {
                let text = if TEXT.contains(&extension(&relative)) {
                    fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?
                } else {
                    String::new()
                };
                self.files.insert(relative, text);
            }
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            for (end, _) in path.match_indices('/') {
                tree.folders
                    .insert(path.get(..end).unwrap_or_default().to_owned());
            }
            tree.files.insert((*path).to_owned(), (*text).to_owned());
        }
        tree
    }
}

/// What follows the last dot of the file name.
pub(super) fn extension(path: &str) -> &str {
    file_name(path)
        .rsplit_once('.')
        .map_or("", |(_, extension)| extension)
}

/// What follows the last slash.
pub(super) fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// Whether the whole file is test code.
pub(super) fn is_test_file(path: &str) -> bool {
    file_name(path) == "tests.rs"
        || path
            .split('/')
            .any(|folder| folder == "tests" || folder == "benches")
}

fn to_slashes(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "/")
}
