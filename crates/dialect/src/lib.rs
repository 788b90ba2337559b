//! What clients of the messaging server speak, as pure codecs: bytes → [`Command`], [`Event`](tidewire_hub::Event) →
//! bytes, the [`Ending`] of a connection → close code and reason.
//!
//! In: payloads of messages, values of the hub. Out: the other. Invariants: a codec has no state, no clock and
//! no socket, so equal inputs give equal outputs; a peer's bytes never panic, and allocate no more than a small
//! multiple of themselves; a publication's bytes depend on nothing but the publication, so they are made once,
//! however many sessions get it.
//!
//! [`Classic`] is what clients of wsserver speak (docs/messaging.md), [`ClassicStringIds`] the same for clients that
//! cannot read a number of 64 bits. A new dialect is a type that implements
//! [`Dialect`]; neither the hub nor the server's connection loop knows which one a connection speaks.
#![forbid(unsafe_code)]

mod close; // codes and reasons of close frames
mod classic; // JSON envelopes

use std::{error::Error, fmt};

use tidewire_hub::{
    Command, ConnectError, Dismissal, Notice, Publication, Reason, Settings, UserId,
};

pub use self::{
    classic::{Classic, ClassicStringIds, EnvelopeError},
    close::Close,
};

/// How a client speaks.
pub trait Dialect: Send + Sync + 'static {
    /// Why a payload is no command.
    type Error: Error + fmt::Display + Send + Sync + 'static;

    /// The same dialect with every id as a text, for clients whose numbers do not hold 64 bits. It is the dialect
    /// itself where ids are texts anyway.
    type StringIds: Dialect<Error = Self::Error>;

    /// Its name as a subprotocol (RFC 6455 section 1.9), for clients that offer several.
    const SUBPROTOCOL: &'static str;

    /// Reads the payload of a message, text or binary alike, that a session of `user` got, or 0 where an
    /// administrator calls. `settings` bound what is taken: what is beyond them is a [`Command::Refuse`].
    ///
    /// # Errors
    /// The first rule of the dialect that the payload breaks; the connection ends with [`Ending::Invalid`].
    fn decode<'a>(
        payload: &'a [u8],
        user: &UserId,
        settings: &Settings,
    ) -> Result<Command<'a>, Self::Error>;

    /// The bytes of a publication, the same for every client. `None`: clients are told nothing of it.
    fn publication(publication: &Publication) -> Option<Payload>;

    /// The bytes of a notice to a session of `user`. `None`: clients are told nothing of it.
    fn notice(notice: &Notice, user: &UserId) -> Option<Payload>;

    /// How the connection is closed.
    fn close(ending: &Ending<'_, Self::Error>) -> Close;
}

/// The payload of one message to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Of a text message.
    Text(String),
    /// Of a binary message.
    Binary(Vec<u8>),
}

/// Why the server closes a connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Ending<'a, E> {
    /// The hub has ended the session.
    Session(Reason),
    /// The hub did not begin a session.
    Refused(ConnectError),
    /// The connect request names no user, or something in it is not understood; the text says what.
    Request(&'a str),
    /// No valid credentials.
    Unauthorized,
    /// The user is blocked, with the operator's words for it.
    Blocked(&'a str),
    /// The operator's backend does not let the client in.
    Denied {
        /// The code it chose; `None`: the dialect's own.
        code: Option<u16>,
        /// Its words.
        reason: &'a str,
    },
    /// The operator has ended the session.
    Dismissed(&'a Dismissal),
    /// More messages or connections than there may be in this time, or too many wrong credentials.
    TooMany {
        /// Of what.
        what: &'a str,
        /// Seconds after which the client may try again.
        retry_after: u64,
    },
    /// Whoever knows about the credentials cannot be asked now.
    CannotTell,
    /// The credentials are good no more.
    Expired,
    /// A payload is no command.
    Invalid(E),
    /// The sender of a message is not the user of the connection.
    ForeignSender,
    /// Nothing moved for too long while a ping was unanswered.
    Unanswered,
    /// The client has sent nothing for longer than allowed.
    Inactive {
        /// What is allowed, in seconds.
        limit: u64,
        /// How long it was, in seconds.
        quiet: u64,
    },
}
