//! [`Supervisor`]: the task that owns a process; [`Supervised`]: its handle.
//!
//! In: settings, a probe, and the wishes of the operator. Out: a [`Status`] that can be watched, and log
//! lines. Decides nothing: it tells the machine what happens, and does what the machine wants.
//! Invariant: dropping the handle kills the process.

use std::{fmt, process::ExitStatus, sync::Arc, time::Instant as StdInstant};

use tokio::{sync::watch, task::JoinHandle, time::sleep_until};

use super::{
    backend::{Backend, Event},
    status::{State, Status},
    supervision::{Action, Phase, Supervision},
};
use crate::{
    ambient::{now, random},
    settings::Process,
};

/// A process that is kept running. Killed at once when this is dropped; call [`stop`](Self::stop) first.
#[derive(Debug)]
pub struct Supervised {
    wishes: watch::Sender<Orders>,
    status: watch::Receiver<Status>,
    task: JoinHandle<()>,
}

/// What the operator wants.
#[derive(Clone, Copy, Debug, Default)]
struct Orders {
    restarts: u64,
    stop: bool,
}

impl Supervised {
    /// How it is.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Returns what it does.
    pub fn state(&self) -> State {
        self.status.borrow().state.clone()
    }

    /// Follows how it is.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Asks it to end, then starts it again at once. Also ends a wait, and forgets a crash loop.
    pub fn restart(&self) {
        self.wishes
            .send_modify(|wishes| wishes.restarts = wishes.restarts.wrapping_add(1));
    }

    /// Asks it to end, kills it if it does not within [`stop_timeout`](Process::stop_timeout), and waits
    /// until nothing is left of it. Can be called again.
    ///
    /// # Cancel safety
    /// Cancel safe: the stop goes on.
    pub async fn stop(&self) {
        self.wishes.send_modify(|wishes| wishes.stop = true);
        let mut status = self.status.clone();
        // An error means that the task is gone, and with it the process.
        drop(status.wait_for(|it| it.state == State::Stopped).await);
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Keeps a process running.
pub struct Supervisor<P> {
    endpoint: Arc<str>,
    process: Arc<Process>,
    probe: Arc<P>,
    machine: Supervision,
    backend: Option<Backend>,
    starts: u64,
    last_exit: Option<Arc<str>>,
    /// Why the process that runs is ended.
    complaint: Option<String>,
    wishes: watch::Receiver<Orders>,
    granted: Orders,
    status: watch::Sender<Status>,
}

impl<P> fmt::Debug for Supervisor<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("endpoint", &self.endpoint)
            .field("phase", &self.machine.phase())
            .finish_non_exhaustive()
    }
}

impl<P, F> Supervisor<P>
where
    P: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    /// Starts the process of an endpoint, and keeps it running.
    ///
    /// `probe` tells whether it works, as by a WebSocket handshake with its address; an error says why not, on
    /// one line. It is called after every start, again and again until it succeeds; each call has 5 s.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time.
    pub fn start(endpoint: &str, process: Process, probe: P) -> Supervised {
        let process = Arc::new(process);
        let (wishes, wishes_receiver) = watch::channel(Orders::default());
        let (status_sender, status) = watch::channel(Status::new());
        let supervisor = Self {
            endpoint: endpoint.into(),
            machine: Supervision::new(Arc::clone(&process)),
            process,
            probe: Arc::new(probe),
            backend: None,
            starts: 0,
            last_exit: None,
            complaint: None,
            wishes: wishes_receiver,
            granted: Orders::default(),
            status: status_sender,
        };
        let task = tokio::spawn(supervisor.run());
        Supervised {
            wishes,
            status,
            task,
        }
    }

    async fn run(mut self) {
        loop {
            self.grant();
            self.obey();
            self.publish();
            if self.machine.phase() == Phase::Stopped {
                return;
            }
            let due = self.machine.poll_timeout();
            tokio::select! {
                wish = self.wishes.changed() => if wish.is_err() { return },
                () = until(due) => self.machine.handle_timeout(now()),
                event = next(&mut self.backend) => self.handle(&event),
            }
        }
    }

    /// Tells the machine what the operator wants.
    fn grant(&mut self) {
        let wishes = *self.wishes.borrow_and_update();
        if wishes.restarts != self.granted.restarts {
            self.machine.restart(now());
        }
        if wishes.stop && !self.granted.stop {
            self.machine.stop(now());
        }
        self.granted = wishes;
    }

    /// Does what the machine wants.
    fn obey(&mut self) {
        while let Some(action) = self.machine.poll_action() {
            match (action, &mut self.backend) {
                (Action::Start, _) => self.start_backend(),
                (Action::Terminate, Some(backend)) => backend.terminate(),
                (Action::Kill, Some(backend)) => {
                    let (endpoint, pid) = (&self.endpoint, backend.pid());
                    tracing::warn!(%endpoint, pid, "the process has not ended in time: it is killed");
                    backend.kill();
                }
                (Action::Abandon, Some(backend)) => backend.abandon(),
                (Action::Terminate | Action::Kill | Action::Abandon, None) => {}
                (Action::ReportNotReady, _) => self.report_not_ready(),
                (Action::ReportCrashLoop, _) => self.report_crash_loop(),
                (Action::ReportRecovered, _) => {
                    tracing::info!(endpoint = %self.endpoint, "the crash loop is over");
                }
            }
        }
    }

    fn start_backend(&mut self) {
        let endpoint = &self.endpoint;
        self.starts = self.starts.saturating_add(1);
        match Backend::start(endpoint, &self.process, Arc::clone(&self.probe)) {
            Ok(backend) => {
                tracing::info!(%endpoint, pid = backend.pid(), "the process has started");
                self.backend = Some(backend);
                self.machine.handle_started(now());
            }
            Err(error) => {
                tracing::warn!(%endpoint, %error, "the process cannot be started");
                self.last_exit = Some(format!("cannot be started: {error}").into());
                self.machine.handle_start_failed(now(), random());
            }
        }
    }

    fn handle(&mut self, event: &Event) {
        let endpoint = &self.endpoint;
        let pid = self.pid();
        match event {
            Event::Ready => {
                tracing::info!(%endpoint, pid, "the process is ready");
                self.machine.handle_ready(now());
            }
            Event::Exited(status) => self.handle_exited(*status),
            Event::Gone => {
                if let Some(backend) = self.backend.take() {
                    backend.finish();
                }
                self.machine.handle_gone(now(), random());
            }
        }
    }

    fn handle_exited(&mut self, status: ExitStatus) {
        let (endpoint, pid) = (&self.endpoint, self.pid());
        let was_asked = self.machine.phase() == Phase::Ending;
        if was_asked {
            tracing::info!(%endpoint, pid, %status, "the process has ended, as it was asked to");
        } else {
            tracing::warn!(%endpoint, pid, %status, "the process has ended");
        }
        let exit = match self.complaint.take() {
            Some(complaint) => format!("{complaint}; {status}"),
            None => status.to_string(),
        };
        self.last_exit = Some(exit.into());
        self.machine.handle_exited(now());
    }

    fn report_not_ready(&mut self) {
        let (endpoint, pid) = (&self.endpoint, self.pid());
        let within = self.process.ready_timeout;
        let why = self.backend.as_ref().map(Backend::failure);
        let why = why.unwrap_or_default();
        tracing::warn!(%endpoint, pid, ?within, why, "the process is not ready in time");
        let complaint = format!("not ready within {within:?}: {why}");
        self.last_exit = Some(complaint.clone().into());
        self.complaint = Some(complaint);
    }

    fn report_crash_loop(&self) {
        let Process {
            crash_loop: ends,
            crash_window: within,
            backoff_max: wait,
            ..
        } = &*self.process;
        tracing::error!(
            endpoint = %self.endpoint,
            ends,
            ?within,
            ?wait,
            last_exit = self.last_exit.as_deref(),
            "crash loop: the process ends again and again; each restart waits long from now on"
        );
    }

    fn publish(&self) {
        let state = match self.machine.phase() {
            Phase::Starting => State::Starting { pid: self.pid() },
            Phase::Ready { since } => State::Running {
                pid: self.pid().unwrap_or_default(),
                since,
            },
            Phase::Ending => State::Stopping,
            Phase::Waiting { until } if self.machine.in_crash_loop() => State::CrashLoop { until },
            Phase::Waiting { until } => State::Waiting { until },
            Phase::Stopped => State::Stopped,
        };
        let status = Status {
            state,
            crash_loop: self.machine.in_crash_loop(),
            restarts: self.starts.saturating_sub(1),
            last_exit: self.last_exit.clone(),
        };
        self.status.send_if_modified(|current| {
            let changed = *current != status;
            if changed {
                *current = status;
            }
            changed
        });
    }

    fn pid(&self) -> Option<u32> {
        self.backend.as_ref().map(Backend::pid)
    }
}

/// Returns what happens next to a process, if there is one.
async fn next(backend: &mut Option<Backend>) -> Event {
    match backend {
        Some(backend) => backend.next().await,
        None => std::future::pending().await,
    }
}

async fn until(due: Option<StdInstant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
