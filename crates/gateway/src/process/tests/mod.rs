//! The machine in virtual time, then real processes.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;

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

/// What is logged on the thread of the test, where all its tasks run.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(super) fn capture(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    pub(super) fn text(&self) -> String {
        let bytes = self.0.lock();
        String::from_utf8(bytes.clone()).unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut log = self.0.lock();
        log.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
