//! The messaging server: composition root of toolkit, hub, engine and auth.
//!
//! In: [`config::Settings`]. Out: listeners, whose connections become sessions of the hub, and
//! the REST API. Invariant: only this crate knows both sockets and users; nothing here decides
//! what happens to a message.
//!
//! The way of a connection: `tidewire`'s listener → `access` (origin, host, credentials) →
//! `chat` (identity, session, the loop between socket and hub). Of a REST call: listener →
//! `http` → `rest`.
#![forbid(unsafe_code)]

pub mod config; // what the operator writes
mod shaping; // rates, blocks, the connect hook, reasons
mod access_log; // what was asked, and what became of it
mod access; // who may come in: origin, host
mod credentials; // requests as authentication sees them
mod cors; // what pages of other origins may read
mod health; // can this server do its work?
mod subprotocols; // which one is answered
mod tickets; // what stands for credentials in a page's WebSocket
mod chat; // a WebSocket becomes a session of the hub
mod delivery_threads; // messages to many sessions, beside the event loops
mod echo; // the echo endpoint
mod rest; // the REST API and its description
mod admin; // the admin page and its listener
mod web; // the web chat's files
mod telemetry; // counters as OpenMetrics text
#[cfg(unix)]
pub mod store; // a copy of the store, and a look, from outside
mod error; // why a server cannot start
mod listening; // sockets of the listeners
mod limits; // the settings as what bounds the parts
mod served; // what the API keeps for as long as the server lives
mod lifecycle; // start and graceful stop
mod reload; // another configuration for connections to come

pub use error::StartError;
pub use lifecycle::{Running, start};
pub use reload::Reloaded;
