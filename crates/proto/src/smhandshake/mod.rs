//! `SocketMaster`'s dialect: one connection, named routes, messages that carry their route's name.
//!
//! In: a client's messages, whole; a time-out; a look-up of route names. Out: answers, messages
//! without their route line, or an error and the code to close with. Text and bytes only: no
//! socket, no clock. Whatever a peer sends, an answer is never longer than a few times
//! [`EVENT_BYTES_MAX`], and nothing of it is kept but its way of writing. The dialect in full:
//! `docs/protocols/smhandshake.md`.
//!
//! ```
//! use tidewire_proto::smhandshake::{Incoming, Limits, Reaction, Session};
//!
//! let known = |name: &str| name.eq_ignore_ascii_case("endpoint1").then_some(1);
//! let mut session = Session::new(Limits::default());
//! for (message, answer) in [
//!     ("{event: SMHandshake, data: SYN}", "{event: SMHandshake, data: SYN/ACK}"),
//!     ("{event: SMHandshake, data: ACK}", ""),
//!     ("{event: SMHandshake, data: Endpoint1}", "{event: SMHandshake, data: ACK}"),
//!     ("{event: SMHandshakeEnd}", "{event: SMHandshakeEnd, data: ACK}"),
//! ] {
//!     match session.receive(Incoming::Text(message), known) {
//!         Reaction::Nothing => assert_eq!(answer, ""),
//!         Reaction::Answer(text) | Reaction::Announced { answer: text, .. } | Reaction::Ready(text) => {
//!             assert_eq!(answer, text);
//!         }
//!         other => panic!("{other:?}"),
//!     }
//! }
//! let message = "ROUTENAME=Endpoint1\nhello";
//! let Reaction::Forward { route: 1, line } = session.receive(Incoming::Text(message), known) else {
//!     panic!("not for a route");
//! };
//! assert_eq!(&message[line.payload_at..], "hello");
//! ```

mod members; // the members of an event, whichever way they were written
mod strict; // JSON
mod relaxed; // the unquoted form
mod event; // an event: read in either form, written in either form
mod handshake; // the order of the opening
mod route_line; // the first line of a message, and of what goes back
mod refusal; // what is said about a message that is not forwarded
mod session; // the whole dialect: message in, reaction out

#[cfg(test)]
mod tests;

pub use event::{EVENT_BYTES_MAX, Event, EventError, Form, render};
pub use handshake::{Expected, Failure, Fault};
pub use refusal::Refusal;
pub use route_line::{LineEnd, NAME_BYTES_MAX, Prefix, RouteLine, RouteLineError};
pub use session::{Incoming, Limits, Reaction, Session};

/// The event of the opening and of its answers.
pub const HANDSHAKE: &str = "SMHandshake";
/// The event that ends the opening.
pub const HANDSHAKE_END: &str = "SMHandshakeEnd";
/// The event of every error.
pub const ERROR: &str = "SMError";

/// Words of the handshake: no route may be called so, in any case of letters (M-25).
pub fn is_reserved(name: &str) -> bool {
    [SYN, ACK, SYN_ACK, NACK]
        .iter()
        .any(|word| word.eq_ignore_ascii_case(name))
}

const SYN: &str = "SYN";
const ACK: &str = "ACK";
const SYN_ACK: &str = "SYN/ACK";
const NACK: &str = "NACK";
