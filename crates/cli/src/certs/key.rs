//! Private keys: made, and written plain or behind a passphrase.

use std::fmt;

use anyhow::Context as _;
use getrandom::SysRng;
use pkcs8::{EncodePrivateKey as _, LineEnding, PrivateKeyInfoRef, pkcs5::pbes2};
use rcgen::KeyPair;

/// Rounds of PBKDF2 with SHA-256; what OWASP and browsers' password stores use.
const ROUNDS: u32 = 600_000;

const RSA_BITS: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    EcdsaP256,
    Rsa4096,
}

/// The secret of the files that hold a key for transport.
pub(super) struct Passphrase(pub(super) String);

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase")
    }
}

/// A private key that signs.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) pair: KeyPair,
}

impl Key {
    pub(super) fn new(algorithm: Algorithm) -> anyhow::Result<Self> {
        let pair = match algorithm {
            Algorithm::EcdsaP256 => KeyPair::generate(),
            Algorithm::Rsa4096 => {
                let key = rsa::PrivateKey::new(&mut SysRng, RSA_BITS)
                    .context("cannot make an RSA key")?;
                let der = key.to_pkcs8_der().context("cannot encode an RSA key")?;
                // rcgen signs with ring, in constant time.
                KeyPair::try_from(der.as_bytes())
            }
        };
        let pair = pair.context("cannot make a key")?;
        Ok(Self { pair })
    }

    pub(super) fn from_pem(text: &str) -> Result<Self, rcgen::Error> {
        let pair = KeyPair::from_pem(text)?;
        Ok(Self { pair })
    }

    pub(super) fn to_pem(&self) -> String {
        self.pair.serialize_pem()
    }

    /// In the form of PKCS#8 with PBES2 (RFC 8018): PBKDF2 with SHA-256, AES-256.
    pub(super) fn to_encrypted_pem(&self, passphrase: &Passphrase) -> anyhow::Result<String> {
        let (mut salt, mut iv) = ([0; 16], [0; 16]);
        for bytes in [&mut salt, &mut iv] {
            getrandom::fill(bytes).context("the system has no random numbers")?;
        }
        let encrypted = pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(ROUNDS, &salt, iv)
            .context("cannot encrypt a key")?;
        let key = PrivateKeyInfoRef::try_from(self.pair.serialized_der())
            .context("cannot read our own key")?;
        let encrypted = key
            .encrypt_with_params(encrypted, &passphrase.0)
            .context("cannot encrypt a key")?;
        let pem = encrypted
            .to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF)
            .context("cannot encode a key")?;
        Ok((*pem).clone())
    }
}
