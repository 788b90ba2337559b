//! A directory on disk: which files it has, and what is in them.
//!
//! In: a path of the file system. Out: files by the path they are served under, with what tells whether they have
//! changed. Invariants: nothing outside of the directory is found, also not through links; what is not a regular file
//! (a pipe, a device) is passed over; how deep and how much is looked at is bounded.

use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{CacheError, config::CacheConfig};

/// A file as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Without links.
    pub(super) path: PathBuf,
    pub(super) len: u64,
    pub(super) modified: Option<SystemTime>,
}

/// Finds all files below `root`, by the path under `prefix` that they are served under.
pub(super) fn walk(
    root: &Path,
    prefix: &str,
    config: &CacheConfig,
) -> Result<BTreeMap<String, Found>, CacheError> {
    let unreadable = |source| CacheError::Unreadable {
        path: root.to_path_buf(),
        source,
    };
    let root = fs::canonicalize(root).map_err(unreadable)?;
    let mut walk = Walk {
        root: &root,
        config,
        files: BTreeMap::new(),
    };
    let entries = fs::read_dir(&root).map_err(unreadable)?;
    walk.folder(entries, prefix, 0)?;
    Ok(walk.files)
}

struct Walk<'a> {
    root: &'a Path,
    config: &'a CacheConfig,
    files: BTreeMap<String, Found>,
}

impl Walk<'_> {
    fn folder(
        &mut self,
        entries: fs::ReadDir,
        prefix: &str,
        depth: usize,
    ) -> Result<(), CacheError> {
        for entry in entries.flatten() {
            let name = entry.file_name();
            // Of other names no request can be made.
            let Some(name) = name.to_str() else {
                continue;
            };
            if !self.config.hidden && name.starts_with('.') {
                continue;
            }
            // What is gone by now, or may not be read, is as good as not there.
            let Some((path, metadata)) = self.inside(&entry.path()) else {
                continue;
            };
            let key = format!("{prefix}/{name}");
            if metadata.is_dir() {
                if depth < DEPTH_MAX
                    && let Ok(entries) = fs::read_dir(&path)
                {
                    self.folder(entries, &key, depth + 1)?;
                }
            } else if metadata.is_file() {
                let found = Found {
                    path,
                    len: metadata.len(),
                    modified: metadata.modified().ok(),
                };
                self.files.insert(key, found);
                if self.files.len() > self.config.entries_max {
                    return Err(CacheError::TooMany {
                        entries_max: self.config.entries_max,
                    });
                }
            }
        }
        Ok(())
    }

    /// Follows links as long as they stay inside.
    fn inside(&self, path: &Path) -> Option<(PathBuf, Metadata)> {
        let mut path = path.to_path_buf();
        let mut metadata = fs::symlink_metadata(&path).ok()?;
        if metadata.is_symlink() {
            path = fs::canonicalize(&path).ok()?;
            if !path.starts_with(self.root) {
                tracing::warn!(path = %path.display(), "a link out of the directory is not served");
                return None;
            }
            metadata = fs::metadata(&path).ok()?;
        }
        Some((path, metadata))
    }
}

/// A link to a folder above itself goes round no longer than this.
const DEPTH_MAX: usize = 32;

/// Reads a file that is expected to be of this size; `None` when it is not any more, to be looked at again later.
pub(super) fn read(found: &Found) -> io::Result<Option<Vec<u8>>> {
    let bytes = fs::read(&found.path)?;
    Ok((bytes.len() as u64 == found.len).then_some(bytes))
}
