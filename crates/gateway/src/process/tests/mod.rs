//! The machine in virtual time, then real processes.

use std::{sync::Arc, time::Duration};

use crate::settings::Process;

mod children;
mod machine;

mod sequences;

/// A machine whose actions are asserted, in a time that only moves when told.
struct Bench {
    machine: super::supervision::Supervision,
    now: std::time::Instant,
}

impl Bench {
    fn new(settings: Process) -> Self {
        Self {
            machine: super::supervision::Supervision::new(Arc::new(settings)),
            now: std::time::Instant::now(),
        }
    }
}
