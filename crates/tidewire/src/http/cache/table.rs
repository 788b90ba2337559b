//! All entries of a cache by their path, and the directories they came from, within limits.

use std::{
    collections::{HashMap, hash_map},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{CacheError, config::CacheConfig, entry::Entry, tree::Found};

/// Entries and directories.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: HashMap<String, Arc<Entry>>,
    directories: Vec<Directory>,
    bytes: usize,
}

/// Over all tables: what is being loaded for one that was [exchanged](super::FileCache::swap) is nobody's in the other.
static OWNERS: AtomicU64 = AtomicU64::new(0);

/// A directory that is served.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    pub(super) owner: u64,
    /// As it was given.
    pub(super) path: PathBuf,
    pub(super) prefix: String,
    pub(super) max_age: Duration,
    /// Its files as they were loaded.
    pub(super) files: HashMap<String, Found>,
}

impl Table {
    pub(super) fn find(&self, path: &str) -> Option<Arc<Entry>> {
        self.entries.get(path).cloned()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn check_count(&self, more: usize, config: &CacheConfig) -> Result<(), CacheError> {
        let entries_max = config.entries_max;
        let fits = self.entries.len().saturating_add(more) <= entries_max;
        fits.then_some(())
            .ok_or(CacheError::TooMany { entries_max })
    }

    /// Takes what the application gives.
    pub(super) fn insert(
        &mut self,
        path: &str,
        entry: Entry,
        config: &CacheConfig,
    ) -> Result<(), CacheError> {
        let replaced = self.entries.get(path).map(|entry| entry.bytes());
        if replaced.is_none() {
            self.check_count(1, config)?;
        }
        if self.bytes - replaced.unwrap_or(0) + entry.bytes() > config.bytes_max {
            return Err(CacheError::Full {
                len: entry.plain.body.len(),
                bytes_max: config.bytes_max,
            });
        }
        self.put(path.to_owned(), entry);
        Ok(())
    }

    /// Takes a file, unless what is there goes before it: the application's, or that of a directory that was added
    /// later.
    pub(super) fn load(&mut self, path: &str, entry: Entry, config: &CacheConfig) -> Loaded {
        let present = self.entries.get(path);
        let replaced = match present {
            Some(present) if present.owner.is_none_or(|owner| Some(owner) > entry.owner) => {
                return Loaded::Covered;
            }
            Some(present) => present.bytes(),
            None if self.entries.len() >= config.entries_max => return Loaded::NoRoom,
            None => 0,
        };
        if self.bytes - replaced + entry.bytes() > config.bytes_max {
            return Loaded::NoRoom;
        }
        self.put(path.to_owned(), entry);
        Loaded::Taken
    }

    fn put(&mut self, path: String, entry: Entry) {
        self.bytes += entry.bytes();
        if let Some(replaced) = self.entries.insert(path, Arc::new(entry)) {
            self.bytes -= replaced.bytes();
        }
    }

    pub(super) fn remove(&mut self, path: &str) -> Option<Arc<Entry>> {
        let entry = self.entries.remove(path)?;
        self.bytes -= entry.bytes();
        Some(entry)
    }

    /// Removes a file that is gone, unless its path is somebody else's by now.
    pub(super) fn unload(&mut self, path: &str, owner: u64) {
        if let hash_map::Entry::Occupied(place) = self.entries.entry(path.to_owned())
            && place.get().owner == Some(owner)
        {
            self.bytes -= place.remove().bytes();
        }
    }

    /// A directory and its number; a larger one goes before a smaller one.
    pub(super) fn own(&mut self, path: &Path, prefix: String, max_age: Duration) -> u64 {
        self.disown(path);
        let owner = OWNERS.fetch_add(1, Ordering::Relaxed);
        self.directories.push(Directory {
            owner,
            path: path.to_path_buf(),
            prefix,
            max_age,
            files: HashMap::new(),
        });
        owner
    }

    pub(super) fn disown(&mut self, path: &Path) -> bool {
        let Some(index) = self.directories.iter().position(|it| it.path == path) else {
            return false;
        };
        let owner = self.directories.swap_remove(index).owner;
        let bytes = &mut self.bytes;
        self.entries.retain(|_path, entry| {
            let stays = entry.owner != Some(owner);
            if !stays {
                *bytes -= entry.bytes();
            }
            stays
        });
        // Of what it has covered, other directories have to look again.
        for directory in &mut self.directories {
            let entries = &self.entries;
            directory
                .files
                .retain(|path, _found| entries.contains_key(path));
        }
        true
    }

    pub(super) fn has_directory(&self, path: &Path) -> bool {
        self.directories.iter().any(|it| it.path == path)
    }

    pub(super) fn directories(&self) -> Vec<Directory> {
        self.directories.clone()
    }

    /// `None`: it has been removed.
    pub(super) fn directory(&mut self, owner: u64) -> Option<&mut Directory> {
        self.directories.iter_mut().find(|it| it.owner == owner)
    }

    pub(super) fn drop_expired(&mut self, now: Instant) {
        let bytes = &mut self.bytes;
        self.entries.retain(|_path, entry| {
            let stays = !entry.is_expired(now);
            if !stays {
                *bytes -= entry.bytes();
            }
            stays
        });
    }
}

/// The fate of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Loaded {
    Taken,
    /// Something that goes before it is under its path.
    Covered,
    /// Neither bytes nor entries are left.
    NoRoom,
}

/// Begins with `/` and does not end with it, so that a name can follow behind another one.
pub(super) fn normal_prefix(prefix: &str) -> String {
    let prefix = prefix.trim_matches('/');
    if prefix.is_empty() {
        return String::new();
    }
    format!("/{prefix}")
}
