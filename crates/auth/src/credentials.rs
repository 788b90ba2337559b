//! From the bytes of a request to the credentials in it.
//!
//! Invariants: where something of one name stands several times, one right value is enough, and each is looked at. A
//! browser sends all cookies that match, those of the host and those of the domain under one name (RFC 6265 section
//! 5.4), and knows no way to tell which is which; proxies add fields of their own beside those of clients. Nothing is
//! put together from several values.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode;
use zeroize::Zeroizing;

use crate::{Headers, decode_parameter, raw_parameters};

/// A subprotocol (RFC 6455 section 11.3.4) that begins so is no way to talk but a bearer token, for pages: they can give
/// a WebSocket no header field. The token follows, percent-encoded where a subprotocol cannot hold a character.
pub const BEARER_SUBPROTOCOL: &str = "tidewire.bearer.";

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

/// Reads the basic credentials. Base64 must be canonical: standard alphabet, padded, no stray bits. `None`: there are
/// some that cannot be read.
pub(crate) fn basic(headers: &dyn Headers) -> impl Iterator<Item = Option<UserPassword>> {
    basic_encoded(headers).map(|encoded| {
        let decoded = Zeroizing::new(STANDARD.decode(encoded?).ok()?);
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        Some(UserPassword { decoded, colon })
    })
}

/// The user that the basic credentials of a request name, whether they are right or not: for counting failures by
/// account. `None` when there are none, or none that can be read.
pub fn claimed_user(headers: &dyn Headers) -> Option<String> {
    basic(headers)
        .flatten()
        .find_map(|found| String::from_utf8(found.user().to_vec()).ok())
}

/// The text behind the word `Basic`; `None`: there is none.
pub(crate) fn basic_encoded(headers: &dyn Headers) -> impl Iterator<Item = Option<&[u8]>> {
    authorizations(headers, b"basic")
}

/// The tokens of a request: of the `Authorization` field, of the subprotocols, and, where `query` names one, of a
/// parameter of the query. A token that cannot be read is an empty one, which is nobody's.
pub(crate) fn bearer<'a>(headers: &'a dyn Headers, query: Option<&'a str>) -> Vec<Token<'a>> {
    let fields = authorizations(headers, b"bearer");
    let fields = fields.map(|token| Token::Sent(token.unwrap_or_default()));
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
    fields.chain(offered).chain(parameters).collect()
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

/// The text behind `scheme` and its spaces in the `Authorization` fields of this scheme; `None`: there is none.
fn authorizations<'a>(
    headers: &'a dyn Headers,
    scheme: &'a [u8],
) -> impl Iterator<Item = Option<&'a [u8]>> {
    headers.values("authorization").filter_map(move |value| {
        let (found, rest) = value.split_at_checked(scheme.len())?;
        if !found.eq_ignore_ascii_case(scheme) {
            return None;
        }
        let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
        let credentials = rest.get(spaces..).unwrap_or_default();
        let is_there = !credentials.is_empty() && credentials.len() < rest.len();
        Some(is_there.then_some(credentials))
    })
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
