//! Keys that tokens are checked with: secrets, public keys in PEM, JSON Web Keys (RFC 7517).
//!
//! In: texts of the operator, or the answer of a key server. Out: keys by their ids. Invariants: a key is of one kind, and
//! the kind decides which algorithms it may be used with, never the token; a key server cannot give secrets.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use pkcs8::{
    Document,
    der::{Decode as _, Reader as _, SliceReader, asn1::UintRef},
    spki::{ObjectIdentifier, SubjectPublicKeyInfoRef},
};
use ring::{hmac, signature};
use serde::Deserialize;

use super::Algorithm;
use crate::Secret;

/// The most keys of a set.
pub const KEYS_MAX: usize = 64;
/// The longest id of a key, in bytes.
pub(super) const KEY_ID_BYTES_MAX: usize = 256;

/// Keys, and which algorithms each may be used with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<Key>,
}

/// A text holds no key, or one that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Neither PEM nor JSON.
    #[error("expected a public key in PEM (BEGIN PUBLIC KEY) or a JSON Web Key (Set)")]
    Unreadable,
    /// It holds a private key, which has no place in a server that only checks tokens.
    #[error("it is a private key: expected the public one")]
    Private,
    /// A kind that no algorithm is known for, or an RSA key of less than 2048 or more than 8192 bits.
    #[error("expected RSA of 2048 to 8192 bits, P-256, P-384 or Ed25519")]
    Unsupported,
    /// More than [`KEYS_MAX`].
    #[error("more than {KEYS_MAX} keys")]
    TooMany,
    /// Not a single usable key for signatures.
    #[error("there is no key for signatures in it")]
    None,
}

#[derive(Clone, PartialEq, Eq)]
struct Key {
    id: Option<String>,
    /// The key's own restriction.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Clone, PartialEq, Eq)]
enum Material {
    Secret(Secret),
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.material {
            Material::Secret(_) => "secret",
            Material::Rsa { .. } => "RSA",
            Material::P256(_) => "P-256",
            Material::P384(_) => "P-384",
            Material::Ed25519(_) => "Ed25519",
        };
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("kind", &kind)
            .finish_non_exhaustive()
    }
}

impl KeySet {
    /// One secret, for HMAC.
    pub fn of_secret(secret: Secret) -> Self {
        Self {
            keys: vec![Key::of(Material::Secret(secret))],
        }
    }

    /// Reads the text of an operator: public keys in PEM, one behind the other, or a JSON Web Key (Set).
    ///
    /// # Errors
    /// [`KeyError`]; here every key has to be usable.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        if text.contains("PRIVATE KEY") {
            return Err(KeyError::Private);
        }
        if text.trim_start().starts_with('{') {
            return Self::from_jwks(text.as_bytes(), OnUnusable::Refuse);
        }
        let mut keys = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("-----BEGIN ") {
            let block = rest.get(start..).unwrap_or_default();
            let end = block.find("-----END ").ok_or(KeyError::Unreadable)?;
            let behind = block.get(end + 9..).unwrap_or_default();
            let closed = behind.find("-----").ok_or(KeyError::Unreadable)?;
            let length = end + 9 + closed + 5;
            let pem = block.get(..length).ok_or(KeyError::Unreadable)?;
            keys.push(Key::of(Material::of_pem(pem)?));
            rest = block.get(length..).unwrap_or_default();
        }
        Self::of(keys, KeyError::Unreadable)
    }

    /// A JSON Web Key Set, as a key server answers: what cannot be used is passed over, as RFC 7517 section 5 asks for.
    ///
    /// # Errors
    /// [`KeyError`]: it is no set, or nothing in it can be used.
    pub fn from_key_server(json: &[u8]) -> Result<Self, KeyError> {
        Self::from_jwks(json, OnUnusable::PassOver)
    }

    fn from_jwks(json: &[u8], on_unusable: OnUnusable) -> Result<Self, KeyError> {
        let set: JwkSet = serde_json::from_slice(json)
            .or_else(|_| serde_json::from_slice(json).map(|key| JwkSet { keys: vec![key] }))
            .map_err(|_| KeyError::Unreadable)?;
        if set.keys.len() > KEYS_MAX {
            return Err(KeyError::TooMany);
        }
        let mut keys = Vec::new();
        for value in set.keys {
            let key = serde_json::from_value::<Jwk>(value).map_err(|_| KeyError::Unreadable);
            match (key.and_then(Jwk::key), on_unusable) {
                (Ok(key), _) => keys.extend(key),
                (Err(error), OnUnusable::Refuse) => return Err(error),
                (Err(_), OnUnusable::PassOver) => {}
            }
        }
        Self::of(keys, KeyError::None)
    }

    fn of(keys: Vec<Key>, if_none: KeyError) -> Result<Self, KeyError> {
        match keys.len() {
            0 => Err(if_none),
            1..=KEYS_MAX => Ok(Self { keys }),
            _ => Err(KeyError::TooMany),
        }
    }

    /// Adds the keys of another set.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.keys.extend(other.keys);
        self
    }

    /// Returns whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns whether one of the keys has this id.
    pub fn has_id(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id.as_deref() == Some(id))
    }

    /// Returns whether one of the keys may be used with `algorithm`.
    pub fn has_key_for(&self, algorithm: Algorithm) -> bool {
        self.keys.iter().any(|key| key.is_for(algorithm, None))
    }

    /// Returns whether a key that may be used with `algorithm`, and has the id, if the token names one and the key has
    /// one, made `signature` of `message`.
    pub(super) fn verify(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let mut keys = self.keys.iter().filter(|key| key.is_for(algorithm, id));
        keys.any(|key| key.material.verify(algorithm, message, signature))
    }
}

/// The fate of a key that cannot be used.
#[derive(Clone, Copy)]
enum OnUnusable {
    Refuse,
    PassOver,
}

impl Key {
    fn of(material: Material) -> Self {
        Self {
            id: None,
            algorithm: None,
            material,
        }
    }

    fn is_for(&self, algorithm: Algorithm, id: Option<&str>) -> bool {
        let is_named = match (id, self.id.as_deref()) {
            (Some(wanted), Some(own)) => wanted == own,
            (Some(_), None) | (None, _) => true,
        };
        is_named
            && self.algorithm.is_none_or(|own| own == algorithm)
            && self.material.is_for(algorithm)
    }
}

impl Material {
    /// The confusion of kinds ends here: a public key is no secret, however a token is labelled.
    fn is_for(&self, algorithm: Algorithm) -> bool {
        use Algorithm as A;
        match self {
            Self::Secret(_) => matches!(algorithm, A::Hs256 | A::Hs384 | A::Hs512),
            Self::Rsa { .. } => matches!(
                algorithm,
                A::Rs256 | A::Rs384 | A::Rs512 | A::Ps256 | A::Ps384 | A::Ps512
            ),
            Self::P256(_) => algorithm == A::Es256,
            Self::P384(_) => algorithm == A::Es384,
            Self::Ed25519(_) => algorithm == A::EdDsa,
        }
    }

    fn verify(&self, algorithm: Algorithm, message: &[u8], mac: &[u8]) -> bool {
        let by = |verification: &'static dyn signature::VerificationAlgorithm, key: &[u8]| {
            let key = signature::UnparsedPublicKey::new(verification, key);
            key.verify(message, mac).is_ok()
        };
        match self {
            Self::Secret(secret) => hash_of(algorithm).is_some_and(|hash| {
                let key = hmac::Key::new(hash, secret.expose().as_bytes());
                hmac::verify(&key, message, mac).is_ok()
            }),
            Self::Rsa { n, e } => rsa_parameters(algorithm).is_some_and(|parameters| {
                let key = signature::RsaPublicKeyComponents { n, e };
                key.verify(parameters, message, mac).is_ok()
            }),
            Self::P256(point) => by(&signature::ECDSA_P256_SHA256_FIXED, point),
            Self::P384(point) => by(&signature::ECDSA_P384_SHA384_FIXED, point),
            Self::Ed25519(point) => by(&signature::ED25519, point),
        }
    }

    fn of_pem(pem: &str) -> Result<Self, KeyError> {
        let (label, document) = Document::from_pem(pem).map_err(|_| KeyError::Unreadable)?;
        if label == "RSA PUBLIC KEY" {
            return rsa_of_der(document.as_bytes());
        }
        if label != "PUBLIC KEY" {
            return Err(KeyError::Unreadable);
        }
        let info = SubjectPublicKeyInfoRef::from_der(document.as_bytes())
            .map_err(|_| KeyError::Unreadable)?;
        let bits = info.subject_public_key.as_bytes();
        let bits = bits.ok_or(KeyError::Unreadable)?;
        let curve = || {
            let parameters = info.algorithm.parameters?;
            parameters.decode_as::<ObjectIdentifier>().ok()
        };
        match info.algorithm.oid {
            RSA => rsa_of_der(bits),
            EC if curve() == Some(P256) => point(bits, 65).map(Self::P256),
            EC if curve() == Some(P384) => point(bits, 97).map(Self::P384),
            ED25519 if bits.len() == 32 => Ok(Self::Ed25519(bits.to_vec())),
            _ => Err(KeyError::Unsupported),
        }
    }
}

/// `None`: it is no HMAC.
pub(super) fn hash_of(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    static HASHES: [(Algorithm, &hmac::Algorithm); 3] = [
        (Algorithm::Hs256, &hmac::HMAC_SHA256),
        (Algorithm::Hs384, &hmac::HMAC_SHA384),
        (Algorithm::Hs512, &hmac::HMAC_SHA512),
    ];
    let found = HASHES.iter().find(|(own, _)| *own == algorithm);
    found.map(|(_, hash)| **hash)
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static signature::RsaParameters> {
    static PARAMETERS: [(Algorithm, &signature::RsaParameters); 6] = [
        (Algorithm::Rs256, &signature::RSA_PKCS1_2048_8192_SHA256),
        (Algorithm::Rs384, &signature::RSA_PKCS1_2048_8192_SHA384),
        (Algorithm::Rs512, &signature::RSA_PKCS1_2048_8192_SHA512),
        (Algorithm::Ps256, &signature::RSA_PSS_2048_8192_SHA256),
        (Algorithm::Ps384, &signature::RSA_PSS_2048_8192_SHA384),
        (Algorithm::Ps512, &signature::RSA_PSS_2048_8192_SHA512),
    ];
    let found = PARAMETERS.iter().find(|(own, _)| *own == algorithm);
    found.map(|(_, parameters)| *parameters)
}

/// An uncompressed point of a curve.
fn point(bits: &[u8], length: usize) -> Result<Vec<u8>, KeyError> {
    let is_whole = bits.len() == length && bits.first() == Some(&4);
    is_whole.then(|| bits.to_vec()).ok_or(KeyError::Unsupported)
}

fn rsa(n: &[u8], e: &[u8]) -> Result<Material, KeyError> {
    let without_zeros = |number: &[u8]| {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        number.get(zeros..).unwrap_or_default().to_vec()
    };
    let (n, e) = (without_zeros(n), without_zeros(e));
    let bits = n.len() * 8 - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
    // The bounds of the verification itself; a key beyond them would refuse every token without a word.
    if !(2048..=8192).contains(&bits) || e.is_empty() || e.len() > 4 {
        return Err(KeyError::Unsupported);
    }
    Ok(Material::Rsa { n, e })
}

/// `RSAPublicKey` of PKCS#1.
fn rsa_of_der(der: &[u8]) -> Result<Material, KeyError> {
    let unreadable = |_| KeyError::Unreadable;
    let mut reader = SliceReader::new(der).map_err(unreadable)?;
    let (n, e) = reader
        .sequence(|inner| {
            Ok::<_, pkcs8::der::Error>((UintRef::decode(inner)?, UintRef::decode(inner)?))
        })
        .map_err(unreadable)?;
    rsa(n.as_bytes(), e.as_bytes())
}

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<serde_json::Value>,
}

/// Members of RFC 7517 and RFC 7518 section 6.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<serde::de::IgnoredAny>,
}

impl Jwk {
    /// `Ok(None)`: a good key that is not for signatures.
    fn key(self) -> Result<Option<Key>, KeyError> {
        if self.d.is_some() {
            return Err(KeyError::Private);
        }
        let is_for_signatures = self.usage.as_deref().is_none_or(|usage| usage == "sig")
            && self
                .key_ops
                .as_ref()
                .is_none_or(|operations| operations.iter().any(|it| it == "verify"));
        if !is_for_signatures {
            return Ok(None);
        }
        if self
            .kid
            .as_ref()
            .is_some_and(|id| id.len() > KEY_ID_BYTES_MAX)
        {
            return Err(KeyError::Unsupported);
        }
        let number = |text: &Option<String>| {
            let text = text.as_ref().ok_or(KeyError::Unreadable)?;
            URL_SAFE_NO_PAD
                .decode(text)
                .map_err(|_| KeyError::Unreadable)
        };
        let point = |length: usize| {
            let (x, y) = (number(&self.x)?, number(&self.y)?);
            if x.len() != length || y.len() != length {
                return Err(KeyError::Unsupported);
            }
            Ok([&[4], x.as_slice(), y.as_slice()].concat())
        };
        let material = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => rsa(&number(&self.n)?, &number(&self.e)?)?,
            ("EC", Some("P-256")) => Material::P256(point(32)?),
            ("EC", Some("P-384")) => Material::P384(point(48)?),
            ("OKP", Some("Ed25519")) => {
                let x = number(&self.x)?;
                (x.len() == 32)
                    .then_some(Material::Ed25519(x))
                    .ok_or(KeyError::Unsupported)?
            }
            // Also `oct`: who can fetch a secret could sign with it.
            _ => return Err(KeyError::Unsupported),
        };
        let algorithm = match self.alg.as_deref() {
            None => None,
            Some(name) => Some(name.parse().map_err(|_| KeyError::Unsupported)?),
        };
        if algorithm.is_some_and(|algorithm| !material.is_for(algorithm)) {
            return Err(KeyError::Unsupported);
        }
        Ok(Some(Key {
            id: self.kid,
            algorithm,
            material,
        }))
    }
}
