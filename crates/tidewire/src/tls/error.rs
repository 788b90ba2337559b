//! Why TLS cannot be set up: which file, what it should hold, what is wrong with it.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// TLS cannot be set up.
///
/// Where a path is told and the PEM text was given as bytes, the path is a name in brackets,
/// such as `(private key from memory)`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read or holds no such PEM block.
    #[error("{}: expected {expected} in PEM form: {reason}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// What the reader said.
        reason: String,
    },
    /// Others than the owner and its group can use the file of a private key.
    #[error(
        "{path}: mode {mode:04o} exposes the private key, expected 0640 or less: run `chmod 640 {path}`",
        path = path.display()
    )]
    KeyExposed {
        /// The key's file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The private key is encrypted, and no passphrase was given.
    #[error("{}: the private key is encrypted, expected a passphrase for it", path.display())]
    PassphraseMissing {
        /// The key's file.
        path: PathBuf,
    },
    /// The passphrase does not open the private key.
    #[error("{}: the passphrase does not open the private key", path.display())]
    PassphraseWrong {
        /// The key's file.
        path: PathBuf,
    },
    /// The private key is in a form that is not supported; a command converts it.
    #[error("{path}: {reason}: convert it by `{command}`", path = path.display())]
    KeyForm {
        /// The key's file.
        path: PathBuf,
        /// What is wrong with the form.
        reason: &'static str,
        /// The command that makes a supported file.
        command: String,
    },
    /// Certificate and key do not belong together, or one is of an unsupported kind.
    #[error(
        "certificate and key cannot be used: {} and {}: {reason}",
        certificate.display(),
        key.display()
    )]
    Identity {
        /// The file of the certificate chain.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What the TLS library said.
        reason: String,
    },
    /// The trust roots, revocation lists or settings are not usable.
    #[error("{what} cannot be used: {reason}")]
    Unusable {
        /// Which part, with its file if there is one.
        what: String,
        /// What is wrong.
        reason: String,
    },
}

impl TlsError {
    pub(super) fn pem(path: &Path, expected: &'static str, reason: impl fmt::Display) -> Self {
        Self::Pem {
            path: path.into(),
            expected,
            reason: reason.to_string(),
        }
    }

    pub(super) fn unusable(what: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self::Unusable {
            what: what.into(),
            reason: reason.to_string(),
        }
    }
}
