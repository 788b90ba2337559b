//! A client of a Tidewire gateway: many named WebSockets over one (`tidewire.mux.v1`).
//!
//! ```no_run
//! use tidewire::mux;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let gateway = mux::connect("wss://gateway.example.org/").await?;
//! let mut chat = gateway.endpoint("chat").query("room=1").await?;
//! let mut clock = gateway.endpoint("clock").await?; // another socket, the same connection
//! chat.send("hello").await?;
//! while let Some(message) = chat.recv().await? {
//!     println!("{message:?} at {:?}", clock.recv().await?);
//! }
//! # Ok(()) }
//! ```
//!
//! One task drives the WebSocket (`driver`): it gives what comes to the streams (`stream`) and sends
//! one frame of each in turn. Invariants: a stream whose reader has stopped holds no more than the
//! credit it gave and delays no other; a stream without credit waits alone; every queue is bounded; when
//! the connection ends, nobody waits in vain.
//!
//! **Reconnecting** is the caller's: what the backends of lost sockets knew is lost with them, and only
//! the caller knows how to go on. [`connect`] again and open the endpoints again, when
//! [`Gateway::closed`] says why, or as soon as [`Gateway::going_away`] returns.

mod connection; // the gateway, connected
mod endpoint; // what to open, and how
mod socket; // a logical socket
mod driver; // the task behind a connection
mod streams; // all streams of a connection, and whose turn it is
mod stream; // one stream: credit, what waits in both directions
mod error; // what can go wrong, per operation

pub use self::{
    connection::{Gateway, connect, connect_with},
    endpoint::Endpoint,
    error::{ConnectError, Lost, OpenError, RecvError, SendError, Violation},
    socket::{Event, LogicalSender, LogicalSocket},
};
