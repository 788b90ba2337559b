//! `tidewire.mux.v1`: many named WebSockets over one. Frames, credit and stream numbers of both ends.
//!
//! In: the binary messages of a WebSocket with the subprotocol [`SUBPROTOCOL`]. Out: checked
//! [`Frame`]s that borrow from them, and frames as bytes. Which frame may come when is known by
//! whoever keeps the streams; what is the same at both ends is here. Invariants: what decodes encodes
//! to the same bytes; no byte of a peer panics; nothing is allocated but the list of subprotocols.
//! Specification: `docs/protocols/mux-v1.md`.
//!
//! ```
//! use tidewire_proto::mux::{Body, Frame, Side};
//!
//! let frame = Frame { stream: 7, body: Body::Credit(4096) };
//! let mut bytes = Vec::new();
//! frame.encode_into(&mut bytes)?;
//! assert_eq!(bytes, [5, 0, 0, 0, 7, 0, 0, 16, 0]);
//! assert_eq!(Frame::decode(&bytes, Side::Client)?, frame);
//! # Ok::<(), tidewire_proto::mux::FrameError>(())
//! ```

mod frame; // what a frame is, and which fields are valid
mod decode; // bytes to frames
mod encode; // frames to bytes
mod credit; // flow control of a stream, both directions
mod streams; // numbers of streams, frames of a message
mod life; // opening, open, closing, gone
mod error; // which rule was broken: the reason of close 1002

pub use credit::{ReceiveCredit, SendCredit};
pub use encode::data_header;
pub use error::{Expected, FlowError, FrameError};
pub use frame::{Body, Close, DataFlags, Frame, FrameType, Open, Side};
pub use life::{Received, StreamLife};
pub use streams::{MessageFrames, StreamIds};

/// The WebSocket subprotocol.
pub const SUBPROTOCOL: &str = "tidewire.mux.v1";

/// Bytes of a DATA frame before its payload; they cost credit too.
pub const DATA_HEADER_BYTES: usize = 6;

/// Most payload bytes of a DATA frame that an end should send, so that streams share the connection
/// fairly. More is taken, as far as the credit goes.
pub const PAYLOAD_BYTES_MAX: usize = 16_384;

/// Least credit of OPEN and ACCEPT: a DATA frame of [`PAYLOAD_BYTES_MAX`].
pub const FIRST_CREDIT_MIN: u32 = 16_390;

/// The first credit that an end gives where nothing else is configured, in bytes.
pub const FIRST_CREDIT_DEFAULT: u32 = 65_536;

/// Most credit in sum.
pub const CREDIT_MAX: u32 = 0x7fff_ffff;

/// Most bytes of a reason (REJECT, CLOSE).
pub const REASON_BYTES_MAX: usize = crate::CloseFrame::REASON_BYTES_MAX;

/// Most bytes of a PING's payload.
pub const PING_BYTES_MAX: usize = 125;
