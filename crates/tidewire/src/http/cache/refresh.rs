//! Looking again: what has changed in the directories, and what has expired.
//!
//! Files are read without the table's lock, one after the other, so that requests never wait for a disk.

use std::{collections::BTreeMap, path::PathBuf, sync::Weak, thread, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    Shared,
    entry::{Entry, FileOrigin},
    table::Loaded,
    tree::{self, Found},
};

/// Looks every so often, until the cache is gone.
pub(super) fn start(cache: Weak<Shared>, every: Duration) {
    let every = every.max(EVERY_MIN);
    let looking = move || {
        loop {
            thread::park_timeout(every);
            let Some(cache) = cache.upgrade() else {
                return;
            };
            run(&cache);
        }
    };
    let thread = thread::Builder::new()
        .name("tidewire-files".into())
        .spawn(looking);
    if let Err(error) = thread {
        tracing::error!(error = %crate::ErrorChain(&error), "changes of files will not be seen");
    }
}

/// More often would be nothing but looking.
const EVERY_MIN: Duration = Duration::from_millis(50);

/// Looks once.
pub(super) fn run(cache: &Shared) {
    let directories = {
        let mut table = cache.table.write();
        table.drop_expired(Instant::now());
        table.directories()
    };
    for directory in directories {
        match tree::walk(&directory.path, &directory.prefix, &cache.config) {
            Ok(found) => load(cache, directory.owner, &found),
            Err(error) => {
                // What was read stays: a directory that is being replaced is away for a moment.
                tracing::warn!(error = %crate::ErrorChain(&error), "files stay as they were read");
            }
        }
    }
}

/// Makes a directory's entries what was found.
pub(super) fn load(cache: &Shared, owner: u64, found: &BTreeMap<String, Found>) {
    let (known, max_age) = {
        let mut table = cache.table.write();
        let Some(directory) = table.directory(owner) else {
            return;
        };
        (directory.files.clone(), directory.max_age)
    };
    let encoded = |path: &str, list: &BTreeMap<String, Found>| -> Vec<Option<Found>> {
        let with = |(_, suffix): &(_, &str)| list.get(&format!("{path}{suffix}")).cloned();
        CODINGS.iter().map(with).collect()
    };
    let known_sorted: BTreeMap<String, Found> = known
        .iter()
        .map(|(path, file)| (path.clone(), file.clone()))
        .collect();
    let mut files = known.clone();
    for (path, file) in found {
        let is_same = known.get(path) == Some(file);
        if is_same && encoded(path, found) == encoded(path, &known_sorted) {
            continue;
        }
        let origin = FileOrigin {
            name: path,
            modified: file.modified,
            max_age,
            owner,
        };
        if load_file(cache, &origin, file, &encoded(path, found)) {
            files.insert(path.clone(), file.clone());
        }
    }
    let mut table = cache.table.write();
    for path in known.keys().filter(|path| !found.contains_key(*path)) {
        files.remove(path);
        table.unload(path, owner);
    }
    match table.directory(owner) {
        Some(directory) => directory.files = files,
        // It was removed meanwhile.
        None => files.keys().for_each(|path| table.unload(path, owner)),
    }
}

/// Returns whether it is done with, as it is now.
fn load_file(
    cache: &Shared,
    origin: &FileOrigin<'_>,
    file: &Found,
    encoded: &[Option<Found>],
) -> bool {
    let config = &cache.config;
    let on_disk = || Entry::on_disk(origin, PathBuf::from(&file.path), file.len);
    let is_small = |file: &Found| file.len <= config.file_bytes_max as u64;
    let has_room = cache.table.read().bytes() as u64 + file.len <= config.bytes_max as u64;
    let entry = if is_small(file) && has_room {
        let bytes = match tree::read(file) {
            Ok(Some(bytes)) => Bytes::from(bytes),
            // It is being written.
            Ok(None) => return false,
            Err(error) => {
                tracing::warn!(path = %file.path.display(), error = %crate::ErrorChain(&error), "a file cannot be read");
                return false;
            }
        };
        let mut forms = Vec::new();
        for ((coding, _suffix), form) in CODINGS.iter().zip(encoded) {
            // One that is older than the file was made of another.
            let form = form.as_ref().filter(|form| {
                config.precompressed && is_small(form) && form.modified >= file.modified
            });
            if let Some(form) = form
                && let Ok(Some(bytes)) = tree::read(form)
            {
                forms.push((*coding, Bytes::from(bytes)));
            }
        }
        Entry::in_memory(origin, bytes, forms)
    } else {
        on_disk()
    };
    let mut table = cache.table.write();
    match table.load(origin.name, entry, config) {
        Loaded::Taken | Loaded::Covered => true,
        Loaded::NoRoom => {
            // Its name is small; if there is no room for that either, it is not found.
            let loaded = table.load(origin.name, on_disk(), config);
            if loaded == Loaded::NoRoom {
                table.unload(origin.name, origin.owner);
                tracing::warn!(path = %file.path.display(), "no room for a file's name");
            }
            true
        }
    }
}

/// Codings and the endings of their files, the smallest result first.
const CODINGS: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];
