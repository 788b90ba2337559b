//! From header bytes to the credentials in them.
//!
//! Invariant: what is ambiguous is no credential. A request with two `Authorization` fields,
//! two fields of the demanded name, two `Cookie` fields or two cookies of the demanded name
//! could be read one way here and another way by a proxy in front, so none of them counts.
//! RFC 9110 section 5.3 and RFC 6265 section 5.4 forbid clients to send such requests.

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::Headers;

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

/// Reads the bearer token.
pub(crate) fn bearer(headers: &dyn Headers) -> Offer<&[u8]> {
    authorization(headers, b"bearer")
}

/// The value of the one field of this name.
pub(crate) fn field<'a>(headers: &'a dyn Headers, name: &'a str) -> Offer<&'a [u8]> {
    only(headers.values(name))
}

/// The whole value of the one cookie of this name, quotes and `=` signs included.
pub(crate) fn cookie<'a>(headers: &'a dyn Headers, name: &str) -> Offer<&'a [u8]> {
    field(headers, "cookie").and_then(|line| {
        only(
            line.split(|byte| *byte == b';')
                .filter_map(|pair| {
                    let equals = pair.iter().position(|byte| *byte == b'=')?;
                    Some((pair.get(..equals)?, pair.get(equals + 1..)?))
                })
                .filter(|(found, _)| trim_blank(found).eq_ignore_ascii_case(name.as_bytes()))
                .map(|(_, value)| trim_blank(value)),
        )
    })
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
