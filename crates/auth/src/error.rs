//! [`AuthError`]: what is wrong with an [`AuthConfig`](crate::AuthConfig), and where.
//!
//! Invariant: no message contains a configured value, only names, paths and counts.

use std::fmt;

use crate::{
    LookupError,
    jwt::{Algorithm, KeyError, UnknownAlgorithm},
    resolve::{DEPTH_MAX, MEMBERS_MAX, SECRET_BYTES_MAX},
};

/// A rule of [`AuthRule`] is broken at one place of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthError {
    /// The key below the `auth` table, such as `types[1].password`; empty for the table itself.
    pub path: String,
    /// The rule.
    pub rule: AuthRule,
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            write!(f, "{}", self.rule)
        } else {
            write!(f, "{}: {}", self.path, self.rule)
        }
    }
}

impl std::error::Error for AuthError {}

/// The rules a checked authentication keeps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthRule {
    /// A text is empty, in the configuration or behind a reference: nothing would be demanded.
    #[error("is empty")]
    Empty,
    /// A text is longer than any header field a server would read.
    #[error("is longer than {SECRET_BYTES_MAX} bytes")]
    TooLong,
    /// A text contains a character that no client can send in this place.
    #[error("contains a character that cannot be sent there: expected {expected}")]
    Unsendable {
        /// The allowed characters, in words.
        expected: &'static str,
    },
    /// A `types` list has no members.
    #[error("the list is empty: expected at least one authentication type")]
    NoMembers,
    /// The lists hold too many members in total, each of which costs a comparison per request.
    #[error("more than {MEMBERS_MAX} members in total")]
    TooManyMembers,
    /// Lists within lists within lists.
    #[error("nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// A text has `${` in it but is not a whole reference.
    #[error("not a reference: expected exactly ${{env:NAME}} or ${{file:/absolute/path}}")]
    BadReference,
    /// A reference leads nowhere.
    #[error("cannot resolve {reference}: {error}")]
    Unresolved {
        /// The reference as written.
        reference: String,
        /// What the look-up said.
        error: LookupError,
    },
    /// No name of an algorithm.
    #[error("{0}")]
    Algorithm(UnknownAlgorithm),
    /// An algorithm is allowed that no key is for.
    #[error(
        "there is no key for {0}: HS… needs `secret`, the others `public_key` or `jwks` with a key of their kind"
    )]
    NoKeyFor(Algorithm),
    /// A public key cannot be used.
    #[error("{0}")]
    Key(KeyError),
    /// A key in PEM stands where a secret is expected.
    #[error("it is a key in PEM: expected a secret text; a public key belongs into `public_key`")]
    KeyAsSecret,
    /// A secret is shorter than the hash that it is used with.
    #[error("has less than {least} bytes, which the algorithm needs (RFC 7518, 3.2)")]
    TooShort {
        /// Bytes.
        least: usize,
    },
    /// A key that only a key server's tokens need is missing.
    #[error("is needed with `jwks`: a key server signs for others as well")]
    NeededWithKeyServer,
    /// No URL that can be asked.
    #[error(
        "expected a URL such as https://example.org/path, with {{0}} only behind the host, and without user and password"
    )]
    Url,
    /// A secret would go unencrypted to another machine.
    #[error("expected https: credentials and keys would go unencrypted over the network")]
    Unencrypted,
    /// No time, or too long a one.
    #[error("expected a time such as \"30s\", at most {most}")]
    Time {
        /// The longest.
        most: String,
    },
}
