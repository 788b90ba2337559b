//! Servers and clients of the "simple protocol" in Fast Binary Encoding, over TCP, plain or with TLS: requests and their
//! responses, rejections, notifications.
//!
//! In: frames of [`proto::fbe`](crate::proto::fbe) out of the bytes of a [`tcp`](crate::tcp) connection. Out: calls of a
//! [`Handler`], or what a [`Connection`] of a [`Client`] gives. Invariants: a message above the maximum, or one that is
//! none, ends its connection and nothing else; a request ends by an answer, its timeout or the connection's end, in
//! each case by itself; nothing that a peer sends unasked is kept beyond a bound.
//!
//! ```
//! use tidewire::fbe::{Client, Handler, MessageRef, Server, ServerConfig, Session, hash_of_text};
//!
//! struct Hashes;
//!
//! impl Handler for Hashes {
//!     fn received(&mut self, session: &mut Session<'_, '_>, message: MessageRef<'_>) {
//!         if let MessageRef::Request { id, message } = message {
//!             let (length, hash) = (message.len() as u32, hash_of_text(message));
//!             session.send(MessageRef::Response { id, length, hash }).ok();
//!         }
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = ServerConfig::new("127.0.0.1:0".parse()?);
//! let server = Server::new(config, |_session| Hashes).start()?;
//! let client = Client::to(server.local_addr()).connect().await?;
//! let response = client.request("test").await?;
//! assert_eq!((response.length, response.hash), (4, 0x0a7a_19fb));
//! # Ok(()) }
//! ```

mod config; // limits, where a server listens, logging
mod error; // what can go wrong, per operation
mod handler; // callbacks with borrowed messages
mod sender; // sending from anywhere
mod server; // listen, serve, start
mod requests; // what waits for its answer, and what came unasked
mod client; // connect
mod connection; // the client's end
mod reconnect; // a client that outlives its connections

pub use crate::{
    net::Backoff,
    proto::fbe::{
        DEFAULT_PORT, DecodeError, EncodeError, Frame, Id, Message, MessageRef, MessageType,
        PROTOCOL_VERSION, hash_of_text,
    },
    service::Observer,
    tcp::{ConnectError, StartError},
};
pub use client::Client;
pub use config::{Config, Direction, Log, ServerConfig};
pub use connection::{Connection, Response};
pub use error::{RequestError, SendError, SessionError};
pub use handler::{Handler, Next, Session};
pub use reconnect::{DownReason, Reconnect, Reconnecting};
pub use sender::Sender;
pub use server::{RunningServer, Server};

/// The guide's examples are run.
#[cfg(doctest)]
#[doc = include_str!("../../../../docs/guide/binary-protocol.md")]
struct Guide;
