//! Inbox style: a server and a client whose messages are polled, for programs that call in when
//! they have time.
//!
//! ```no_run
//! use tidewire::inbox::{Server, ServerConfig};
//!
//! let server = Server::new(ServerConfig::new(8081, 4));
//! server.start()?;
//! loop {
//!     for id in 1..=4 {
//!         while let Some(message) = server.read_message(id) {
//!             server.send_message(id, &message);
//!         }
//!     }
//!     // ... the rest of the program's loop
//! #   break;
//! }
//! server.stop();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A thin layer over [`crate::ws`]: connections are driven by the server's own threads (`server`),
//! sessions have small numbers (`slots`), and what arrives waits in a bounded inbox per session;
//! while it is full, that session is not read from. Nothing here sleeps or polls.
//!
//! Differences to the library this style is taken from, all on purpose: a client above the limit
//! gets HTTP 503 instead of a bare end of the TCP connection; the registry refuses other
//! parameters instead of ignoring them; mutual TLS is mutual; bytes that are no UTF-8 never leave
//! in a text message; the address to listen on can be chosen.

mod config; // addresses, limits, security
mod slots; // numbered sessions
mod serving; // a connection becomes a session
mod server; // start, stop, send, read
mod client; // connect, send, read
mod registry; // one server per kind and process

pub use client::{Client, ClientConfig, ConnectError};
pub use config::{InboxLimits, Security, ServerConfig};
pub use registry::{RegistryError, destroy, get_instance};
pub use server::{SendError, Server, StartError};

use bytes::Bytes;
use tidewire_proto::{Kind, Message, Text};

/// The message for these bytes; `None` when they are to be text and are no UTF-8.
fn outgoing(kind: Kind, bytes: &[u8]) -> Option<Message> {
    let bytes = Bytes::copy_from_slice(bytes);
    match kind {
        Kind::Text => Text::try_from(bytes).ok().map(Message::Text),
        Kind::Binary => Some(Message::Binary(bytes)),
    }
}
