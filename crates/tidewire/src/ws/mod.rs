//! WebSocket servers and clients.
//!
//! [`Server`] accepts, shakes hands and runs an [`Endpoint`] per connection; [`Client`] connects;
//! both give a [`WebSocket`], the driver that joins a byte stream with the protocol core.

mod server; // bind, route, run, drain
mod upgrade; // server: from a byte stream to an accepted request
mod endpoint; // what a server does with a connection
mod client; // connect
mod socket; // the driver: one connection
mod peer; // who is at the other end
mod error; // what can go wrong, per operation

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
