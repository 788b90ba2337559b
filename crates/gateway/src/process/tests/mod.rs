//! The machine in virtual time, then real processes.

use std::{sync::Arc, time::Duration};

use crate::settings::Process;

mod children;
mod machine;

mod sequences;

/// The defaults.
fn process<A: Into<String>>(command: impl IntoIterator<Item = A>) -> Process {
    Process {
        command: command.into_iter().map(Into::into).collect(),
        directory: None,
        environment: Vec::new(),
        ready_within: Duration::from_secs(30),
        backoff_min: Duration::from_millis(100),
        backoff_max: Duration::from_secs(30),
        crash_loop: 5,
        crash_window: Duration::from_mins(1),
        stop_within: Duration::from_secs(10),
    }
}

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
