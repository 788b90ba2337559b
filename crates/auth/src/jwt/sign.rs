//! [`SigningKey`]: makes tokens, for the command line and for tests.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use pkcs8::Document;
use ring::{
    hmac, rand, rsa,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair},
};

use super::{Algorithm, keys::hash_of};
use crate::Secret;

/// A key that signs tokens in one way.
pub struct SigningKey {
    algorithm: Algorithm,
    id: Option<String>,
    pair: Pair,
}

enum Pair {
    Hmac(hmac::Key),
    Rsa(Box<rsa::KeyPair>),
    Ecdsa(Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

/// No token was made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The secret is too short for the algorithm.
    #[error("the secret has less than {least} bytes, which {algorithm} needs (RFC 7518, 3.2)")]
    ShortSecret {
        /// The algorithm that it is meant for.
        algorithm: Algorithm,
        /// Bytes.
        least: usize,
    },
    /// The text is no private key that the algorithm takes.
    #[error("expected a private key for {algorithm} in PEM (BEGIN PRIVATE KEY): {reason}")]
    Key {
        /// The algorithm that it is meant for.
        algorithm: Algorithm,
        /// The reader's own words.
        reason: String,
    },
    /// The system gives no random bytes, or the key cannot sign.
    #[error("the key cannot sign")]
    Failed,
}

impl SigningKey {
    /// Reads a secret (HS…) or a private key in PEM, PKCS#8.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn new(algorithm: Algorithm, key: &Secret) -> Result<Self, SignError> {
        let text = key.expose();
        let pair = if let Some(hash) = hash_of(algorithm) {
            let least = algorithm.secret_bytes_min();
            if text.len() < least {
                return Err(SignError::ShortSecret { algorithm, least });
            }
            Pair::Hmac(hmac::Key::new(hash, text.as_bytes()))
        } else {
            let wrong = |reason: &dyn fmt::Display| SignError::Key {
                algorithm,
                reason: reason.to_string(),
            };
            let (label, document) = Document::from_pem(text).map_err(|error| wrong(&error))?;
            if label != "PRIVATE KEY" {
                return Err(wrong(&format_args!("it is a {label}")));
            }
            Pair::of_pkcs8(algorithm, document.as_bytes()).map_err(|error| wrong(&error))?
        };
        Ok(Self {
            algorithm,
            id: None,
            pair,
        })
    }

    /// Names the key in the header (`kid`). Default: no name.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Makes a token of these claims, a JSON object.
    ///
    /// # Errors
    /// [`SignError::Failed`].
    pub fn sign(&self, claims: &serde_json::Value) -> Result<String, SignError> {
        let mut header = serde_json::json!({"alg": self.algorithm.name(), "typ": "JWT"});
        if let (Some(id), Some(header)) = (&self.id, header.as_object_mut()) {
            header.insert("kid".to_owned(), id.as_str().into());
        }
        self.sign_parts(header.to_string().as_bytes(), claims.to_string().as_bytes())
    }

    /// Makes a token of any two parts: for tests of those who check tokens.
    ///
    /// # Errors
    /// [`SignError::Failed`].
    pub fn sign_parts(&self, header: &[u8], claims: &[u8]) -> Result<String, SignError> {
        let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = self.pair.sign(self.algorithm, signed.as_bytes())?;
        Ok(format!("{signed}.{}", encode(&signature)))
    }
}

impl Pair {
    fn of_pkcs8(algorithm: Algorithm, der: &[u8]) -> Result<Self, ring::error::KeyRejected> {
        let random = rand::SystemRandom::new();
        let ecdsa = |signing| EcdsaKeyPair::from_pkcs8(signing, der, &random);
        Ok(if algorithm == Algorithm::Es256 {
            Self::Ecdsa(Box::new(ecdsa(
                &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
            )?))
        } else if algorithm == Algorithm::Es384 {
            Self::Ecdsa(Box::new(ecdsa(
                &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
            )?))
        } else if algorithm == Algorithm::EdDsa {
            Self::Ed25519(Box::new(Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)?))
        } else {
            Self::Rsa(Box::new(rsa::KeyPair::from_pkcs8(der)?))
        })
    }

    fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let random = rand::SystemRandom::new();
        let failed = |_| SignError::Failed;
        Ok(match self {
            Self::Hmac(key) => hmac::sign(key, message).as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Ecdsa(pair) => {
                let signed = pair.sign(&random, message).map_err(failed)?;
                signed.as_ref().to_vec()
            }
            Self::Rsa(pair) => {
                let encoding = ENCODINGS.iter().find(|(own, _)| *own == algorithm);
                let encoding = encoding.map(|(_, encoding)| *encoding);
                let encoding = encoding.ok_or(SignError::Failed)?;
                let mut signed = vec![0; pair.public().modulus_len()];
                let done = pair.sign(encoding, &random, message, &mut signed);
                done.map_err(failed)?;
                signed
            }
        })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.algorithm)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

static ENCODINGS: [(Algorithm, &dyn signature::RsaEncoding); 6] = [
    (Algorithm::Rs256, &signature::RSA_PKCS1_SHA256),
    (Algorithm::Rs384, &signature::RSA_PKCS1_SHA384),
    (Algorithm::Rs512, &signature::RSA_PKCS1_SHA512),
    (Algorithm::Ps256, &signature::RSA_PSS_SHA256),
    (Algorithm::Ps384, &signature::RSA_PSS_SHA384),
    (Algorithm::Ps512, &signature::RSA_PSS_SHA512),
];
