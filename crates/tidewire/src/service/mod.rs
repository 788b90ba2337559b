//! Servers, whatever they speak: one way from an accepted socket to a [`Protocol`], and the same start, reload,
//! hand-over and drain for all of them.
//!
//! In: a [`Config`] and a protocol. Out: a [`RunningServer`]. Every connection goes the same way: it is accepted
//! and counted, a trusted balancer's header is read, TLS is done, and then the protocol opens it, all within one
//! deadline; what the protocol gives back runs as a task that the server counts and ends.
//!
//! A protocol that greets and then repeats every line; TLS, limits, reload and drain come with it:
//!
//! ```no_run
//! use std::{io, pin::Pin, sync::Arc};
//! use tidewire::{net::{Peer, Stream}, service::{Config, Protocol, Server, Service}};
//! use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
//!
//! struct Lines;
//!
//! impl Protocol for Lines {
//!     type Connection = Pin<Box<dyn Future<Output = ()> + Send>>;
//!
//!     async fn open(
//!         service: Arc<Service<Self>>,
//!         stream: Stream,
//!         _peer: Peer,
//!     ) -> io::Result<Option<Self::Connection>> {
//!         let mut stream = BufStream::new(stream);
//!         stream.write_all(b"hello\n").await?;
//!         stream.flush().await?;
//!         Ok(Some(Box::pin(async move {
//!             let mut line = String::new();
//!             while let Ok(1..) = stream.read_line(&mut line).await {
//!                 if service.drain().is_started()
//!                     || stream.write_all(line.as_bytes()).await.is_err()
//!                     || stream.flush().await.is_err()
//!                 {
//!                     break;
//!                 }
//!                 line.clear();
//!             }
//!         })))
//!     }
//! }
//!
//! # fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let running = Server::new(Config::new("127.0.0.1:0".parse()?), Lines).start()?;
//! println!("{}", running.address());
//! # Ok(()) }
//! ```

mod workers; // a runtime per core, or one pool
mod drain; // the wish to end
mod tasks; // tasks whose end is waited for
mod proxied; // servers behind balancers: who is really there
mod config; // where to listen, how many, how long
mod observer; // hooks of a server
mod registry; // its sessions
mod protocol; // what a server speaks
mod shared; // what all connections of a server share
mod accept; // from an accepted socket to an open connection
mod running; // a running server, seen from outside
mod server; // bind, start, reload

pub use crate::net::rate::Rate;
pub use crate::net::sampled::Sampled;
pub use config::{Config, Limits};
pub use drain::Drain;
#[cfg(feature = "http2")]
pub(crate) use drain::DrainGuard;
pub use observer::Observer;
pub use protocol::Protocol;
pub use proxied::{ProxyProtocol, TrustedProxies, client_ip};
pub(crate) use registry::{Entry, Registered, Registry};
pub use running::{RunningServer, ServerStats};
pub use server::{Server, StartError};
pub(crate) use shared::ProxiedClients;
pub use shared::Service;
#[cfg(feature = "udp")]
pub(crate) use tasks::Tasks;
pub use workers::Workers;
