//! The gateway: one address in front of many named WebSocket endpoints, self-healing.
//!
//! In: [`Settings`](settings::Settings). Out: a [`Running`] gateway. Knows no users and no messages'
//! meaning: no messaging code is in it.
//!
//! The way of a connection: `lifecycle` (listeners) → `client` (which dialect, which endpoint, may it?) →
//! `routing` (a live endpoint) → `backend` (open an upstream of the endpoint's [`upstream::Pool`]); back and forth
//! then between `client` and `backend`. A module uses those above it in the list below, and none below.
#![forbid(unsafe_code)]

pub mod settings; // what the operator wants, checked
pub mod config; // files, environment, flags → settings
mod error; // why a gateway cannot start
mod ambient; // time and randomness
mod record; // what is known of a session, and how it is asked to end
pub mod upstream; // which upstream a connection gets, and which are usable
pub mod process; // the program behind an endpoint, kept running
mod routing; // names and requests → endpoints
mod gateway; // what all connections share
mod backend; // a logical socket's backend, which may change
mod client; // from a request to a socket, or many
mod admin; // what the operator sees and does
mod lifecycle; // start, reload, hand over, drain, stop

pub use admin::{NobodyOwns, Outcome, Owner};
pub use error::StartError;
pub use lifecycle::{
    Changed, Event, Load, Observer, Operator, Reloaded, Requests, Running, start,
    start_or_take_over,
};
pub use process::state::{ProcessPhase, ProcessState};
pub use tidewire_handover::HandoverError;
