//! Locking without poisoning.
//!
//! Invariant: critical sections of the server are short and leave their data whole before anything in them
//! could panic, so a poisoned lock carries no information; refusing it would let one bug take every later call
//! with it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Locks the mutex, also after a panic of a holder.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits as long as `condition` holds, also after a panic of a holder.
pub(crate) fn wait_while<'a, T>(
    wake: &Condvar,
    guard: MutexGuard<'a, T>,
    condition: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'a, T> {
    let woken = wake.wait_while(guard, condition);
    woken.unwrap_or_else(PoisonError::into_inner)
}
