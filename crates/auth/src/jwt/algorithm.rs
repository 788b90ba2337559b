//! The algorithms of signatures (RFC 7518 section 3.1, RFC 8037) that tokens may have.
//!
//! Invariant: there is no way to name one that signs nothing.

use std::{fmt, str::FromStr};

/// How a token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519; its newer name (RFC 9864) is understood as well.
    EdDsa,
}

/// Not the name of an [`Algorithm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA"
)]
pub struct UnknownAlgorithm;

const NAMES: &[(Algorithm, &str)] = &[
    (Algorithm::Hs256, "HS256"),
    (Algorithm::Hs384, "HS384"),
    (Algorithm::Hs512, "HS512"),
    (Algorithm::Rs256, "RS256"),
    (Algorithm::Rs384, "RS384"),
    (Algorithm::Rs512, "RS512"),
    (Algorithm::Ps256, "PS256"),
    (Algorithm::Ps384, "PS384"),
    (Algorithm::Ps512, "PS512"),
    (Algorithm::Es256, "ES256"),
    (Algorithm::Es384, "ES384"),
    (Algorithm::EdDsa, "EdDSA"),
    (Algorithm::EdDsa, "Ed25519"),
];

impl Algorithm {
    /// The name in the header of a token.
    pub fn name(self) -> &'static str {
        let found = NAMES.iter().find(|(algorithm, _)| *algorithm == self);
        found.map_or("", |(_, name)| name)
    }

    /// Bytes that a secret must have at least: as many as the hash (RFC 7518 section 3.2). 0: it takes no secret.
    pub(crate) fn secret_bytes_min(self) -> usize {
        match self {
            Self::Hs256 => 32,
            Self::Hs384 => 48,
            Self::Hs512 => 64,
            Self::Rs256
            | Self::Rs384
            | Self::Rs512
            | Self::Ps256
            | Self::Ps384
            | Self::Ps512
            | Self::Es256
            | Self::Es384
            | Self::EdDsa => 0,
        }
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    /// Names are compared as they are: `hs256` is none.
    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        let found = NAMES.iter().find(|(_, known)| *known == name);
        found
            .map(|(algorithm, _)| *algorithm)
            .ok_or(UnknownAlgorithm)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
