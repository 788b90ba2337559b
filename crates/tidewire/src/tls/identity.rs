//! Who we are: a certificate chain and its private key.

use std::{fmt, path::PathBuf, sync::Arc};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::{TlsError, peer::Validity, private_key, source::Source};

/// A certificate chain and its private key, for a server or for a client.
///
/// Nothing is read before the server or client is built; files are read again at every reload.
/// On Unix a key file that others than its owner and group can read (mode above 0640) is an
/// error.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    chain: Chain,
    key: Source,
    passphrase: Option<Arc<Zeroizing<String>>>,
    exposed_key_allowed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Chain {
    Pem(Source),
    /// Made from the key, anew at every load.
    #[cfg(feature = "self-signed")]
    SelfSigned,
}

/// Tells where it comes from, never the key or the passphrase.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("chain", &self.chain)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// The chain in the PEM file `certificate`, our own certificate first, and the first private
    /// key in the PEM file `key` (PKCS#8, PKCS#1 or SEC1). Both may be one file.
    pub fn from_files(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self::new(
            Chain::Pem(Source::File(certificate.into())),
            Source::File(key.into()),
        )
    }

    /// As [`from_files`](Self::from_files), from PEM text in memory.
    pub fn from_pem(certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        Self::new(
            Chain::Pem(Source::memory(
                "(certificate chain from memory)",
                certificate,
            )),
            Source::memory("(private key from memory)", key),
        )
    }

    /// An ephemeral self-signed certificate for the first private key (PKCS#8) in the PEM file
    /// `key`: **encrypted, unauthenticated**. Nobody can verify it, so whoever sits between
    /// client and server can read and change everything; only for clients that do not verify
    /// ([`ClientTls::danger_unverified`](super::ClientTls::danger_unverified)).
    #[cfg(feature = "self-signed")]
    pub fn danger_self_signed(key: impl Into<PathBuf>) -> Self {
        Self::new(Chain::SelfSigned, Source::File(key.into()))
    }

    fn new(chain: Chain, key: Source) -> Self {
        Self {
            chain,
            key,
            passphrase: None,
            exposed_key_allowed: false,
        }
    }

    /// Opens an encrypted key (PKCS#8, `ENCRYPTED PRIVATE KEY`, PBES2). Without effect on a key
    /// that is not encrypted.
    #[must_use]
    pub fn passphrase(mut self, passphrase: impl Into<String>) -> Self {
        self.passphrase = Some(Arc::new(Zeroizing::new(passphrase.into())));
        self
    }

    /// Takes a key file although others can read it, for systems that mount secrets with fixed
    /// modes: every user of the machine may then impersonate us.
    #[must_use]
    pub fn danger_allow_exposed_key_file(mut self) -> Self {
        self.exposed_key_allowed = true;
        self
    }

    /// Reads chain and key.
    pub(super) fn load(
        &self,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let passphrase = self.passphrase.as_ref().map(|text| text.as_bytes());
        let key = private_key::load(&self.key, passphrase, self.exposed_key_allowed)?;
        let chain = match &self.chain {
            Chain::Pem(source) => source.certificates()?,
            #[cfg(feature = "self-signed")]
            Chain::SelfSigned => vec![self_signed(&key).map_err(|cause| self.unusable(cause))?],
        };
        Ok((chain, key))
    }

    /// When our own certificate is valid; `None` when it is made from the key.
    pub(super) fn validity(&self) -> Result<Option<Validity>, TlsError> {
        let (path, chain) = match &self.chain {
            Chain::Pem(source) => (source.path(), source.certificates()?),
            #[cfg(feature = "self-signed")]
            Chain::SelfSigned => return Ok(None),
        };
        let own = chain.first().map(|own| Validity::of(own)).transpose();
        own.map_err(|cause| TlsError::pem(path, "a certificate", cause))
    }

    /// What it is loaded from.
    pub(super) fn sources(&self) -> impl Iterator<Item = &Source> {
        let chain = match &self.chain {
            Chain::Pem(source) => Some(source),
            #[cfg(feature = "self-signed")]
            Chain::SelfSigned => None,
        };
        chain.into_iter().chain([&self.key])
    }

    pub(super) fn unusable(&self, cause: impl fmt::Display) -> TlsError {
        let certificate = match &self.chain {
            Chain::Pem(source) => source.path().into(),
            #[cfg(feature = "self-signed")]
            Chain::SelfSigned => PathBuf::from("(self-signed)"),
        };
        TlsError::Identity {
            certificate,
            key: self.key.path().into(),
            reason: cause.to_string(),
        }
    }
}

#[cfg(feature = "self-signed")]
fn self_signed(key: &PrivateKeyDer<'_>) -> Result<CertificateDer<'static>, rcgen::Error> {
    let pair = rcgen::KeyPair::try_from(key)?;
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()])?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "unauthenticated");
    Ok(params.self_signed(&pair)?.der().clone())
}
