//! Keeps the process of an endpoint as its settings want it.
//!
//! In: what is wanted. Out: a supervised process, which is stopped before
//! another takes its place. Invariant: when the reconciler has ended, nothing of the process is left.

use std::sync::Arc;

use parking_lot::Mutex;

use tokio::sync::watch;

use crate::{ambient::now, process::state::ProcessState, settings::Endpoint, upstream::Pool};

#[cfg(unix)]
use crate::process::{State, Supervised, Supervisor, state::ProcessPhase};

/// What is wanted of an endpoint's process.
#[derive(Clone, Debug, Default)]
pub(crate) enum Wanted {
    /// Not to run yet.
    #[default]
    NotYet,
    /// To run, if the endpoint has one.
    Running(Arc<Endpoint>),
    /// To be stopped for good.
    Stopped,
}

/// The process that runs, for those who look at it.
#[cfg(unix)]
#[derive(Debug, Default)]
pub(crate) struct Current(Mutex<Option<Arc<Supervised>>>);

/// There are no processes here.
#[cfg(not(unix))]
#[derive(Debug, Default)]
pub(crate) struct Current(Mutex<()>);

/// Runs until nobody can want anything any more.
#[cfg(unix)]
pub(crate) async fn reconcile(
    pool: Pool,
    mut wanted: watch::Receiver<Wanted>,
    current: Arc<Current>,
) {
    loop {
        let now = wanted.borrow_and_update().clone();
        let with_process = match now {
            Wanted::Stopped => return,
            Wanted::NotYet => None,
            Wanted::Running(endpoint) => endpoint.process.clone().map(|it| (it, endpoint)),
        };
        let Some((process, endpoint)) = with_process else {
            if wanted.changed().await.is_err() {
                return;
            }
            continue;
        };
        let (told, first) = (wanted.clone(), Arc::clone(&endpoint));
        let probe = move || {
            // Where it is expected now: a reload may have changed that.
            let now = match &*told.borrow() {
                Wanted::Running(now) => Arc::clone(now),
                Wanted::NotYet | Wanted::Stopped => Arc::clone(&first),
            };
            crate::upstream::answers(now)
        };
        let supervised = Arc::new(Supervisor::start(&endpoint.name, process, probe));
        current.set(Some(Arc::clone(&supervised)));
        let go_on = follow(&pool, &mut wanted, &endpoint, &supervised).await;
        supervised.stop().await;
        current.set(None);
        if !go_on {
            return;
        }
    }
}

/// Until another process is wanted. Returns whether anything can be.
#[cfg(unix)]
async fn follow(
    pool: &Pool,
    wanted: &mut watch::Receiver<Wanted>,
    endpoint: &Endpoint,
    supervised: &Supervised,
) -> bool {
    let mut status = supervised.watch();
    loop {
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return false;
                }
                let same = match &*wanted.borrow_and_update() {
                    Wanted::Running(now) => now.process == endpoint.process,
                    Wanted::NotYet | Wanted::Stopped => false,
                };
                if !same {
                    return true;
                }
            }
            Ok(()) = status.changed() => {
                if matches!(status.borrow_and_update().state, State::Running { .. }) {
                    pool.came_back(now());
                }
            }
        }
    }
}

#[cfg(unix)]
impl Current {
    fn set(&self, process: Option<Arc<Supervised>>) {
        *self.0.lock() = process;
    }

    fn get(&self) -> Option<Arc<Supervised>> {
        self.0.lock().clone()
    }

    /// How it stands, while there is one.
    pub(crate) fn state(&self) -> Option<ProcessState> {
        let status = self.get()?.status();
        let (phase, pid) = match status.state {
            State::Starting { pid } => (ProcessPhase::Starting, pid),
            State::Running { pid, since: _ } => (ProcessPhase::Running, Some(pid)),
            State::Waiting { until: _ } => (ProcessPhase::Waiting, None),
            State::CrashLoop { until: _ } => (ProcessPhase::CrashLoop, None),
            State::Stopping => (ProcessPhase::Stopping, None),
            State::Stopped => (ProcessPhase::Stopped, None),
        };
        Some(ProcessState {
            phase,
            pid,
            restarts: status.restarts,
            last_exit: status.last_exit.map(|exit| exit.as_ref().to_owned()),
        })
    }

    /// Begins to restart it, if there is one.
    pub(crate) fn restart(&self) -> bool {
        let process = self.get();
        if let Some(process) = &process {
            process.restart();
        }
        process.is_some()
    }
}

#[cfg(not(unix))]
impl Current {
    /// There is none.
    pub(crate) fn state(&self) -> Option<ProcessState> {
        None
    }

    /// There is none.
    pub(crate) fn restart(&self) -> bool {
        false
    }
}

/// Processes are not supported on this system.
#[cfg(not(unix))]
pub(crate) async fn reconcile(
    _pool: Pool,
    _wanted: watch::Receiver<Wanted>,
    _current: Arc<Current>,
) {
}
