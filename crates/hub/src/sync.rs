//! Locking without poisoning: [`lock`].
//!
//! In: a mutex. Out: its guard. Invariant: all critical sections of the hub are short and
//! leave their data whole before anything in them could panic, so a poisoned lock carries no
//! information; refusing it would let one bug take every later message with it.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
