//! The "simple protocol" in Fast Binary Encoding (FBE): requests with an id, their responses or rejections,
//! notifications, and a request to disconnect, over any stream of bytes.
//!
//! In: bytes in any cuts, to a [`Decoder`]. Out: [`Frame`]s (whole messages of any type) that borrow from them, and in
//! these a [`MessageRef`]; and messages as bytes. Invariants: no byte of a peer panics; nothing is allocated but for a
//! message that arrives in parts, as much as has arrived of it and never more than the maximum; what a message is
//! encoded to decodes to the same message. The layout is in `docs/protocols/fbe-simple.md`.
//!
//! ```
//! use tidewire_proto::fbe::{Decoder, Id, MessageRef};
//!
//! let id = Id([7; 16]);
//! let mut bytes = Vec::new();
//! MessageRef::Request { id, message: "test" }.encode_into(&mut bytes)?;
//! MessageRef::Disconnect { id }.encode_into(&mut bytes)?;
//!
//! let mut decoder = Decoder::default();
//! let mut input = bytes.as_slice();
//! let mut received = Vec::new();
//! while !input.is_empty() {
//!     let (used, frame) = decoder.receive(input);
//!     // A frame of a type that is not known has no message: it is skipped.
//!     if let Some(message) = frame?.map(|frame| frame.message()).transpose()?.flatten() {
//!         received.push(message.to_message());
//!     }
//!     input = &input[used..];
//! }
//! assert_eq!(received[0].as_ref(), MessageRef::Request { id, message: "test" });
//! assert_eq!(received[1].as_ref(), MessageRef::Disconnect { id });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod message; // the five messages
mod frame; // the outer form of a message, whatever its type
mod decode; // the fields of a frame
mod decoder; // frames from a stream of bytes
mod encode; // messages to bytes
mod hash; // the hash that the example server answers with
mod error; // which rule was broken
#[cfg(test)]
mod tests;

pub use decoder::Decoder;
pub use error::{DecodeError, EncodeError};
pub use frame::Frame;
pub use hash::hash_of_text;
pub use message::{Id, Message, MessageRef, MessageType};

/// The version of the protocol: major and minor.
pub const PROTOCOL_VERSION: (u32, u32) = (1, 0);

/// The usual TCP port.
pub const DEFAULT_PORT: u16 = 4444;

/// Least bytes of a message: its length, the offset of its struct, and the struct's size and type.
pub const MESSAGE_BYTES_MIN: usize = 16;

/// Most bytes of a message that a [`Decoder`] takes, unless it is told otherwise: 16 MiB.
pub const MESSAGE_BYTES_MAX_DEFAULT: usize = 16 * 1024 * 1024;

/// Bytes of a struct before its first field: size and type.
const STRUCT_HEADER_BYTES: usize = 8;

/// The offset at which the struct of a message begins, as every encoder writes it.
const STRUCT_OFFSET: u32 = 8;
