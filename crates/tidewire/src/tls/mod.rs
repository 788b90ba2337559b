//! TLS 1.2 and 1.3 for servers and clients: certificates from PEM files, mutual TLS.
//!
//! The crypto provider is chosen here, so nothing depends on what the process installed
//! globally and nothing panics at run time.

mod server; // our certificate, whose clients are let in
mod client; // whom to trust, who we are

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::net::TcpStream;

pub use client::ClientTls;
pub use server::ServerTls;

/// TLS cannot be set up.
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
    /// Certificate and key, or the trust roots, are not usable.
    #[error("{what} cannot be used: {reason}")]
    Unusable {
        /// Which part.
        what: &'static str,
        /// What the TLS library said.
        reason: String,
    },
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let error = |reason: String| TlsError::Pem {
        path: path.into(),
        expected: "a certificate",
        reason,
    };
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(|cause| error(cause.to_string()))?
        .collect();
    let found = found.map_err(|cause| error(cause.to_string()))?;
    if found.is_empty() {
        Err(error("there is none".into()))
    } else {
        Ok(found)
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|cause| TlsError::Pem {
        path: path.into(),
        expected: "a private key",
        reason: cause.to_string(),
    })
}

fn roots(path: &Path) -> Result<Arc<rustls::RootCertStore>, TlsError> {
    let mut store = rustls::RootCertStore::empty();
    for certificate in certificates(path)? {
        store
            .add(certificate)
            .map_err(|cause| unusable("CA certificate", &cause))?;
    }
    Ok(Arc::new(store))
}

fn unusable(what: &'static str, cause: &dyn std::fmt::Display) -> TlsError {
    TlsError::Unusable {
        what,
        reason: cause.to_string(),
    }
}

/// The peer's chain in DER form, as verified in the handshake.
pub(crate) fn peer_certificates(stream: &tokio_rustls::TlsStream<TcpStream>) -> Vec<Vec<u8>> {
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    chain
        .iter()
        .map(|certificate| certificate.to_vec())
        .collect()
}
