//! TCP servers and clients, plain and with TLS: bytes, as they come.
//!
//! [`Server`] accepts and runs an async function of a [`Connection`], or a [`Handler`], for each; [`Client`] connects
//! and gives the same [`Connection`]. TLS is an option of either
//! ([`ServerConfig::tls`], [`Client::tls`]) and changes nothing else.
//!
//! ```
//! use std::time::Duration;
//! use tidewire::tcp::{Client, Connection, Server, ServerConfig};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = ServerConfig::new("127.0.0.1:0".parse()?);
//! let server = Server::new(config, |mut connection: Connection| async move {
//!     while let Ok(Some(bytes)) = connection.recv().await {
//!         if connection.send(bytes).await.is_err() {
//!             break;
//!         }
//!     }
//! })
//! .start()?;
//!
//! let mut connection = Client::to(server.local_addr()).connect().await?;
//! connection.send("hello").await?;
//! assert_eq!(connection.recv().await?.as_deref(), Some(&b"hello"[..]));
//! connection.close().await?;
//! server.drain(Duration::from_secs(5)).await;
//! # Ok(()) }
//! ```
//!
//! **Who writes.** The task that owns a connection owns its stream. What others send ([`Sender`], broadcasts) waits in
//! a bounded queue, wakes that task once, and leaves with what it has itself in one vectored write. So a connection at
//! work takes no lock.

mod config; // limits and deadlines, where a server listens
mod error; // what can go wrong, per operation
mod queue; // bytes on their way out
mod shared; // what several places of a program share of a connection
mod io; // a connection, as its task drives it
mod sender; // sending from anywhere
mod handler; // callbacks with borrowed bytes
mod connection; // the async function's end
mod client; // connect
mod reconnect; // a client that outlives its connections
mod protocol; // bytes as the protocol of a service
mod running; // a running server, seen from outside
mod server; // listen, serve, start

pub use crate::{
    net::Backoff,
    service::{Observer, ServerStats, StartError},
};
pub use client::Client;
pub use config::{BroadcastConfig, Config, ServerConfig, TooSlow};
pub use connection::Connection;
pub use error::{ConnectError, RecvError, SendError};
pub use handler::{Handler, Session};
pub use reconnect::{DownReason, Reconnect, Reconnecting};
pub use running::{RunningServer, Traffic};
pub use sender::{Broadcaster, Sender};
pub use server::Server;
