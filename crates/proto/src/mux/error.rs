//! Errors, one variant per rule. Their texts say what was expected: they are the reason of the
//! WebSocket's close 1002, so each fits in 123 bytes.

use std::fmt;

use super::{CREDIT_MAX, FIRST_CREDIT_MIN, FrameType, Side};

/// A message of the WebSocket is no frame that this side sends. It ends the connection with close
/// code 1002 and this text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A text message; every frame is a binary one.
    #[error("expected binary messages only")]
    TextMessage,
    /// Less than type and stream.
    #[error("expected at least 5 bytes in a frame")]
    TooShort,
    /// A type that does not exist.
    #[error("expected a frame type from 1 to 11, got {0}")]
    UnknownType(u8),
    /// A frame of the other side.
    #[error("expected {frame} from the {only} only")]
    WrongSide {
        /// Its type.
        frame: FrameType,
        /// Who sends it.
        only: Side,
    },
    /// The connection where a stream is needed.
    #[error("expected a stream other than 0 in {0}")]
    StreamZero(FrameType),
    /// A stream where the connection is meant.
    #[error("expected stream 0 in {0}")]
    NotStreamZero(FrameType),
    /// The frame ends before or inside of this field.
    #[error("expected {field} in {frame}, which is too short")]
    Truncated {
        /// Its type.
        frame: FrameType,
        /// The missing field.
        field: &'static str,
    },
    /// There are bytes after the last field.
    #[error("expected nothing after the last field of {0}")]
    Trailing(FrameType),
    /// A text field that is no text.
    #[error("expected UTF-8 as {field} of {frame}")]
    NotUtf8 {
        /// Its type.
        frame: FrameType,
        /// Which text.
        field: &'static str,
    },
    /// A field outside of its bounds.
    #[error("expected {expected} in {frame}")]
    Invalid {
        /// Its type.
        frame: FrameType,
        /// The form it should have had.
        expected: Expected,
    },
}

/// The form a field should have had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Expected {
    /// A name of 1 to 255 bytes.
    Name,
    /// A query of visible ASCII without `#`.
    Query,
    /// At most 255 subprotocols.
    SubprotocolCount,
    /// A token of 1 to 255 bytes.
    Subprotocol,
    /// Enough credit for one full frame, but not too much.
    FirstCredit,
    /// Credit from 1 to 2^31 - 1.
    Credit,
    /// An HTTP status.
    Status,
    /// A short reason.
    Reason,
    /// A code that may stand in a close frame.
    CloseCode,
    /// Flags without reserved bits.
    Flags,
    /// A short payload.
    PingPayload,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str("a name of 1 to 255 bytes"),
            Self::Query => f.write_str("a query of visible ASCII without '#'"),
            Self::SubprotocolCount => f.write_str("at most 255 subprotocols"),
            Self::Subprotocol => f.write_str("a subprotocol that is a token of 1 to 255 bytes"),
            Self::FirstCredit => write!(f, "a credit from {FIRST_CREDIT_MIN} to {CREDIT_MAX}"),
            Self::Credit => write!(f, "a credit from 1 to {CREDIT_MAX}"),
            Self::Status => f.write_str("a status from 400 to 599"),
            Self::Reason => f.write_str("a reason of at most 123 bytes"),
            Self::CloseCode => f.write_str("a code from 1000-1003, 1007-1014 or 3000-4999"),
            Self::Flags => f.write_str("reserved flags to be 0"),
            Self::PingPayload => f.write_str("a payload of at most 125 bytes"),
        }
    }
}

/// A frame is well formed but does not fit what came before. It ends the connection with close code
/// 1002 and this text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum FlowError {
    /// The peer sent more than it had credit for.
    #[error("expected at most {credit} bytes of DATA on stream {stream}, got {cost}")]
    Overrun {
        /// The stream.
        stream: u32,
        /// The credit that was left, in bytes.
        credit: u32,
        /// The cost of the frame, in bytes.
        cost: u64,
    },
    /// The peer gave more than [`CREDIT_MAX`] in sum.
    #[error("expected the credit of stream {stream} to stay below 2^31")]
    TooMuchCredit {
        /// The stream.
        stream: u32,
    },
    /// OPEN with a number that is not greater than all before.
    #[error("expected a stream above {greatest} in OPEN, got {stream}")]
    StreamOrder {
        /// The number.
        stream: u32,
        /// The greatest so far.
        greatest: u32,
    },
    /// A frame for a stream that nobody has opened.
    #[error("expected a stream of at most {greatest}, got {stream}")]
    NeverOpened {
        /// The number.
        stream: u32,
        /// The greatest that was opened.
        greatest: u32,
    },
    /// A text frame in a binary message or the other way round.
    #[error("expected all frames of a message to be of one kind on stream {stream}")]
    KindChanged {
        /// The stream.
        stream: u32,
    },
    /// The client sent something else than CLOSE before ACCEPT.
    #[error("expected only CLOSE before ACCEPT on stream {stream}")]
    BeforeAccept {
        /// The stream.
        stream: u32,
    },
    /// The gateway sent something else before ACCEPT or REJECT.
    #[error("expected ACCEPT or REJECT first on stream {stream}")]
    NotAnswered {
        /// The stream.
        stream: u32,
    },
    /// A second ACCEPT or REJECT.
    #[error("expected stream {stream} to be accepted or rejected once")]
    AnsweredTwice {
        /// The stream.
        stream: u32,
    },
}
