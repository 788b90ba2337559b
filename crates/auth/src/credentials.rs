//! From the bytes of a request to the credentials in it.
//!
//! Invariants: of a field that may stand once, two are none: a request with two `Authorization` fields, or two
//! fields of the demanded name, could be read one way here and another way by a proxy in front (RFC 9110 section 5.3
//! forbids clients to send such requests). Cookies are different: a browser sends all that match, those of the host
//! and those of the domain under one name (RFC 6265 section 5.4), and knows no way to tell which is which, so one right
//! value among them is enough. So it is with the places of a token.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode;
use zeroize::Zeroizing;

use crate::{Headers, decode_parameter, raw_parameters};

/// A subprotocol (RFC 6455 section 11.3.4) that begins so is no way to talk but a bearer token, for pages: they can give
/// a WebSocket no header field. The token follows, percent-encoded where a subprotocol cannot hold a character.
pub const BEARER_SUBPROTOCOL: &str = "tidewire.bearer.";

/// What a request offers for one kind of authentication.
pub(crate) enum Offer<T> {
    /// Nothing of this kind.
    Missing,
    /// Something of this kind that cannot be read, or more than one.
    Unusable,
    /// One credential.
    Found(T),
}

impl<T> Offer<T> {
    fn and_then<U>(self, read: impl FnOnce(T) -> Offer<U>) -> Offer<U> {
        match self {
            Self::Missing => Offer::Missing,
            Self::Unusable => Offer::Unusable,
            Self::Found(value) => read(value),
        }
    }
}

/// User and password of an `Authorization: Basic …` field.
pub(crate) struct UserPassword {
    decoded: Zeroizing<Vec<u8>>,
    colon: usize,
}

impl UserPassword {
    pub(crate) fn user(&self) -> &[u8] {
        self.decoded.get(..self.colon).unwrap_or_default()
    }

    pub(crate) fn password(&self) -> &[u8] {
        self.decoded.get(self.colon + 1..).unwrap_or_default()
    }
}

/// Reads the basic credentials. Base64 must be canonical: standard alphabet, padded, no stray bits.
pub(crate) fn basic(headers: &dyn Headers) -> Offer<UserPassword> {
    authorization(headers, b"basic").and_then(|encoded| {
        let Ok(decoded) = STANDARD.decode(encoded) else {
            return Offer::Unusable;
        };
        let decoded = Zeroizing::new(decoded);
        match decoded.iter().position(|byte| *byte == b':') {
            Some(colon) => Offer::Found(UserPassword { decoded, colon }),
            None => Offer::Unusable,
        }
    })
}

/// The tokens of a request: of the `Authorization` field, of the subprotocols, and, where `query` names one, of a
/// parameter of the query. A token that cannot be read is an empty one, which is nobody's.
pub(crate) fn bearer<'a>(headers: &'a dyn Headers, query: Option<&'a str>) -> Vec<Token<'a>> {
    let field = match authorization(headers, b"bearer") {
        Offer::Missing => None,
        Offer::Unusable => Some(Token::Sent(&[])),
        Offer::Found(token) => Some(Token::Sent(token)),
    };
    let prefix = BEARER_SUBPROTOCOL.as_bytes();
    let offered = subprotocols(headers).filter_map(|name| name.strip_prefix(prefix));
    let offered = offered.map(|token| Token::decoded(percent_decode(token).into()));
    let parameters = query.into_iter().flat_map(|name| {
        let parameters = raw_parameters(headers.query().unwrap_or_default());
        parameters
            .filter(move |(key, _)| decode_parameter(key).is_ok_and(|key| key == name))
            .map(
                |(_, value)| match decode_parameter(value).unwrap_or_default() {
                    Cow::Borrowed(token) => Token::Sent(token.as_bytes()),
                    Cow::Owned(token) => Token::decoded(Cow::Owned(token.into_bytes())),
                },
            )
    });
    field.into_iter().chain(offered).chain(parameters).collect()
}

/// A bearer token.
pub(crate) enum Token<'a> {
    /// As it stands in the request.
    Sent(&'a [u8]),
    /// A copy, to be wiped.
    Decoded(Zeroizing<Vec<u8>>),
}

impl<'a> Token<'a> {
    fn decoded(token: Cow<'a, [u8]>) -> Self {
        match token {
            Cow::Borrowed(token) => Self::Sent(token),
            Cow::Owned(token) => Self::Decoded(Zeroizing::new(token)),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Sent(token) => token,
            Self::Decoded(token) => token,
        }
    }
}

/// The subprotocols that a request offers, in their order.
fn subprotocols(headers: &dyn Headers) -> impl Iterator<Item = &[u8]> {
    let fields = headers.values("sec-websocket-protocol");
    fields.flat_map(|value| value.split(|byte| *byte == b',').map(trim_blank))
}

/// The value of the one field of this name.
pub(crate) fn field<'a>(headers: &'a dyn Headers, name: &'a str) -> Offer<&'a [u8]> {
    only(headers.values(name))
}

/// The whole values of all cookies of this name, in however many fields they stand (HTTP/2 splits them, RFC 9113 section
/// 8.2.3), with `=` signs and quotes.
pub(crate) fn cookies<'a>(
    headers: &'a dyn Headers,
    name: &'a str,
) -> impl Iterator<Item = &'a [u8]> {
    let fields = headers.values("cookie");
    let pairs = fields.flat_map(|line| line.split(|byte| *byte == b';'));
    pairs
        .filter_map(|pair| {
            let equals = pair.iter().position(|byte| *byte == b'=')?;
            Some((pair.get(..equals)?, pair.get(equals + 1..)?))
        })
        .filter(move |(found, _)| trim_blank(found).eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, value)| trim_blank(value))
}

/// A cookie's value without the quotes that some programs write around it (RFC 6265 section 4.1.1 allows them); `None`
/// if it has none.
pub(crate) fn unquoted(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// Returns what follows `scheme` and its spaces in the one `Authorization` field.
fn authorization<'a>(headers: &'a dyn Headers, scheme: &[u8]) -> Offer<&'a [u8]> {
    field(headers, "authorization").and_then(|value| {
        let Some((found, rest)) = value.split_at_checked(scheme.len()) else {
            return Offer::Missing;
        };
        if !found.eq_ignore_ascii_case(scheme) {
            return Offer::Missing;
        }
        let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
        let credentials = rest.get(spaces..).unwrap_or_default();
        if credentials.is_empty() || credentials.len() == rest.len() {
            return Offer::Unusable;
        }
        Offer::Found(credentials)
    })
}

fn only<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Offer<&'a [u8]> {
    match (values.next(), values.next()) {
        (None, _) => Offer::Missing,
        (Some(value), None) => Offer::Found(value),
        (Some(_), Some(_)) => Offer::Unusable,
    }
}

/// Cuts spaces and tabs, and nothing else: other white space is no part of the cookie syntax.
fn trim_blank(bytes: &[u8]) -> &[u8] {
    let is_ink = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let Some(first) = bytes.iter().position(is_ink) else {
        return &[];
    };
    let last = bytes.iter().rposition(is_ink).unwrap_or(first);
    bytes.get(first..=last).unwrap_or_default()
}
