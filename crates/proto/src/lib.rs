//! Sans-I/O WebSocket protocol core: RFC 6455 for both roles, without sockets, clock,
//! randomness or runtime.
//!
//! Everything is an argument: bytes that arrived, the time, the source of mask keys. Everything
//! is a result: events, bytes to send, the next deadline. Equal inputs give equal outputs.
//! Peer bytes never panic and never make the core allocate past the [`Config`]'s limits.
//!
//! A driver's loop, in full:
//!
//! ```
//! use tidewire_proto::{Config, Connection, Event, Message};
//! # use std::{io::IoSlice, sync::Arc, time::Instant};
//! # fn read(_: &mut [u8]) -> usize { 0 }
//! # fn write(parts: &[IoSlice<'_>]) -> usize { parts.iter().map(|p| p.len()).sum() }
//! # let now = Instant::now();
//! let mut connection = Connection::server(Arc::new(Config::default()), now);
//! let mut buffer = vec![0; 16 * 1024];
//! let filled = read(&mut buffer);
//! connection.handle_activity(now);
//! let mut input = &mut buffer[..filled];
//! while !input.is_empty() {
//!     let (used, event) = connection.receive(input);
//!     match event {
//!         Ok(Some(Event::Message(message))) => {
//!             let echo = message.to_message();
//!             connection.send(&echo).ok(); // refused once the connection is closing
//!         }
//!         Ok(_) => {}      // pings are answered by the core
//!         Err(error) => eprintln!("{error}"), // the close frame is already queued
//!     }
//!     input = &mut input[used..];
//! }
//! let mut parts = [IoSlice::new(&[]); 16];
//! let count = connection.poll_transmit(&mut parts); // one write for the whole batch
//! let written = write(&parts[..count]);
//! connection.transmitted(written);
//! connection.poll_timeout(); // when to call handle_timeout
//! ```
//!
//! The way of a byte, room by room: [`handshake`] (once) → `frame` (header) → `mask` → `utf8` →
//! `connection::assembler` (fragments, limits) → [`Event`]; and out: [`Message`] or [`Prepared`] →
//! `connection::encoder` → `connection::transmit` (queue) → the caller's vectored write. What was
//! agreed to be compressed passes `deflate` on both ways.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `deflate` | on | compression of messages (RFC 7692) through zlib-rs |
//! | `idn` | on | host names outside of ASCII in addresses (IDNA, UTS 46) through idna |
//! | `smhandshake` | off | SocketMaster's dialect for many named routes over one connection |
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap
)]
#![cfg_attr(
    test,
    expect(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        reason = "tests may panic"
    )
)]

pub mod proxy; // balancers in front of servers, proxies in front of clients
pub mod handshake; // opening handshake, both roles
mod frame; // frame headers: read and write
mod outline; // where frames end, for those who pass them on unread
mod mask; // XOR with the masking key
mod utf8; // incremental validation of text
mod close; // close codes and the close frame's body
mod message; // what the application sees
mod prepared; // a message encoded once for many connections
#[cfg_attr(not(feature = "deflate"), path = "deflate/absent.rs")]
mod deflate; // permessage-deflate: negotiate, compress, inflate
mod extensions; // Sec-WebSocket-Extensions: text → extensions and parameters
mod control_rate; // how many pings and pongs a peer may send
mod config; // limits and deadlines
mod error; // which rule was broken, and by whom
mod connection; // the state machine
#[cfg(feature = "smhandshake")]
pub mod smhandshake; // SocketMaster's dialect: messages that name their route
pub mod mux; // tidewire.mux.v1: many named WebSockets over one
pub mod fbe; // the simple protocol in Fast Binary Encoding
mod setters; // configurations, changed by value

pub use close::{CloseCode, CloseFrame};
pub use config::{Config, PROGRESS_BYTES};
pub use connection::{Chunk, Connection, Decoder, Encoder, Event, MaskKeys, PeerState, Stats};
pub use control_rate::{ControlBucket, ControlRate};
#[cfg(feature = "deflate")]
pub use deflate::DeflatePool;
pub use deflate::{DeflateConfig, DeflateParameters};
pub use error::{ErrorChain, ExtensionError, ProtocolError, SendError};
pub use message::{Kind, Message, MessageRef, Text};
pub use outline::FrameOutline;
pub use prepared::Prepared;

/// Which end of the connection this is: it decides who masks (RFC 6455 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Masks what it sends, refuses masked frames.
    Client,
    /// Refuses unmasked frames, never masks.
    Server,
}
