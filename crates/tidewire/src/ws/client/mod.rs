//! The client: connect to `ws://` and `wss://`.
//!
//! In: a URL and [`Client`]'s settings. Out: a [`WebSocket`](super::WebSocket), or a bare [`Tunnel`] behind the
//! handshake. Each file uses only those before it.

mod other_protocol; // what answers instead of HTTP or TLS
mod answer; // what the server says
mod settings; // what to connect to, and how
mod transport; // from the address to a byte stream
mod upgrade; // the opening handshake over HTTP/1.1
mod tunnel; // open for somebody else
#[cfg(feature = "http2")]
mod http2; // many WebSockets on one connection
mod connect; // from settings to an open WebSocket

pub use crate::net::Proxy;
pub use answer::AnswerLimits;
pub use connect::{connect, connect_with};
#[cfg(feature = "http2")]
pub use http2::Http2Connection;
pub use other_protocol::OtherProtocol;
pub use settings::Client;
pub use tunnel::{HandshakeAnswer, Tunnel, TunnelAnswer};
