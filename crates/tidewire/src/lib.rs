//! WebSocket servers and clients on tokio and rustls: strict, bounded, one write per read
//! batch.
//!
//! ```no_run
//! use tidewire::ws::{Server, ServerConfig, WebSocket};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::new(ServerConfig::new("127.0.0.1:9001".parse()?))
//!     .route("/echo", |mut socket: WebSocket| async move {
//!         while let Ok(Some(message)) = socket.recv().await {
//!             if socket.send(message).await.is_err() {
//!                 break;
//!             }
//!         }
//!     })
//!     .start()?;
//! println!("ws://{}/echo", server.local_addr());
//! # Ok(()) }
//! ```
//!
//! The way of a connection: [`service`] accepts it from a listener of [`net`], counts it and does [`tls`], the same
//! for every protocol; [`http`] reads its first request head; an upgrade goes to [`ws`] (the driver around
//! `tidewire_proto`'s state machine), any other request to an HTTP server, with the bytes already read put
//! back in front.
//!
//! [`tcp`] is the same without HTTP and WebSocket: bytes, as they come. [`runtime`] is for programs that have no tokio
//! runtime, and for servers and clients that share threads.
//!
//! Configurations have public fields and, for each, a method of its name that sets it by value:
//! `ws::Config::default().message_bytes_max(1 << 20)`.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `tls` | on | wss and mutual TLS through rustls |
//! | `deflate` | on | compression of messages (RFC 7692); off per connection until a [`ws::Config`] asks for it |
//! | `idn` | on | addresses with host names outside of ASCII (IDNA); off, they are refused in words |
//! | `blocking` | on | [`blocking`] and [`inbox`]: no further crates |
//! | `futures` | off | `ws::MessageStream`: a socket as `Stream` and `Sink` of the futures crates |
//! | `http` | off | [`http`]: servers of hooks or `tower` services, alone or beside WebSockets, a cache of files, a client |
//! | `http2` | off | WebSockets over HTTP/2 (RFC 8441), servers and clients; with `http` also requests |
//! | `udp` | off | [`udp`]: UDP servers and clients, multicast, many datagrams per system call |
//! | `self-signed` | off | servers that make a certificate from a bare key: encrypted, unauthenticated |
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod memory; // what all connections may hold together
pub mod runtime; // threads that host servers and clients
pub mod timer; // waits that can be cancelled
pub mod service; // servers of any protocol: accept, limits, TLS, workers, drain
pub mod net; // sockets, streams, buffers, bytes between two streams
#[cfg(feature = "tls")]
pub mod tls; // certificates, mutual TLS
mod socket; // a connection of the system: TCP or a Unix socket
mod sync; // locks without poisoning
mod queue; // bounded, between threads and tasks
mod broadcast; // encoded once, sent to many
mod entropy; // masking keys and nonces from the kernel's CSPRNG
pub mod tcp; // bytes: servers and clients
pub mod fbe; // the simple protocol: requests and notifications over tcp
pub mod http; // request heads, and requests that are no upgrade
pub mod ws; // servers, clients and the driver
#[cfg(feature = "udp")]
pub mod udp; // datagrams, one by one or to groups
pub mod mux; // a client of a gateway: many named sockets over one
#[cfg(feature = "blocking")]
pub mod blocking; // a client for threads
#[cfg(feature = "blocking")]
pub mod inbox; // servers and clients whose messages are polled

mod setters; // configurations, changed by value

pub use service::Drain;
pub use tidewire_proto as proto;
pub use tidewire_proto::ErrorChain;

/// The examples of the guides run as tests.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../../../docs/guide/tcp.md")]
    struct Tcp;
    #[doc = include_str!("../../../docs/guide/websocket.md")]
    struct WebSocket;
    #[cfg(feature = "tls")]
    #[doc = include_str!("../../../docs/guide/tls.md")]
    struct Tls;
    #[doc = include_str!("../../../docs/guide/runtime.md")]
    struct Runtime;
    #[doc = include_str!("../../../docs/migration-from-cppserver.md")]
    struct Migration;
}
