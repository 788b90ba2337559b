//! [`AuthError`]: what is wrong with an [`AuthConfig`](crate::AuthConfig), and where.
//!
//! Invariant: no message contains a configured value, only names, paths and counts.

use std::fmt;

use crate::{
    LookupError,
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
}
