//! What to do while the store is busy: [`Gate`].
//!
//! In: commands given to the store, their completions, and refusals with "busy". Out: the
//! sessions that wait for room. Invariant: whoever waits is released, because the gate is only
//! shut while a command is outstanding whose completion opens it: the order is *shut, then
//! count* on one side and *count down, then look* on the other.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use parking_lot::Mutex;

use crate::live::Live;

#[derive(Debug, Default)]
pub(crate) struct Gate {
    outstanding: AtomicUsize,
    shut: AtomicBool,
    /// Each session at most once.
    waiting: Mutex<VecDeque<Arc<Live>>>,
}

impl Gate {
    /// A command is about to be submitted.
    pub(crate) fn begin(&self) {
        self.outstanding.fetch_add(1, SeqCst);
    }

    /// A command was not taken. The caller goes on with [`Gate::shut`] or [`Gate::open_again`].
    pub(crate) fn cancel(&self) {
        self.outstanding.fetch_sub(1, SeqCst);
    }

    /// A command has completed. Returns whether waiting sessions are to be
    /// released now.
    pub(crate) fn complete(&self) -> bool {
        self.outstanding.fetch_sub(1, SeqCst);
        self.open_again()
    }

    /// Opens it. Returns whether it was shut, so that waiting sessions are to be released.
    pub(crate) fn open_again(&self) -> bool {
        // The look spares the common case a write to a shared cache line.
        self.shut.load(SeqCst) && self.shut.swap(false, SeqCst)
    }

    /// The store is busy. Returns whether waiting sessions are to be released at once, as no
    /// completion will do it.
    pub(crate) fn shut(&self) -> bool {
        self.shut.store(true, SeqCst);
        self.is_idle() && self.open_again()
    }

    pub(crate) fn is_shut(&self) -> bool {
        self.shut.load(SeqCst)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.outstanding.load(SeqCst) == 0
    }

    /// Lets `live` wait behind the others.
    pub(crate) fn wait(&self, live: &Arc<Live>) {
        if live.enter_gate() {
            self.waiting.lock().push_back(Arc::clone(live));
        }
    }

    /// The session that waited longest.
    pub(crate) fn next_waiting(&self) -> Option<Arc<Live>> {
        let live = self.waiting.lock().pop_front()?;
        live.leave_gate();
        Some(live)
    }
}
