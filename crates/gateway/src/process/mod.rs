//! The program behind an endpoint: started, watched, started again (M-31).
//!
//! In: a [`Process`](crate::settings::Process), and a probe that tells whether it works. Out: its
//! [`Status`], for those who open connections and for those who look. All decisions are in
//! `supervision`, a pure state machine; `supervisor` is the task that owns the process. Told to operators in
//! `docs/gateway/processes.md`.

pub(crate) mod reconcile; // as it is wanted
pub(crate) mod state; // as operators see it
#[cfg(unix)]
mod status; // what is told about it
#[cfg(unix)]
mod supervisor; // the task, and its handle
#[cfg(unix)]
mod supervision; // when to start, end and kill
#[cfg(unix)]
mod backend; // one life of the process
#[cfg(unix)]
mod group; // signals to all that it started
#[cfg(unix)]
mod readiness; // does it work yet?
#[cfg(unix)]
mod output; // what it writes
#[cfg(unix)]
mod line; // harmless in a log
#[cfg(test)]
#[cfg(unix)]
mod tests;

#[cfg(unix)]
pub use self::{
    status::{State, Status},
    supervisor::{Supervised, Supervisor},
};
