//! The server's side of TLS.

use std::{fmt, io, path::Path, sync::Arc};

use rustls::{ServerConfig, server::WebPkiClientVerifier};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::{TlsError, certificates, private_key, provider, roots, unusable};

/// A server's certificate, and which client certificates it demands.
#[derive(Clone)]
pub struct ServerTls {
    acceptor: TlsAcceptor,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}

impl ServerTls {
    /// Shows the certificate chain in the PEM file `certificate`, whose key is in `key`; clients
    /// need none.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn from_pem(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Self::build(certificate, key, None)
    }

    /// As [`from_pem`](Self::from_pem), and clients must show a certificate of the CA in the
    /// PEM file `client_ca`: one without is refused in the handshake.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn mutual_from_pem(
        certificate: &Path,
        key: &Path,
        client_ca: &Path,
    ) -> Result<Self, TlsError> {
        Self::build(certificate, key, Some(client_ca))
    }

    fn build(certificate: &Path, key: &Path, client_ca: Option<&Path>) -> Result<Self, TlsError> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|cause| unusable("protocol versions", &cause))?;
        let builder = match client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(roots(path)?, provider())
                        .build()
                        .map_err(|cause| unusable("client CA", &cause))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(certificates(certificate)?, private_key(key)?)
            .map_err(|cause| unusable("certificate and key", &cause))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }

    pub(crate) async fn accept(&self, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.acceptor.accept(tcp).await.map(TlsStream::Server)
    }
}
