//! [`NewProcess`]: SIGUSR2 → the command that was started is started again, by its path, so that a new binary
//! takes over.
//!
//! Invariant: one at a time; whatever becomes of it, this process goes on until the listeners are handed over.

use std::{io, process::ExitStatus};

#[cfg(unix)]
use tokio::process::{Child, Command};

/// The process that is to take over.
#[derive(Debug)]
pub(crate) struct NewProcess {
    is_possible: bool,
    #[cfg(unix)]
    child: Option<Child>,
}

impl NewProcess {
    /// Possible with a hand-over socket only: the ports are ours.
    pub(crate) fn new(is_possible: bool) -> Self {
        Self {
            is_possible,
            #[cfg(unix)]
            child: None,
        }
    }

    /// Starts it, with our arguments, directory, environment and outputs.
    #[cfg(unix)]
    pub(crate) fn start(&mut self) {
        if !self.is_possible {
            tracing::warn!(
                "SIGUSR2: no new process without the setting \"handover\" (of a server: \"server.handover\")"
            );
            return;
        }
        if self.child.is_some() {
            tracing::warn!("SIGUSR2: a new process is being started already");
            return;
        }
        let mut arguments = std::env::args_os();
        let Some(program) = arguments.next() else {
            tracing::error!("SIGUSR2: the program's name is not known");
            return;
        };
        let mut command = Command::new(program);
        // The watchdog is to look for the new one then: the variable names this process.
        command.args(arguments).env_remove("WATCHDOG_PID");
        match command.stdin(std::process::Stdio::null()).spawn() {
            Ok(child) => {
                let pid = child.id();
                tracing::info!(pid, "SIGUSR2: a new process was started");
                self.child = Some(child);
            }
            Err(error) => tracing::error!(%error, "SIGUSR2: no new process can be started"),
        }
    }

    /// Does nothing: there is no such signal.
    #[cfg(not(unix))]
    pub(crate) fn start(&mut self) {
        let _ = self.is_possible;
    }

    /// Waits until it has ended, while we still run; for ever when there is none.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        #[cfg(unix)]
        if let Some(child) = &mut self.child {
            let ended = child.wait().await;
            self.child = None;
            return ended;
        }
        std::future::pending().await
    }

    /// It should not have.
    pub(crate) fn tell(ended: io::Result<ExitStatus>) {
        match ended {
            Ok(status) => tracing::error!(%status, "the new process has ended"),
            Err(error) => tracing::error!(%error, "the new process cannot be waited for"),
        }
    }
}
