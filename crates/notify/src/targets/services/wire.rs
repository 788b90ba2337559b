//! Connections to servers: TCP or a Unix socket, with or without TLS, as one type that the clients of services take; and the
//! pool in which they lie between deliveries.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use parking_lot::Mutex;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{Semaphore, SemaphorePermit},
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::access::{Endpoint, TlsFiles};

/// A connection's bytes.
pub(super) struct Wire(Box<dyn Io>);

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl Wire {
    /// Connects, without TLS.
    pub(super) async fn open(endpoint: &Endpoint) -> io::Result<Self> {
        match endpoint {
            Endpoint::Tcp(host, port) => {
                let host = host.trim_start_matches('[').trim_end_matches(']');
                let connecting = TcpStream::connect((host, *port));
                let Ok(stream) = timeout(CONNECT_WITHIN, connecting).await else {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "the server does not answer",
                    ));
                };
                let stream = stream?;
                stream.set_nodelay(true)?;
                Ok(Self(Box::new(stream)))
            }
            #[cfg(unix)]
            Endpoint::Unix(path) => {
                let stream = tokio::net::UnixStream::connect(path).await?;
                Ok(Self(Box::new(stream)))
            }
            #[cfg(not(unix))]
            Endpoint::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Begins TLS on it.
    pub(super) async fn secured(self, tls: &TlsFiles) -> io::Result<Self> {
        let name = ServerName::try_from(tls.server_name.clone())
            .map_err(|_| io::Error::other("server_name is neither a name nor an address"))?;
        let connector = TlsConnector::from(tls.client().await?);
        let stream = connector.connect(name, self).await?;
        Ok(Self(Box::new(stream)))
    }

    /// Connects, with TLS if there is any.
    pub(super) async fn open_with(endpoint: &Endpoint, tls: Option<&TlsFiles>) -> io::Result<Self> {
        let wire = Self::open(endpoint).await?;
        match tls {
            Some(tls) => wire.secured(tls).await,
            None => Ok(wire),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

impl TlsFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub(super) async fn client(&self) -> io::Result<Arc<ClientConfig>> {
        let files = self.clone();
        let config = spawn_blocking(move || files.read()).await;
        config.map_err(io::Error::other)?.map(Arc::new)
    }

    fn read(&self) -> io::Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        if self.ca.is_empty() {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        } else {
            for certificate in certificates(&self.ca)? {
                roots
                    .add(certificate)
                    .map_err(|error| of_file(&self.ca, &error))?;
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots);
        if self.certificate.is_empty() {
            return Ok(builder.with_no_client_auth());
        }
        let key =
            PrivateKeyDer::from_pem_file(&self.key).map_err(|error| of_file(&self.key, &error))?;
        builder
            .with_client_auth_cert(certificates(&self.certificate)?, key)
            .map_err(io::Error::other)
    }
}

fn certificates(path: &str) -> io::Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| of_file(path, &error))
}

fn of_file(path: &str, error: &dyn fmt::Display) -> io::Error {
    io::Error::other(format!("{path}: {error}"))
}

/// Connections that no delivery uses. A delivery takes one out and puts it back once it has succeeded: one that fails or is
/// cut off leaves none behind.
pub(super) struct Pool<C> {
    idle: Mutex<Vec<C>>,
    /// So many may be under way.
    permits: Semaphore,
}

impl<C> Pool<C> {
    pub(super) fn new(connections: usize) -> Self {
        Self {
            idle: Mutex::default(),
            permits: Semaphore::new(connections),
        }
    }

    /// Waits until there may be a further connection.
    pub(super) async fn permit(&self) -> SemaphorePermit<'_> {
        let permit = self.permits.acquire().await;
        permit.expect("the semaphore is never closed")
    }

    /// The connection that was used last, if `is_alive` says so; those that are not go.
    pub(super) fn take(&self, is_alive: impl Fn(&C) -> bool) -> Option<C> {
        let mut idle = self.idle.lock();
        while let Some(connection) = idle.pop() {
            if is_alive(&connection) {
                return Some(connection);
            }
        }
        None
    }

    pub(super) fn put(&self, connection: C) {
        self.idle.lock().push(connection);
    }

    /// Lets all go: when one has broken, so have the others, most likely.
    pub(super) fn clear(&self) {
        let gone = std::mem::take(&mut *self.idle.lock());
        drop(gone);
    }
}

impl<C> fmt::Debug for Pool<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

/// A task that ends with its owner, and whatever it holds.
#[derive(Debug)]
pub(super) struct Task(JoinHandle<()>);

impl Task {
    pub(super) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(future))
    }

    pub(super) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The worker's time limit holds too; this one leaves something of it for another address of the same name.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
