//! Which of the subprotocols that a client offers is answered.
//!
//! In: an upgrade request. Out: a decision that agrees on one of them. Reason: browsers fail a connection whose server
//! answers none of what they have offered, and a page has no other place for a token than among them. Order: the
//! name of what we speak; else the first name that is not ours, which says nothing about us that was not said;
//! else the one with the credentials, which only its sender sees. A name of ours that this server does not speak is
//! never answered: a newer client would believe it.

use tidewire::{proto::handshake::RequestHead, ws::Decision};
use tidewire_auth::BEARER_SUBPROTOCOL;

/// A subprotocol that begins so is a ticket of a page, which follows.
pub(crate) const TICKET_SUBPROTOCOL: &str = "tidewire.ticket.";

/// Adds the answer to a decision of an endpoint that speaks `spoken`.
pub(crate) fn agree(decision: Decision, head: &RequestHead, spoken: Option<&str>) -> Decision {
    let foreign = offered(head).find(|name| !name.starts_with(OURS));
    let credentials = offered(head).find(|name| is_credentials(name));
    [spoken, foreign, credentials]
        .into_iter()
        .flatten()
        .fold(decision, Decision::subprotocol)
}

/// The subprotocols that a request offers, as far as they are well-formed names (RFC 6455 section 4.1).
pub(crate) fn offered(head: &RequestHead) -> impl Iterator<Item = &str> {
    head.values("sec-websocket-protocol")
        .filter_map(|value| std::str::from_utf8(value).ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim_matches([' ', '\t']))
        .filter(|name| is_token(name))
}

fn is_credentials(name: &str) -> bool {
    name.starts_with(BEARER_SUBPROTOCOL) || name.starts_with(TICKET_SUBPROTOCOL)
}

fn is_token(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_part)
}

/// Names of Tidewire's own begin so.
const OURS: &str = "tidewire.";
