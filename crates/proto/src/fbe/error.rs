//! Errors, one variant per rule.

use super::{MESSAGE_BYTES_MIN, MessageType};

/// The bytes of a peer are no message. The stream is out of step from here on; the connection has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The announced size has no room for the header of a message.
    #[error("expected a message of at least {MESSAGE_BYTES_MIN} bytes, got {size}")]
    TooShort {
        /// The announced size in bytes.
        size: u32,
    },
    /// The announced size is above the maximum of this end. Nothing was allocated for it.
    #[error("expected a message of at most {max} bytes, got {size}")]
    TooLong {
        /// The announced size in bytes.
        size: u32,
        /// The maximum in bytes.
        max: usize,
    },
    /// The slice that should be one message is shorter or longer than it announces.
    #[error("expected {announced} bytes as announced, got {len}")]
    WrongLength {
        /// The announced size in bytes.
        announced: u32,
        /// The length of the slice in bytes.
        len: usize,
    },
    /// The struct does not begin behind the message's header, or not within the message.
    #[error("expected the offset of the struct within the message, got {offset}")]
    StructOutside {
        /// Its offset from the start of the message.
        offset: u32,
    },
    /// The struct is smaller than its own header, or ends behind the end of the message.
    #[error("expected a struct of 8 to {max} bytes, got {size}")]
    StructSize {
        /// The size that it tells.
        size: u32,
        /// Bytes from its start to the end of the message.
        max: usize,
    },
    /// A text begins or ends outside of the message.
    #[error("expected the text of {0} within the message")]
    TextOutside(MessageType),
    /// A text is no text.
    #[error("expected UTF-8 as the text of {0}")]
    NotUtf8(MessageType),
}

/// A message cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Its size does not fit the four bytes of the length.
    #[error("expected a message below 4 GiB, got {bytes} bytes")]
    TooLong {
        /// Its size in bytes.
        bytes: usize,
    },
    /// The buffer is of a fixed size and has not enough room; nothing was written.
    #[error("expected a buffer of {bytes} bytes, got {room}")]
    NoRoom {
        /// The size of the message in bytes.
        bytes: usize,
        /// The room in bytes.
        room: usize,
    },
}
