//! References to secrets that live outside the configuration: `${env:NAME}`, `${file:/path}`.
//!
//! The crate does no I/O: [`Lookup`] is given by the caller, so that tests need neither files
//! nor variables and the process environment is read in one place of the program only.

use crate::{AuthRule, Secret};

/// Finds what a reference points to.
pub trait Lookup {
    /// The value of an environment variable.
    fn env(&self, name: &str) -> Result<Secret, LookupError>;

    /// The content of a file. One line end after the last line is removed by the caller.
    fn file(&self, path: &str) -> Result<Secret, LookupError>;
}

/// Why a reference could not be resolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// There is no such variable.
    #[error("the environment variable is not set")]
    NotSet,
    /// The file cannot be read.
    #[error("{reason}")]
    Unreadable {
        /// What the system said.
        reason: String,
    },
    /// References are not available here.
    #[error("references are not available here")]
    Unavailable,
}

/// The [`Lookup`] that finds nothing, for configurations without references.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLookup;

impl Lookup for NoLookup {
    fn env(&self, _: &str) -> Result<Secret, LookupError> {
        Err(LookupError::Unavailable)
    }

    fn file(&self, _: &str) -> Result<Secret, LookupError> {
        Err(LookupError::Unavailable)
    }
}

/// Looks up a secret that the configuration refers to, `${env:NAME}` or `${file:/path}`. A text that is no reference is
/// an error: where this is used, no secret may stand in the configuration itself.
///
/// # Errors
/// [`AuthRule::BadReference`], [`AuthRule::Unresolved`].
pub fn resolve_reference(text: &str, lookup: &dyn Lookup) -> Result<Secret, AuthRule> {
    if !text.contains("${") {
        return Err(AuthRule::BadReference);
    }
    resolve_text(&Secret::from(text), lookup)
}

/// Replaces a reference by what it points to; other texts are returned as they are.
///
/// A text with `${` that is not one whole reference is an error: the author meant a
/// reference, and taking the text literally would set a password nobody knows of. A secret
/// that really contains `${` belongs in a file; what a reference yields is never looked at again.
///
/// # Errors
/// [`AuthRule::BadReference`] and [`AuthRule::Unresolved`].
pub fn resolve_text(text: &Secret, lookup: &dyn Lookup) -> Result<Secret, AuthRule> {
    let raw = text.expose();
    if !raw.contains("${") {
        return Ok(text.clone());
    }
    let reference = raw
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
        .filter(|inner| !inner.contains(['$', '{', '}']))
        .ok_or(AuthRule::BadReference)?;
    let (source, target) = reference.split_once(':').ok_or(AuthRule::BadReference)?;
    let found = match source {
        "env" if !target.is_empty() && !target.contains(['=', '\0']) => lookup.env(target),
        "file" if target.starts_with('/') => lookup.file(target).map(without_line_end),
        _ => return Err(AuthRule::BadReference),
    };
    found.map_err(|error| AuthRule::Unresolved {
        reference: raw.to_owned(),
        error,
    })
}

/// Editors end a file with a line end that is not part of the secret.
fn without_line_end(content: Secret) -> Secret {
    let text = content.expose();
    let Some(line) = text.strip_suffix('\n') else {
        return content;
    };
    Secret::from(line.strip_suffix('\r').unwrap_or(line))
}
