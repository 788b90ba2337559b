//! Compressors and decompressors that wait for the next message of any connection.
//!
//! Invariant: what lies here is reset, so nothing of one connection can reach another; at most
//! [`KEPT_MAX`] of each kind are kept. The locks are leaves, held for a push or a pop.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use super::{compress, inflate};

/// Idle compressors and decompressors, shared by reference count: a clone is the same pool.
///
/// A connection without context takeover takes one for the time of a message. At most 8 of each
/// are kept, 3 MiB in all; how many exist at a time is the number of messages under way.
#[derive(Clone, Default)]
pub struct DeflatePool(Arc<Shelves>);

#[derive(Default)]
#[expect(
    clippy::vec_box,
    reason = "a connection holds a pointer; moving it must not allocate"
)]
struct Shelves {
    compressors: Mutex<Vec<Box<compress::Engine>>>,
    inflaters: Mutex<Vec<Box<inflate::Engine>>>,
}

/// How many of each kind are kept.
const KEPT_MAX: usize = 8;

impl DeflatePool {
    pub(super) fn compressor(&self, settings: compress::Settings) -> Box<compress::Engine> {
        let mut shelf = lock(&self.0.compressors);
        let found = shelf
            .iter()
            .rposition(|engine| engine.settings() == settings);
        if let Some(index) = found {
            return shelf.swap_remove(index);
        }
        drop(shelf);
        Box::new(compress::Engine::new(settings))
    }

    pub(super) fn inflater(&self) -> Box<inflate::Engine> {
        let kept = lock(&self.0.inflaters).pop();
        kept.unwrap_or_else(|| Box::new(inflate::Engine::new()))
    }

    pub(super) fn keep_compressor(&self, mut engine: Box<compress::Engine>) {
        engine.reset();
        keep(&self.0.compressors, engine);
    }

    pub(super) fn keep_inflater(&self, mut engine: Box<inflate::Engine>) {
        engine.reset();
        keep(&self.0.inflaters, engine);
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> (usize, usize) {
        (
            lock(&self.0.compressors).len(),
            lock(&self.0.inflaters).len(),
        )
    }
}

/// A pool is no setting: configurations with different pools mean the same.
impl PartialEq for DeflatePool {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for DeflatePool {}

impl fmt::Debug for DeflatePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeflatePool")
    }
}

/// Puts `engine` on its shelf, the oldest going when it is full: other settings have come into use.
fn keep<T>(shelf: &Mutex<Vec<T>>, engine: T) {
    let mut shelf = lock(shelf);
    let removed = (shelf.len() >= KEPT_MAX).then(|| shelf.swap_remove(0));
    shelf.push(engine);
    drop(shelf);
    drop(removed); // frees memory outside the lock
}

/// A panic elsewhere leaves a shelf whole: a push or a pop happened or not.
fn lock<T>(shelf: &Mutex<Vec<T>>) -> std::sync::MutexGuard<'_, Vec<T>> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}
