//! Sockets below every protocol: listening, dialling, counting, buffers, byte streams.
//!
//! In: addresses, and sockets of the system. Out: byte streams, counted where they were accepted. Knows no
//! protocol above TLS and the framing of HTTP/2; only [`relay`] looks where WebSocket frames end.

mod address; // IP addresses and Unix sockets
mod listener; // what is listened on, of either kind
#[cfg(unix)]
mod socket_file; // the file of a Unix socket: stale ones, permissions, its end
pub(crate) mod bind; // addresses to listeners
pub(crate) mod accept; // accept, within limits
pub(crate) mod admission; // how many connections, in all and per address
pub(crate) mod dial; // resolve, try all addresses
pub(crate) mod proxy; // the way through HTTP CONNECT and SOCKS5
pub(crate) mod peek; // read a preamble and not one byte more
mod resolver; // names of hosts and services
mod backoff; // how long to wait before connecting again
mod options; // of the system, for a socket
mod peer; // who is at the other end
pub(crate) mod sampled; // log lines that strangers cause
pub(crate) mod rate; // how often something may happen
pub(crate) mod guests; // connections that make room for others
pub(crate) mod stream; // plain, TLS or HTTP/2, with bytes put back in front
#[cfg(feature = "http2")]
pub(crate) mod http2; // a stream of an HTTP/2 connection as bytes
#[cfg(feature = "http2")]
pub(crate) mod http2_frames; // floods of frames that carry nothing
pub(crate) mod timer; // one for all deadlines of a connection
pub(crate) mod buffer; // pooled read buffers: an idle connection owns none
pub mod relay; // bytes between two streams

pub use crate::socket::{Socket, UnixPeer};
pub use address::{Address, AddressError, UnixAddress};
pub use admission::{ConnectionCounts, Exceeded, TurnedAway, limited_as};
pub use backoff::Backoff;
pub use bind::UnixOptions;
#[cfg(feature = "http2")]
pub use http2::Http2Stream;
pub use listener::Listener;
pub use options::SocketOptions;
pub use peer::Peer;
pub use proxy::{Proxy, ProxyError};
pub use resolver::Resolver;
pub use stream::{Rewind, Stream};
