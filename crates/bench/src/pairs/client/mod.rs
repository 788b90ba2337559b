//! The client of each pair: connects, measures, disconnects, reports.
//!
//! Threads have a runtime and a share of the clients each. A client counts by itself (`meter`); the thread that runs
//! the whole waits for what clients tell, reads their counts and says when to stop.

mod job; // what the clients of a run share
mod run; // from the first connection to the report
mod stream; // TCP and TLS, and what is spoken over them
mod proto; // the FBE simple protocol's requests and responses
mod trace; // HTTP's requests and answers
mod udp; // datagrams, and groups of receivers
mod ws; // WebSocket and WebSocket over TLS

pub use run::{RunError, run};
