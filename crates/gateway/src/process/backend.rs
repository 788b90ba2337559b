//! [`Backend`]: one life of a process, from its start until nothing is left of it.
//!
//! In: the command, and a probe. Out: [`Event`]s. Invariant: dropping it kills the process and all that
//! it started, except what has left the process group.

use std::{
    io,
    process::{ExitStatus, Stdio},
    sync::Arc,
};

use tokio::{
    process::{Child, Command},
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
};

use super::{
    group::Group,
    output::{Source, log},
    readiness::Readiness,
};
use crate::settings::Process;

/// A process that was started.
#[derive(Debug)]
pub(super) struct Backend {
    /// Before `child`: when both are dropped, all are killed while the number is still ours.
    group: Group,
    child: Child,
    pid: u32,
    ends: Signal,
    outputs: JoinSet<()>,
    readiness: Readiness,
    is_ready: bool,
    has_exited: bool,
}

/// What happens to it.
#[derive(Debug)]
pub(super) enum Event {
    /// The probe has succeeded.
    Ready,
    /// The process has ended; others that it started may be left.
    Exited(ExitStatus),
    /// Nothing is left that could write to its output.
    Gone,
}

impl Backend {
    /// Starts it.
    ///
    /// # Errors
    /// There is no such program, or the system refuses.
    pub(super) fn start<P, F>(
        endpoint: &Arc<str>,
        process: &Process,
        probe: Arc<P>,
    ) -> io::Result<Self>
    where
        P: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let ends = signal(SignalKind::child())?; // before it can end
        let mut child = command(process)?.spawn()?;
        let pid = child
            .id()
            .ok_or_else(|| io::Error::other("the process has no number"))?;
        let group = Group::led_by(pid)?;
        let source = |stream| Source {
            endpoint: Arc::clone(endpoint),
            pid,
            stream,
        };
        let mut outputs = JoinSet::new();
        if let Some(stdout) = child.stdout.take() {
            outputs.spawn(log(stdout, source("stdout")));
        }
        if let Some(stderr) = child.stderr.take() {
            outputs.spawn(log(stderr, source("stderr")));
        }
        Ok(Self {
            group,
            child,
            pid,
            ends,
            outputs,
            readiness: Readiness::start(probe),
            is_ready: false,
            has_exited: false,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Why the latest probe failed.
    pub(super) fn failure(&self) -> String {
        self.readiness.failure()
    }

    /// Asks it, and all that it started, to end.
    pub(super) fn terminate(&self) {
        self.readiness.stop();
        if let Err(error) = self.group.terminate() {
            tracing::warn!(pid = self.pid, %error, "the process cannot be asked to end");
        }
    }

    /// Ends it, and all that it started.
    pub(super) fn kill(&self) {
        if let Err(error) = self.group.kill() {
            tracing::warn!(pid = self.pid, %error, "the process cannot be killed");
        }
    }

    /// Does not wait any longer for output: somebody outside of the group holds it open.
    pub(super) fn abandon(&mut self) {
        self.outputs.abort_all();
    }

    /// Returns what happens next. After [`Event::Gone`] call [`finish`](Self::finish).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Event {
        while !(self.has_exited && self.outputs.is_empty()) {
            tokio::select! {
                () = self.readiness.ready(), if !self.is_ready && !self.has_exited => {
                    self.is_ready = true;
                    return Event::Ready;
                }
                status = exited(&self.group, &mut self.ends), if !self.has_exited => {
                    self.has_exited = true;
                    self.readiness.stop();
                    return Event::Exited(status);
                }
                _ended = self.outputs.join_next(), if !self.outputs.is_empty() => {}
            }
        }
        Event::Gone
    }

    /// Kills what is left without output, then lets the system forget it.
    pub(super) fn finish(mut self) {
        self.kill();
        match self.child.try_wait() {
            Ok(_status) => self.group.reaped(),
            Err(error) => tracing::warn!(pid = self.pid, %error, "the process is not reaped"),
        }
    }
}

/// Waits until the leader of the group has ended.
async fn exited(group: &Group, ends: &mut Signal) -> ExitStatus {
    loop {
        if let Some(status) = group.exited() {
            return status;
        }
        ends.recv().await; // `None` is never given: the runtime hears signals as long as it runs
    }
}

fn command(process: &Process) -> io::Result<Command> {
    let (program, arguments) = process
        .command
        .split_first()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no program is given"))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    for name in FOR_THE_GATEWAY {
        command.env_remove(name);
    }
    for (name, value) in &process.environment {
        command.env(name, value);
    }
    if let Some(directory) = &process.directory {
        command.current_dir(directory);
    }
    Ok(command)
}

/// What a service manager tells the gateway, and nobody else.
const FOR_THE_GATEWAY: [&str; 6] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
];
