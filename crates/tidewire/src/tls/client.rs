//! The client's side of TLS.

use std::{fmt, io, path::Path, sync::Arc};

use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, TlsStream};

use super::{TlsError, certificates, private_key, provider, roots, unusable};

/// Whom a client trusts, and which certificate it shows.
#[derive(Clone)]
pub struct ClientTls {
    connector: TlsConnector,
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls")
    }
}

impl ClientTls {
    /// Trusts the system's certificate authorities.
    ///
    /// # Errors
    /// [`TlsError`], when the system has none.
    pub fn system_roots() -> Result<Self, TlsError> {
        let mut store = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (added, _ignored) = store.add_parsable_certificates(found.certs);
        if added == 0 {
            return Err(unusable(
                "the system's certificate authorities",
                &"none found",
            ));
        }
        Self::build(Arc::new(store), None)
    }

    /// Trusts the certificate authorities in the PEM file `ca` only.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn with_ca(ca: &Path) -> Result<Self, TlsError> {
        Self::build(roots(ca)?, None)
    }

    /// As [`with_ca`](Self::with_ca), and shows the certificate chain in `certificate`, whose
    /// key is in `key`, to servers that ask (mutual TLS).
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn with_ca_and_identity(
        ca: &Path,
        certificate: &Path,
        key: &Path,
    ) -> Result<Self, TlsError> {
        Self::build(roots(ca)?, Some((certificate, key)))
    }

    fn build(
        store: Arc<RootCertStore>,
        identity: Option<(&Path, &Path)>,
    ) -> Result<Self, TlsError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|cause| unusable("protocol versions", &cause))?
            .with_root_certificates(store);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
                .map_err(|cause| unusable("certificate and key", &cause))?,
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
        })
    }

    /// The host name is verified against the server's certificate and sent as SNI.
    pub(crate) async fn connect(
        &self,
        host: &str,
        tcp: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        self.connector
            .connect(name, tcp)
            .await
            .map(TlsStream::Client)
    }
}
