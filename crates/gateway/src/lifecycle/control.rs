//! [`Operator`]: what may be asked of a running gateway, by whoever holds a handle: signals, the watch over
//! files, the admin API.
//!
//! In: requests from anywhere. Out: [`Requests`], one after the other, to the loop that owns the gateway.
//! Invariants: a stop is never lost, whatever waits; of reloads that wait no more than a few are kept.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use tidewire::Drain;
use tokio::sync::{mpsc, oneshot};

use crate::{
    admin::{Outcome, Owner},
    gateway::Gateway,
    lifecycle::running::Running,
    process::state::ProcessState,
};

/// Most reloads that wait.
const WAITING_MAX: usize = 8;

/// What came of a reload: what has changed, or why nothing has.
pub(crate) type ReloadResult = Result<String, String>;

/// Asks a gateway that is [operated](Running::operate) to do something; clones ask the same one.
#[derive(Clone)]
pub struct Operator {
    gateway: Weak<Gateway>,
    reloads: mpsc::Sender<Reload>,
    stop: Drain,
}

/// What was asked.
#[derive(Debug)]
pub struct Requests {
    reloads: mpsc::Receiver<Reload>,
    stop: Drain,
}

/// A wish to read the configuration again.
#[derive(Debug)]
pub(crate) struct Reload {
    answer: Option<oneshot::Sender<ReloadResult>>,
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator")
            .field("stop", &self.stop)
            .finish_non_exhaustive()
    }
}

impl Running {
    /// A handle, and what [`operate`](Self::operate) gets.
    pub fn operator(&self) -> (Operator, Requests) {
        operator(Arc::downgrade(&self.gateway))
    }
}

fn operator(gateway: Weak<Gateway>) -> (Operator, Requests) {
    let (sender, reloads) = mpsc::channel(WAITING_MAX);
    let stop = Drain::new();
    let operator = Operator {
        gateway,
        reloads: sender,
        stop: stop.clone(),
    };
    (operator, Requests { reloads, stop })
}

impl Operator {
    /// Asks for a reload and does not wait for it. What comes of it is logged.
    pub fn request_reload(&self) {
        if self.reloads.try_send(Reload { answer: None }).is_err() {
            // Those that wait will see the same files.
            tracing::debug!("a reload waits already, or the gateway is stopping");
        }
    }

    /// Reads the configuration again and takes it. Gives what has changed.
    ///
    /// # Errors
    /// What is wrong, for the operator; then nothing has changed.
    ///
    /// # Cancel safety
    /// Cancel safe: the reload goes on.
    pub async fn reload(&self) -> Result<String, String> {
        let (answer, outcome) = oneshot::channel();
        let reload = Reload {
            answer: Some(answer),
        };
        self.reloads.try_send(reload).map_err(|error| {
            match error {
                mpsc::error::TrySendError::Full(_) => "too many reloads wait already",
                mpsc::error::TrySendError::Closed(_) => STOPPING,
            }
            .to_owned()
        })?;
        outcome
            .await
            .unwrap_or_else(|_gone| Err(STOPPING.to_owned()))
    }

    /// Begins to stop the gateway: accepts nothing more, ends all sessions at the drain's pace. Returns
    /// at once; a second call changes nothing.
    pub fn stop(&self) {
        self.stop.start();
    }
}

/// The admin API asks through it.
impl Owner for Operator {
    fn reload(&self) -> Outcome {
        let operator = self.clone();
        Box::pin(async move { operator.reload().await })
    }

    fn stop(&self) {
        self.stop();
    }

    fn process(&self, endpoint: &str) -> Option<ProcessState> {
        self.gateway.upgrade()?.process(endpoint)
    }

    fn restart(&self, endpoint: &str) -> bool {
        let gateway = self.gateway.upgrade();
        gateway.is_some_and(|gateway| gateway.restart_process(endpoint))
    }
}

const STOPPING: &str = "the gateway is stopping";

impl Requests {
    /// The next wish for a reload; those that wait besides it are answered with it.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> Vec<Reload> {
        let mut reloads = Vec::new();
        if self.reloads.recv_many(&mut reloads, WAITING_MAX).await == 0 {
            // Nobody can ask any more.
            std::future::pending::<()>().await;
        }
        reloads
    }

    /// Started when the gateway is asked to stop.
    pub(crate) fn stop(&self) -> &Drain {
        &self.stop
    }
}

impl Reload {
    /// Tells who has asked.
    pub(crate) fn answer(self, outcome: &ReloadResult) {
        if let Some(answer) = self.answer {
            // Who has gone does not want to know.
            drop(answer.send(outcome.clone()));
        }
    }
}
