//! [`Group`]: a process and all that it started, as one receiver of signals.
//!
//! In: a child that leads a process group of its own. Out: signals, and how the child ended. Invariant:
//! no signal reaches a stranger. A number is given to another process only after its owner was
//! reaped; so the leader is looked at without reaping it, and reaped last.

use std::{io, os::unix::process::ExitStatusExt, process::ExitStatus};

use rustix::{
    io::{Errno, retry_on_intr},
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid},
};

/// A process group whose leader is our child, not yet reaped. Killed when dropped.
#[derive(Debug)]
pub(super) struct Group {
    /// `None`: reaped.
    leader: Option<Pid>,
}

impl Group {
    /// The group of a child that was started with `process_group(0)`.
    ///
    /// # Errors
    /// The number is none of a process.
    pub(super) fn led_by(pid: u32) -> io::Result<Self> {
        let leader = i32::try_from(pid).ok().and_then(Pid::from_raw);
        match leader {
            Some(_) => Ok(Self { leader }),
            None => Err(io::Error::other("the process has no number")),
        }
    }

    /// Asks all to end.
    ///
    /// # Errors
    /// The system refuses, as with processes that have changed their user.
    pub(super) fn terminate(&self) -> io::Result<()> {
        // Who is stopped could not obey, and would be ended by SIGHUP if the leader obeyed first: the system
        // sends it to groups that lose their leader's parent while members are stopped.
        self.signal(Signal::CONT)?;
        self.signal(Signal::TERM)?;
        self.signal(Signal::CONT)
    }

    /// Ends all.
    ///
    /// # Errors
    /// As [`terminate`](Self::terminate).
    pub(super) fn kill(&self) -> io::Result<()> {
        self.signal(Signal::KILL)
    }

    /// How the leader has ended, if it has. It is not reaped.
    pub(super) fn exited(&self) -> Option<ExitStatus> {
        let leader = self.leader?;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = match retry_on_intr(|| waitid(WaitId::Pid(leader), options)) {
            Ok(status) => status?,
            // Somebody else has reaped it: nothing is known but that it has ended.
            Err(_) => return Some(ExitStatus::default()),
        };
        let code = status.exit_status().map(|code| code << 8);
        let dumped = if status.dumped() { CORE_DUMPED } else { 0 };
        let signal = || status.terminating_signal().map(|signal| signal | dumped);
        Some(ExitStatus::from_raw(code.or_else(signal)?))
    }

    /// The leader was reaped: its number may soon be another's.
    pub(super) fn reaped(&mut self) {
        self.leader = None;
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        let Some(leader) = self.leader else {
            return Ok(());
        };
        match kill_process_group(leader, signal) {
            // All have gone already. (macOS says EPERM of a group of which only a reapable leader is left.)
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(Errno::PERM) if self.exited().is_some() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            tracing::warn!(leader = ?self.leader, %error, "the process cannot be killed");
        }
    }
}

/// Of a wait status: the process has left a core file.
const CORE_DUMPED: i32 = 0x80;
