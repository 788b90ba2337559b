//! The process of an endpoint, as operators are told of it.
//!
//! In: what the [reconciler](crate::process::reconcile) knows. Out: something to show. Which processes there are, and when they
//! are started again, is not decided here.

use serde::Serialize;
use utoipa::ToSchema;

/// How the process of an endpoint stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProcessState {
    /// What it does.
    pub phase: ProcessPhase,
    /// Its number, while it runs.
    pub pid: Option<u32>,
    /// Times it was started again.
    pub restarts: u64,
    /// How it ended last, for people.
    pub last_exit: Option<String>,
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProcessPhase {
    /// Started, not ready yet.
    Starting,
    /// Ready.
    Running,
    /// Told to end.
    Stopping,
    /// Ended; started again after a wait.
    Waiting,
    /// Ended too often in too short a time; started again after the longest wait.
    CrashLoop,
    /// Ended, and not started again.
    Stopped,
}
