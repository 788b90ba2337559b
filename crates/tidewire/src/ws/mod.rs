//! WebSocket servers and clients.
//!
//! [`Server`] accepts, shakes hands and runs an [`Endpoint`] per connection; [`Client`] connects;
//! both give a [`WebSocket`], the driver that joins a byte stream with the protocol core.

mod client;
mod endpoint; // what a server does with a connection
mod error; // what can go wrong, per operation
mod peer; // who is at the other end
mod server; // bind, route, run, drain
mod socket; // the driver: one connection
mod upgrade; // server: from a byte stream to an accepted request // connect

pub use client::{Client, connect};
pub use endpoint::{Endpoint, Request, Response};
pub use error::{ConnectError, RecvError, SendError, StartError};
pub use peer::Peer;
pub use server::{Fallback, Limits, RunningServer, Server, ServerConfig, ServerStats, Unrouted};
pub use socket::{Incoming, WebSocket};
pub use tidewire_proto::{
    CloseCode, CloseFrame, Config, Kind, Message, Prepared, ProtocolError, Role, Stats, Text,
    handshake::{HandshakeError, HeadLimits, Refusal, RequestError, Url, UrlError},
};
