//! The program behind an endpoint: started, watched, started again (M-31, promise H2).
//!
//! In: a [`Process`](crate::settings::Process), and a probe that tells whether it works. Out: its
//! [`Status`], for those who open connections and for those who look. All decisions are in
//! `supervision`, a pure state machine; `supervisor` is the task that owns the process. Told to operators in
//! `docs/gateway/processes.md`.

mod status; // what is told about it
mod supervisor; // the task, and its handle
mod supervision; // when to start, end and kill
mod backend; // one life of the process
mod group; // signals to all that it started
mod readiness; // does it work yet?
mod output; // what it writes
mod line; // harmless in a log
#[cfg(test)]
mod tests;

pub use self::{
    status::{State, Status},
    supervisor::{Supervised, Supervisor},
};
