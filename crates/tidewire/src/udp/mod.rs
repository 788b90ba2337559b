//! UDP: servers and clients, to one peer, to any, or to a multicast group, over IPv4 and IPv6.
//!
//! ```
//! use tidewire::udp::{Client, Server, ServerConfig, Socket};
//!
//! async fn echo(mut socket: Socket) {
//!     while let Ok(Some(datagram)) = socket.recv().await {
//!         socket.reply(&datagram.origin, &datagram.payload).await.ok();
//!     }
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::new(ServerConfig::new("127.0.0.1:0".parse()?), echo).start()?;
//!
//! let mut client = Client::to(server.local_addr()).connect().await?;
//! client.send(b"hello").await?;
//! assert_eq!(&client.recv().await?.unwrap().payload[..], b"hello");
//! # server.drain(std::time::Duration::from_secs(1)).await;
//! # Ok(()) }
//! # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
//! ```
//!
//! In: datagrams. Out: the same, in batches: one call of the system reads many (`recvmmsg`, GRO), and what is answered to
//! them leaves in as few calls as possible (GSO, `sendmmsg`); elsewhere than on Linux in a call each.
//!
//! UDP promises nothing: datagrams are lost when a receiver is slow, come twice, or in another order. Nobody is who the
//! address says: a server that answers with more bytes than it was asked with can be used to flood others.

mod config; // limits and options
mod group; // multicast groups and interfaces
mod datagram; // what comes
mod error; // one per operation
mod traffic; // counters
mod bind; // from addresses and options to a socket
mod membership; // groups and sources
mod core; // what every socket has
mod outgoing; // what waits to be sent
mod buffer; // what a thread reads into
mod system; // the system's calls, platform by platform
mod turn; // a poll, at whose end everything leaves together
mod shared; // a socket, as all who use it share it
mod sender; // from other tasks and threads
mod handler; // calls that borrow each datagram
mod socket; // datagrams one by one
mod server; // bind, start, drain
mod client; // a peer, or a group

#[cfg(feature = "blocking")]
pub(crate) use self::{core::Core, shared::is_about_earlier};
pub use crate::service::Observer;
pub use client::Client;
pub use config::{BATCH_MAX, Config, DATAGRAM_BYTES_MAX, MulticastOptions, ServerConfig};
pub use datagram::{Datagram, DatagramRef, Origin};
pub use error::{ConnectError, GroupError, RecvError, SendError, SocketError, StartError};
pub use group::{Group, Interface};
pub use handler::{Handler, Session};
pub use sender::{Batch, Sender};
pub use server::{RunningServer, Server};
pub use socket::{Event, Received, Socket};
pub use traffic::Traffic;

/// The guide's examples are run.
#[cfg(all(doctest, feature = "blocking"))]
#[doc = include_str!("../../../../docs/guide/udp.md")]
struct Guide;
