//! What a frame is, who sends it, and which fields are valid: the same check for both directions.

use std::fmt;

use super::{
    CREDIT_MAX, FIRST_CREDIT_MIN, FrameError, PING_BYTES_MAX, REASON_BYTES_MAX, error::Expected,
};
use crate::{CloseCode, handshake::is_token};

/// An end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Opens streams.
    Client,
    /// Accepts or rejects them.
    Gateway,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Gateway => "gateway",
        })
    }
}

/// One frame: one binary message of the WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The logical socket; 0 is the connection itself.
    pub stream: u32,
    /// The content, by its type.
    pub body: Body<'a>,
}

/// The content of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// The client wants a stream.
    Open(Open<'a>),
    /// The stream is open.
    Accept {
        /// First credit for what the client sends, bytes.
        credit: u32,
        /// The subprotocol that the backend chose.
        subprotocol: Option<&'a str>,
    },
    /// The stream is refused; its number is used up.
    Reject {
        /// HTTP status, 400 to 599.
        status: u16,
        /// Why, for people; at most [`REASON_BYTES_MAX`] bytes.
        reason: &'a str,
    },
    /// A message or a piece of one.
    Data {
        /// Of the frame and its message.
        flags: DataFlags,
        /// A piece of text may cut a character.
        payload: &'a [u8],
    },
    /// So many bytes more may be sent; at least 1.
    Credit(u32),
    /// Nothing more is sent on the stream.
    Close(Option<Close<'a>>),
    /// Asks the other end for the payload.
    Ping(&'a [u8]),
    /// The payload of a ping.
    Pong(&'a [u8]),
    /// The backend is lost.
    Down {
        /// Milliseconds until the next attempt to reach it.
        retry_ms: u32,
    },
    /// The backend is back.
    Up,
    /// The gateway accepts no streams any more.
    GoAway {
        /// Milliseconds until it closes the connection.
        within_ms: u32,
    },
}

/// A client's request for a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Open<'a> {
    /// First credit for what the gateway sends, bytes.
    pub credit: u32,
    /// The endpoint, in any case of letters; 1 to 255 bytes.
    pub name: &'a str,
    /// Stands behind `?` of the backend's address: visible ASCII without `#`; may be empty.
    pub query: &'a str,
    /// Offered to the backend, best first; at most 255.
    pub subprotocols: Vec<&'a str>,
}

/// Which frame of which kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DataFlags {
    /// The message ends with this frame.
    pub last: bool,
    /// The message is binary, not text; the same in all its frames.
    pub binary: bool,
}

/// Why a stream is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Close<'a> {
    /// One that may stand in a close frame.
    pub code: CloseCode,
    /// For people; at most [`REASON_BYTES_MAX`] bytes.
    pub reason: &'a str,
}

/// The first byte of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "see the variants of Body")]
pub enum FrameType {
    Open = 0x01,
    Accept = 0x02,
    Reject = 0x03,
    Data = 0x04,
    Credit = 0x05,
    Close = 0x06,
    Ping = 0x07,
    Pong = 0x08,
    Down = 0x09,
    Up = 0x0a,
    GoAway = 0x0b,
}

impl FrameType {
    /// The type of this first byte.
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0x01 => Self::Open,
            0x02 => Self::Accept,
            0x03 => Self::Reject,
            0x04 => Self::Data,
            0x05 => Self::Credit,
            0x06 => Self::Close,
            0x07 => Self::Ping,
            0x08 => Self::Pong,
            0x09 => Self::Down,
            0x0a => Self::Up,
            0x0b => Self::GoAway,
            _ => return None,
        })
    }

    /// The only side that sends it; `None`: both do.
    pub fn sent_only_by(self) -> Option<Side> {
        match self {
            Self::Open => Some(Side::Client),
            Self::Accept | Self::Reject | Self::Down | Self::Up | Self::GoAway => {
                Some(Side::Gateway)
            }
            Self::Data | Self::Credit | Self::Close | Self::Ping | Self::Pong => None,
        }
    }

    /// The name in the specification.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Accept => "ACCEPT",
            Self::Reject => "REJECT",
            Self::Data => "DATA",
            Self::Credit => "CREDIT",
            Self::Close => "CLOSE",
            Self::Ping => "PING",
            Self::Pong => "PONG",
            Self::Down => "DOWN",
            Self::Up => "UP",
            Self::GoAway => "GOAWAY",
        }
    }

    /// Returns whether the frame may have this stream.
    pub(super) fn check_stream(self, stream: u32) -> Result<(), FrameError> {
        match (self, stream == 0) {
            (Self::GoAway, false) => Err(FrameError::NotStreamZero(self)),
            (Self::Ping | Self::Pong | Self::GoAway, _) | (_, false) => Ok(()),
            (_, true) => Err(FrameError::StreamZero(self)),
        }
    }
}

impl fmt::Display for FrameType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Frame<'_> {
    /// The type of the frame.
    pub fn frame_type(&self) -> FrameType {
        match self.body {
            Body::Open(_) => FrameType::Open,
            Body::Accept { .. } => FrameType::Accept,
            Body::Reject { .. } => FrameType::Reject,
            Body::Data { .. } => FrameType::Data,
            Body::Credit(_) => FrameType::Credit,
            Body::Close(_) => FrameType::Close,
            Body::Ping(_) => FrameType::Ping,
            Body::Pong(_) => FrameType::Pong,
            Body::Down { .. } => FrameType::Down,
            Body::Up => FrameType::Up,
            Body::GoAway { .. } => FrameType::GoAway,
        }
    }

    /// Returns whether all fields are within the specification's bounds. [`decode`](Self::decode) and
    /// [`encode_into`](Self::encode_into) both ask.
    ///
    /// # Errors
    /// [`FrameError`].
    pub fn check(&self) -> Result<(), FrameError> {
        let frame = self.frame_type();
        frame.check_stream(self.stream)?;
        let expected = match &self.body {
            Body::Open(open) => open.broken_rule(),
            Body::Accept {
                credit,
                subprotocol,
            } => {
                let chosen = subprotocol.iter();
                first_credit(*credit).or_else(|| chosen.copied().find_map(subprotocol_rule))
            }
            Body::Reject { status, reason } => (!(400..=599).contains(status))
                .then_some(Expected::Status)
                .or_else(|| reason_rule(reason)),
            Body::Credit(0) => Some(Expected::Credit),
            Body::Credit(credit) => (*credit > CREDIT_MAX).then_some(Expected::Credit),
            Body::Close(Some(close)) => (!close.code.is_valid_on_wire())
                .then_some(Expected::CloseCode)
                .or_else(|| reason_rule(close.reason)),
            Body::Ping(payload) | Body::Pong(payload) => {
                (payload.len() > PING_BYTES_MAX).then_some(Expected::PingPayload)
            }
            Body::Data { .. }
            | Body::Close(None)
            | Body::Down { .. }
            | Body::Up
            | Body::GoAway { .. } => None,
        };
        match expected {
            Some(expected) => Err(FrameError::Invalid { frame, expected }),
            None => Ok(()),
        }
    }
}

impl Open<'_> {
    fn broken_rule(&self) -> Option<Expected> {
        if !(1..=255).contains(&self.name.len()) {
            return Some(Expected::Name);
        }
        let visible = |byte: u8| (0x21..=0x7e).contains(&byte) && byte != b'#';
        if self.query.len() > usize::from(u16::MAX) || !self.query.bytes().all(visible) {
            return Some(Expected::Query);
        }
        if self.subprotocols.len() > 255 {
            return Some(Expected::SubprotocolCount);
        }
        let offered = self.subprotocols.iter().copied();
        first_credit(self.credit).or_else(|| offered.into_iter().find_map(subprotocol_rule))
    }
}

impl<'a> Close<'a> {
    /// A close frame's content; a longer reason is cut at a character boundary.
    pub fn new(code: CloseCode, reason: &'a str) -> Self {
        let end = reason.floor_char_boundary(REASON_BYTES_MAX);
        let reason = reason.get(..end).unwrap_or_default();
        Self { code, reason }
    }
}

impl DataFlags {
    /// As in the frame: bit 0 `last`, bit 1 `binary`.
    pub(super) fn to_byte(self) -> u8 {
        u8::from(self.last) | u8::from(self.binary) << 1
    }

    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        (byte <= 0b11).then_some(Self {
            last: byte & 0b01 != 0,
            binary: byte & 0b10 != 0,
        })
    }
}

fn first_credit(credit: u32) -> Option<Expected> {
    (!(FIRST_CREDIT_MIN..=CREDIT_MAX).contains(&credit)).then_some(Expected::FirstCredit)
}

fn subprotocol_rule(token: &str) -> Option<Expected> {
    (token.len() > 255 || !is_token(token)).then_some(Expected::Subprotocol)
}

fn reason_rule(reason: &str) -> Option<Expected> {
    (reason.len() > REASON_BYTES_MAX).then_some(Expected::Reason)
}
