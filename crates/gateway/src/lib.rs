//! The gateway: one address in front of many named WebSocket endpoints, self-healing.
//!
//! In: [`Settings`](settings::Settings). Out: a [`Running`] gateway. Knows no users and no messages'
//! meaning: no messaging code is in it.
//!
//! The way of a connection, room by room: `lifecycle` (listeners) → `entrance` (which dialect,
//! which endpoint, may it?) → `reach` (open an upstream of the endpoint's [`upstream::Pool`]) →
//! `pinned` (bytes or messages of one socket), or the dialects that carry many.
#![forbid(unsafe_code)]

pub mod config; // files, environment, flags → settings
pub mod settings; // what the operator wants, checked
mod lifecycle; // start, reload, drain, stop
mod start_error; // why it cannot
mod operate; // the loop that owns a running gateway
mod event; // what its owner is told
mod control; // what may be asked of it
mod watch; // files that have changed
#[cfg_attr(not(unix), path = "handover_elsewhere.rs")]
mod handover; // listeners from process to process
mod bound; // sockets that listen
mod listeners; // the addresses clients connect to
mod reload; // what other settings mean for what is open
mod pace; // ends many, not all at once
mod gateway; // what all connections share
mod entrance; // a request: which dialect, which endpoint?
mod refuse; // or none
mod visitor; // who asks
mod request; // what is asked
mod table; // names and routes → endpoints
mod target; // a live endpoint
mod keeper; // its process, as it is wanted
mod process_state; // how it stands
mod admission; // origin, credentials
mod places; // numbers
mod pinned; // a plain client, connected through
mod forward; // the request as the upstream gets it
mod classic; // a client that speaks SMHandshake
mod mux; // a client with many logical sockets
mod ready; // which of them have something to do
mod intake; // what a client may send
mod receipts; // what it proves to have received
mod lane; // from one task to another
mod link; // a logical socket's backend, which may change
mod reach; // open an upstream, or another one
pub mod upstream; // which upstream a connection gets, and which are usable
#[cfg(unix)]
pub mod process; // the program behind an endpoint, kept running
mod session; // what runs
mod record; // what is known of it, and how it is asked to end
mod access_log; // what has run
mod admin; // what the operator sees and does
mod random; // spread over time
mod clock; // the time

pub use admin::{NobodyOwns, Outcome, Owner};
pub use control::{Operator, Requests};
pub use event::{Event, Observer};
pub use handover::HandoverError;
pub use lifecycle::{Running, start, start_or_take_over};
pub use operate::Load;
pub use process_state::{ProcessPhase, ProcessState};
pub use reload::{Changed, Reloaded};
pub use start_error::StartError;
