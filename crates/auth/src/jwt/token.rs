//! A token in the compact form: three parts, a header, a signature.

use std::time::SystemTime;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    Algorithm, KeySet, TokenRules, claims,
    keys::KEY_ID_BYTES_MAX,
    object::{Malformed, Object},
};
use crate::Identity;

/// The longest token, in bytes: half of the default request head.
pub const TOKEN_BYTES_MAX: usize = 8192;

/// Why a token is refused. For logs and counters: clients hear that it was, not why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadToken {
    /// More than [`TOKEN_BYTES_MAX`].
    #[error("a token longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    /// Not three parts of base64url, or the header is no JSON object.
    #[error("not a signed token")]
    Malformed,
    /// The header demands what is not understood: `crit`, `b64`, encryption, compression, a nested token, or a token for
    /// another purpose.
    #[error("a kind of token that is not understood")]
    Unsupported,
    /// Signed in a way that is not among the configured ones.
    #[error("an algorithm that is not configured")]
    Algorithm,
    /// No configured key made this signature.
    #[error("a wrong signature, or of an unknown key")]
    Signature,
    /// A claim is missing, or not of the type that it has to be.
    #[error("a claim is missing or malformed")]
    Claims,
    /// `exp` is over.
    #[error("expired")]
    Expired,
    /// `nbf` or `iat` is still to come.
    #[error("not yet valid")]
    NotYet,
    /// `iss` is somebody else.
    #[error("another issuer")]
    Issuer,
    /// `aud` is somebody else.
    #[error("for another audience")]
    Audience,
}

impl From<Malformed> for BadToken {
    fn from(_: Malformed) -> Self {
        Self::Claims
    }
}

/// The keys that a token may be signed with.
#[derive(Clone, Copy)]
pub(crate) struct Keys<'a> {
    /// Those in the configuration.
    pub(crate) fixed: &'a KeySet,
    /// Those of the key server.
    pub(crate) fetched: Option<&'a KeySet>,
}

/// Checks a token and returns whom it stands for.
pub(crate) fn verify(
    token: &[u8],
    keys: Keys<'_>,
    rules: &TokenRules,
    now: SystemTime,
) -> Result<Identity, BadToken> {
    let parts = Parts::of(token)?;
    let header = Header::read(parts.header)?;
    if !rules.algorithms.contains(&header.algorithm) {
        return Err(BadToken::Algorithm);
    }
    let signature = decode(parts.signature)?;
    let sets = [Some(keys.fixed), keys.fetched];
    let is_signed = sets.into_iter().flatten().any(|set| {
        let id = header.key_id.as_deref();
        set.verify(header.algorithm, id, parts.signed, &signature)
    });
    if !is_signed {
        return Err(BadToken::Signature);
    }
    claims::identity(&decode(parts.claims)?, rules, now)
}

/// The key that a token names, if it names one.
pub(crate) struct SignedBy(pub(crate) Option<String>);

/// The key that a token claims to be signed with, where the token could be good if the key were known.
pub(crate) fn signed_by(token: &[u8], rules: &TokenRules) -> Option<SignedBy> {
    let header = Header::read(Parts::of(token).ok()?.header).ok()?;
    let is_asked_for = rules.algorithms.contains(&header.algorithm);
    // A key server gives no secrets.
    (is_asked_for && header.algorithm.secret_bytes_min() == 0).then_some(SignedBy(header.key_id))
}

/// Header and claims of a token as they are written, whoever has signed it: for people who look at one, never for a
/// decision. `None`: it has not the form of a signed token.
pub fn unverified_parts(token: &str) -> Option<(String, String)> {
    let parts = Parts::of(token.as_bytes()).ok()?;
    let text = |part: &[u8]| String::from_utf8(decode(part).ok()?).ok();
    Some((text(parts.header)?, text(parts.claims)?))
}

struct Parts<'a> {
    /// Header and claims with the point between them.
    signed: &'a [u8],
    header: &'a [u8],
    claims: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(token: &'a [u8]) -> Result<Self, BadToken> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(BadToken::TooLong);
        }
        let mut parts = token.split(|byte| *byte == b'.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(BadToken::Malformed);
        };
        let signed = token.get(..header.len() + 1 + claims.len());
        Ok(Self {
            signed: signed.ok_or(BadToken::Malformed)?,
            header,
            claims,
            signature,
        })
    }
}

struct Header {
    algorithm: Algorithm,
    key_id: Option<String>,
}

impl Header {
    fn read(part: &[u8]) -> Result<Self, BadToken> {
        let header = Object::parse(&decode(part)?).ok_or(BadToken::Malformed)?;
        //= rfc7515#4.1.11: who does not understand what `crit` names must refuse
        if ["crit", "b64", "enc", "zip", "cty"]
            .iter()
            .any(|name| header.has(name))
        {
            return Err(BadToken::Unsupported);
        }
        let kind: Option<String> = header.get("typ").map_err(|_| BadToken::Malformed)?;
        if !kind.is_none_or(|kind| is_for_access(&kind)) {
            return Err(BadToken::Unsupported);
        }
        let name: Option<String> = header.get("alg").map_err(|_| BadToken::Malformed)?;
        let name = name.ok_or(BadToken::Malformed)?;
        let key_id: Option<String> = header.get("kid").map_err(|_| BadToken::Malformed)?;
        if key_id
            .as_ref()
            .is_some_and(|id| id.len() > KEY_ID_BYTES_MAX)
        {
            return Err(BadToken::Malformed);
        }
        Ok(Self {
            algorithm: name.parse().map_err(|_| BadToken::Algorithm)?,
            key_id,
        })
    }
}

/// Tokens for other purposes (of a logout, of a security event) say so, and may come from the same issuer with the same
/// key (RFC 8725 section 3.11).
fn is_for_access(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    let kind = kind.strip_prefix("application/").unwrap_or(&kind);
    matches!(kind, "jwt" | "at+jwt")
}

/// Base64url without padding, spaces or stray bits: one spelling for each part.
fn decode(part: &[u8]) -> Result<Vec<u8>, BadToken> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| BadToken::Malformed)
}
