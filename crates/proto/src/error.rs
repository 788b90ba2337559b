//! Errors: one variant per rule that can be broken; blame and close code are data.

use std::{error::Error, fmt};

use crate::CloseCode;

/// Prints an error with all its causes on one line, outermost first: `cannot reach a:1: connection refused`.
///
/// Errors here print their own level only; who shows them to people wants the causes, too.
///
/// ```
/// use tidewire_proto::{ErrorChain, handshake::{HandshakeError, HeadError}};
///
/// let error = HandshakeError::from(HeadError::Malformed);
/// assert_eq!(error.to_string(), "invalid answer to the upgrade request");
/// let shown = ErrorChain(&error).to_string();
/// assert_eq!(shown, "invalid answer to the upgrade request: malformed HTTP head");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ErrorChain<'a>(pub &'a (dyn Error + 'a));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// The peer broke the protocol or a limit, be it one of all connections together. The connection is over: the close frame with
/// [`ProtocolError::close_code`] is queued, nothing more is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A reserved bit is set without an extension that defines it (RFC 6455 section 5.2).
    #[error("reserved bit set without a negotiated extension")]
    ReservedBit,
    /// Opcode 3–7 or 11–15 (section 5.2).
    #[error("reserved opcode {0}")]
    ReservedOpcode(u8),
    /// A client frame without mask (section 5.1).
    #[error("message from client not masked")]
    UnmaskedFromClient,
    /// A server frame with mask (section 5.1).
    #[error("message from server is masked")]
    MaskedFromServer,
    /// A length in more bytes than needed (section 5.2: the minimal number of bytes).
    #[error("frame length not in its shortest form")]
    LengthNotMinimal,
    /// The most significant bit of a 64-bit length is set (section 5.2).
    #[error("frame length above 2^63")]
    LengthTooLarge,
    /// A control frame with more than 125 bytes (section 5.5).
    #[error("control frame above 125 bytes")]
    ControlTooLong,
    /// A control frame without FIN (section 5.5).
    #[error("fragmented control frame")]
    ControlFragmented,
    /// A continuation frame where no message is under way (section 5.4).
    #[error("continuation without a message")]
    UnexpectedContinuation,
    /// A new text or binary frame inside a fragmented message (section 5.4).
    #[error("new message inside a fragmented one")]
    ExpectedContinuation,
    /// Text that is not UTF-8 (section 8.1).
    #[error("text is not valid UTF-8")]
    InvalidUtf8,
    /// A close frame whose body is a single byte (section 5.5.1).
    #[error("close frame with a one-byte body")]
    CloseTruncated,
    /// A close code that must not appear on the wire (section 7.4).
    #[error("invalid close code {0}")]
    InvalidCloseCode(u16),
    /// A frame above [`crate::Config::frame_bytes_max`].
    #[error("frame of {len} bytes, {max} are allowed")]
    FrameTooBig {
        /// Announced length.
        len: u64,
        /// The limit.
        max: usize,
    },
    /// A message above [`crate::Config::message_bytes_max`].
    #[error("message too big: more than {max} bytes")]
    MessageTooBig {
        /// The limit.
        max: usize,
    },
    /// A compressed message that is no valid DEFLATE data, or stops in the middle (RFC 7692
    /// section 7.2.2).
    #[error("compressed message is corrupt")]
    CorruptDeflate,
    /// A compressed message that inflates to more than
    /// [`DeflateConfig::ratio_floor`](crate::DeflateConfig::ratio_floor) bytes and
    /// [`DeflateConfig::ratio_max`](crate::DeflateConfig::ratio_max) times its size.
    #[error("compressed message inflates to more than {max} times its size")]
    InflateRatio {
        /// The limit.
        max: u32,
    },
    /// More frames in one message than [`crate::Config::fragments_max`].
    #[error("message in more than {max} fragments")]
    TooManyFragments {
        /// The limit.
        max: u32,
    },
    /// More pings, or pongs that nobody asked for, than [`crate::Config::control_rate`].
    #[error("more than {per_second} control frames per second")]
    TooManyControls {
        /// The limit in the long run.
        per_second: u32,
    },
    /// A message that was begun brought neither its end nor another [`PROGRESS_BYTES`](crate::PROGRESS_BYTES) within
    /// [`crate::Config::message_timeout`].
    #[error("message not continued in time")]
    MessageStalled,
    /// The memory for all connections is used up, and this one held most of it, or as much as one may hold: nobody broke
    /// a rule.
    #[error("the memory for connections is used up, try again later")]
    MemoryExhausted,
}

impl ProtocolError {
    /// The close code this error is answered with (section 7.4.1).
    pub fn close_code(self) -> CloseCode {
        match self {
            Self::ReservedBit
            | Self::ReservedOpcode(_)
            | Self::UnmaskedFromClient
            | Self::MaskedFromServer
            | Self::LengthNotMinimal
            | Self::LengthTooLarge
            | Self::ControlTooLong
            | Self::ControlFragmented
            | Self::UnexpectedContinuation
            | Self::ExpectedContinuation
            | Self::CloseTruncated
            | Self::InvalidCloseCode(_) => CloseCode::PROTOCOL_ERROR,
            Self::InvalidUtf8 | Self::CorruptDeflate => CloseCode::INVALID_PAYLOAD,
            Self::FrameTooBig { .. } | Self::MessageTooBig { .. } | Self::InflateRatio { .. } => {
                CloseCode::TOO_BIG
            }
            Self::TooManyFragments { .. } | Self::TooManyControls { .. } | Self::MessageStalled => {
                CloseCode::POLICY_VIOLATION
            }
            Self::MemoryExhausted => CloseCode::TRY_AGAIN_LATER,
        }
    }
}

/// The peer's `Sec-WebSocket-Extensions` cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ExtensionError {
    /// Not a list of extensions (RFC 6455 section 9.1).
    #[error("malformed Sec-WebSocket-Extensions")]
    Malformed,
    /// More than 1 KiB or 16 extensions.
    #[error("Sec-WebSocket-Extensions above 1024 bytes or 16 extensions")]
    TooLong,
    /// An extension that was not offered.
    #[error("the server chose an extension that was not offered")]
    NotOffered,
    /// An extension more than once.
    #[error("the server chose an extension more than once")]
    Several,
    /// A parameter that is unknown, doubled, has a value it must not have (or none), or allows
    /// what was not offered (RFC 7692 section 7.1).
    #[error("the server's parameters of permessage-deflate are no answer to the offer")]
    Parameters,
}

/// A message was not taken for sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The queue is at [`crate::Config::send_queue_bytes_max`]; send again after some of it
    /// has been transmitted.
    #[error("send queue is full")]
    Full,
    /// The connection is closing or closed: a close frame was sent or received, or the peer
    /// broke the protocol.
    #[error("connection is closing")]
    Closed,
    /// A ping with more than 125 bytes (RFC 6455 section 5.5).
    #[error("control payload above 125 bytes")]
    ControlTooLong,
    /// A message sent in fragments has not ended; no other may begin before (section 5.4).
    #[error("a message sent in fragments has not ended")]
    InFragments,
    /// Ready frames given to a client, which must mask each with a fresh key (section 5.3).
    #[error("a client cannot send unmasked frames")]
    NotMasked,
}
