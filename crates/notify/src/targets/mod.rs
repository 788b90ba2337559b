//! The kinds of targets there are.

mod file; // lines of a file

use std::{io, sync::Arc};

use tidewire_config::{Checker, quote};

pub use self::file::{FileConfig, FileTarget};
use crate::{Target, TargetConfig};

/// A target could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the target {name} cannot be used")]
pub struct MakeError {
    /// Its name.
    pub name: String,
    /// Why.
    pub source: io::Error,
}

/// The names of the tables that say of which type a target is.
pub(crate) fn types_of(config: &TargetConfig) -> Vec<&'static str> {
    let mut types = Vec::new();
    if config.file.as_ref().is_some_and(|file| file.enabled) {
        types.push("file");
    }
    types
}

/// The names of all such tables.
pub(crate) const TYPES: &[&str] = &["file"];

/// Checks the table of its type. Returns whether it is right.
pub(crate) fn check(check: &mut Checker<'_>, at: &str, config: &TargetConfig) -> bool {
    match &config.file {
        Some(file) if file.path.is_empty() => {
            check.value(&format!("{at}.file.path"), &quote(""), "the path of a file");
            false
        }
        Some(_) | None => true,
    }
}

/// Makes the target that a checked configuration means.
///
/// # Errors
/// [`MakeError`]: what it needs of this machine is not there.
pub(crate) fn make(config: &TargetConfig) -> Result<Arc<dyn Target>, MakeError> {
    if let Some(file) = &config.file {
        return Ok(Arc::new(FileTarget::new(file.clone())));
    }
    Err(MakeError {
        name: config.name.clone(),
        source: io::Error::new(io::ErrorKind::InvalidInput, "it has no type"),
    })
}
