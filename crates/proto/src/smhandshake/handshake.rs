//! The order of the opening (M-08, M-27).
//!
//! In: events. Out: what is due next, or the failure that ends the connection.
//!
//! ```text
//! Syn ──SYN──▶ Ack ──ACK──▶ Names ──SMHandshakeEnd──▶ over
//!                           │   ▲
//!                           └───┘ a name
//! ```
//!
//! Invariant: a step is taken only by the event drawn at its arrow; every other one is a failure.

use std::fmt;

use super::{ACK, Event, HANDSHAKE, HANDSHAKE_END, SYN, is_reserved};
use crate::CloseCode;

/// The next step of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expected {
    /// `SMHandshake` with `SYN`.
    Syn,
    /// `SMHandshake` with `ACK`.
    Ack,
    /// `SMHandshake` with a name, or `SMHandshakeEnd`.
    Names,
}

/// The fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// An event, but not the one that was due.
    OutOfOrder,
    /// Text that is no event.
    NoEvent,
    /// A binary message.
    Binary,
    /// The handshake was not over in time.
    Silence,
}

/// The handshake failed: the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{fault}; expected {expected}")]
pub struct Failure {
    /// The fault.
    pub fault: Fault,
    /// The step that was due.
    pub expected: Expected,
}

/// The effect of an event that came in its turn.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// Answer `SYN/ACK`.
    Greet,
    /// Nothing.
    Go,
    /// Look the name up and answer.
    Name(&'a str),
    /// The handshake is over: answer.
    End,
}

impl Expected {
    /// Takes `event` and gives what is due after it.
    pub(super) fn step(self, event: &Event) -> Result<(Self, Step<'_>), Failure> {
        let word = match event.name.as_str() {
            HANDSHAKE => event.data.as_deref(),
            // Whatever data says: the README does not tell.
            HANDSHAKE_END if self == Self::Names => return Ok((self, Step::End)),
            _ => None,
        };
        match (self, word) {
            (Self::Syn, Some(SYN)) => Ok((Self::Ack, Step::Greet)),
            (Self::Ack, Some(ACK)) => Ok((Self::Names, Step::Go)),
            (Self::Names, Some(name)) if !is_reserved(name) => Ok((self, Step::Name(name))),
            (Self::Syn | Self::Ack | Self::Names, _) => Err(self.but(Fault::OutOfOrder)),
        }
    }

    pub(super) fn but(self, fault: Fault) -> Failure {
        Failure {
            fault,
            expected: self,
        }
    }
}

impl Failure {
    /// Returns the code that the connection is closed with.
    pub fn close_code(self) -> CloseCode {
        match self.fault {
            Fault::OutOfOrder | Fault::NoEvent | Fault::Binary => CloseCode(4400),
            Fault::Silence => CloseCode(4408),
        }
    }
}

// Not one of these texts has a comma, colon, quote or brace: the unquoted form needs no quotes.

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syn => "SMHandshake with SYN",
            Self::Ack => "SMHandshake with ACK",
            Self::Names => "SMHandshake with a route name or SMHandshakeEnd",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfOrder => "out of order",
            Self::NoEvent => "no event",
            Self::Binary => "a binary message",
            Self::Silence => "handshake not over in time",
        })
    }
}
