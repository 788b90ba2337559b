//! The server's side of TLS.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ConfigBuilder, RootCertStore, ServerConfig,
    crypto::CryptoProvider,
    server::{
        NoServerSessionStorage, WantsServerCert, WebPkiClientVerifier, danger::ClientCertVerifier,
    },
};
use tokio_rustls::{StartHandshake, server};

use super::{
    Identity, TlsError, TlsPeer, TlsStream, TlsVersion, Validity, client_hello,
    explain::{Explained, in_words},
    provider,
    reload::{Adopted, Live, Plan},
    source::Source,
    transcript::{self, AsSentVerifier},
    trust::{self, Revocation},
    usual_alpn,
};
use crate::socket::Socket;

/// A server's certificate, and which client certificates it demands.
///
/// Clones share one state: a [`reload`](Self::reload) of one reloads all.
///
/// Session tickets are encrypted with keys that change every six hours. With mutual TLS there
/// are none: a resumed session would be let in without a look at its certificate, which may
/// have expired or been revoked since. There is no early data, which could be replayed.
#[derive(Clone, Debug)]
pub struct ServerTls {
    live: Arc<Live<ServerPlan>>,
}

/// Settings of a [`ServerTls`].
#[derive(Clone, Debug)]
#[must_use = "nothing is set up before `build`"]
pub struct ServerTlsBuilder {
    plan: ServerPlan,
    reload_every: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ServerPlan {
    identity: Identity,
    client_ca: Vec<Source>,
    revocation: Revocation,
    min_version: TlsVersion,
    /// `None` is what is usual.
    alpn: Option<Vec<Vec<u8>>>,
}

impl ServerTls {
    /// Shows the certificate chain in the PEM file `certificate`, whose key is in `key`; clients
    /// need none. Short for a [`builder`](Self::builder) with [`Identity::from_files`].
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn from_pem(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Self::builder(Identity::from_files(certificate, key)).build()
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
        Self::builder(Identity::from_files(certificate, key))
            .client_ca_file(client_ca)
            .build()
    }

    /// A server that shows `identity`.
    pub fn builder(identity: Identity) -> ServerTlsBuilder {
        ServerTlsBuilder {
            plan: ServerPlan {
                identity,
                client_ca: Vec::new(),
                revocation: Revocation::default(),
                min_version: TlsVersion::V1_2,
                alpn: None,
            },
            reload_every: None,
        }
    }

    /// Reads all files again; handshakes that begin from now on use them, live connections go
    /// on. Sessions can no longer be resumed from before. Reads files: blocking.
    ///
    /// # Errors
    /// [`TlsError`]; the files read before stay in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.live.reload()
    }

    /// Takes over what `fresh`, which was built from equal settings, has read from their files, as by a
    /// [`reload`](Self::reload) that cannot fail. Returns whether that is anything else than what is in use.
    pub fn adopt(&self, fresh: &Self) -> Adopted {
        self.live.adopt(&fresh.live)
    }

    /// When the server's own certificate is valid, as its file has it now; `None` for one that is made from the key.
    /// Reads the file: blocking.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn validity(&self) -> Result<Option<Validity>, TlsError> {
        self.live.plan().identity.validity()
    }

    /// Whether clients must show a certificate.
    pub fn is_mutual(&self) -> bool {
        self.live.plan().is_mutual()
    }

    /// `first` is preferred to the application protocols that were set; those that were not are for HTTP only.
    pub(crate) async fn accept(
        &self,
        socket: Socket,
        first: Option<&[u8]>,
        is_http: bool,
    ) -> io::Result<(TlsStream, TlsPeer)> {
        let configs = self.live.for_handshake().await;
        let mut socket = socket;
        let hello = client_hello::read(&mut socket).await.map_err(in_words)?;
        let mut config = Arc::clone(if hello.is_marked {
            &configs.as_sent
        } else {
            &configs.usual
        });
        if !is_http && self.live.plan().alpn.is_none() {
            Arc::make_mut(&mut config).alpn_protocols.clear();
        }
        if let Some(first) = first {
            // What handshakes share is behind `Arc`s in it.
            let config = Arc::make_mut(&mut config);
            config.alpn_protocols.retain(|protocol| protocol != first);
            config.alpn_protocols.insert(0, first.to_vec());
        }
        let start = StartHandshake::from_parts(hello.accepted, socket);
        let mut rest = hello.rest.as_slice();
        let accepted = start.into_stream_with(config, |connection| {
            // Read with the hello: what clients send before they hear from us is little.
            while !rest.is_empty() && connection.read_tls(&mut rest).is_ok() {}
        });
        let stream: server::TlsStream<_> = accepted.await.map_err(in_words)?;
        let (_socket, session) = stream.get_ref();
        let server_name = session.server_name().map(str::to_owned);
        let peer = TlsPeer::new(session, server_name, true);
        Ok((TlsStream::new(stream), peer))
    }
}

/// Equal are those with the same settings, whatever the files they name hold at the moment.
impl PartialEq for ServerTls {
    fn eq(&self, other: &Self) -> bool {
        self.live.plan() == other.live.plan()
    }
}

impl Eq for ServerTls {}

impl ServerTlsBuilder {
    /// Mutual TLS: clients must show a certificate of a CA in this PEM file, and one without is
    /// refused in the handshake. May be called several times.
    pub fn client_ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.plan.client_ca.push(Source::File(path.into()));
        self
    }

    /// As [`client_ca_file`](Self::client_ca_file), from PEM text in memory.
    pub fn client_ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        let source = Source::memory("(client CA from memory)", pem);
        self.plan.client_ca.push(source);
        self
    }

    /// Refuses client certificates that a list in this PEM file revokes. May be called several
    /// times. From the first list on every CA of a client's chain needs a current one: a client
    /// whose status no list tells, or only one past its time, is refused too.
    pub fn crl_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.plan.revocation.lists.push(Source::File(path.into()));
        self
    }

    /// As [`crl_file`](Self::crl_file), from PEM text in memory.
    pub fn crl_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        let source = Source::memory("(revocation list from memory)", pem);
        self.plan.revocation.lists.push(source);
        self
    }

    /// Lets clients in whose revocation status no list tells, or only one past its time.
    pub fn danger_allow_unknown_revocation(mut self) -> Self {
        self.plan.revocation.unknown_allowed = true;
        self
    }

    /// The least version to speak; default [`TlsVersion::V1_2`].
    pub fn min_version(mut self, version: TlsVersion) -> Self {
        self.plan.min_version = version;
        self
    }

    /// Application protocols (ALPN), best first; default `http/1.1` where WebSocket or HTTP is spoken: a client that
    /// offers only others is refused, one that offers none is not. By default another protocol takes every client.
    pub fn alpn<T: Into<Vec<u8>>>(mut self, protocols: impl IntoIterator<Item = T>) -> Self {
        self.plan.alpn = Some(protocols.into_iter().map(Into::into).collect());
        self
    }

    /// Follows the files: once per `interval` a handshake looks whether one has changed, and if
    /// so uses the new ones. Files that cannot be used are logged as an error and the old stay
    /// in use. Default: never.
    pub fn reload_every(mut self, interval: Duration) -> Self {
        self.reload_every = Some(interval);
        self
    }

    /// Reads the files. Blocking.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn build(self) -> Result<ServerTls, TlsError> {
        if !self.plan.revocation.lists.is_empty() && !self.plan.is_mutual() {
            return Err(TlsError::unusable(
                "a revocation list",
                "there is no client CA",
            ));
        }
        Ok(ServerTls {
            live: Live::new(self.plan, self.reload_every)?,
        })
    }
}

impl ServerPlan {
    fn is_mutual(&self) -> bool {
        !self.client_ca.is_empty()
    }

    fn verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        if !self.is_mutual() {
            return Ok(WebPkiClientVerifier::no_client_auth());
        }
        let roots = trust::roots(RootCertStore::empty(), &self.client_ca)?;
        let mut builder = WebPkiClientVerifier::builder_with_provider(roots, provider())
            .with_crls(self.revocation.load()?);
        builder = if self.revocation.unknown_allowed {
            builder.allow_unknown_revocation_status()
        } else {
            builder.enforce_revocation_expiration()
        };
        let verifier = builder
            .build()
            .map_err(|cause| self.revocation.unusable("client CA with lists", cause))?;
        Ok(verifier)
    }

    fn begin(
        &self,
        provider: Arc<CryptoProvider>,
        verifier: Arc<dyn ClientCertVerifier>,
    ) -> Result<ConfigBuilder<ServerConfig, WantsServerCert>, TlsError> {
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(self.min_version.and_above())
            .map_err(|cause| TlsError::unusable("protocol versions", cause))?;
        Ok(builder.with_client_cert_verifier(verifier))
    }
}

/// The configuration of a server, twice; tickets of either are good for both.
pub(super) struct Configs {
    usual: Arc<ServerConfig>,
    /// For handshakes whose first message was changed on its way to rustls.
    as_sent: Arc<ServerConfig>,
}

impl Plan for ServerPlan {
    type Config = Configs;

    fn sources(&self) -> Vec<&Source> {
        let sources = self.identity.sources();
        let sources = sources.chain(&self.client_ca);
        sources.chain(&self.revocation.lists).collect()
    }

    fn build(&self) -> Result<Configs, TlsError> {
        let (chain, key) = self.identity.load()?;
        let verifier = self.verifier()?;
        let mut usual = self
            .begin(provider(), Arc::clone(&verifier))?
            .with_single_cert(chain, key)
            .map_err(|cause| self.identity.unusable(Explained::from(cause)))?;
        usual.alpn_protocols = self.alpn.clone().unwrap_or_else(usual_alpn);
        usual.max_early_data_size = 0;
        // Ticket keys and remembered sessions are new with every configuration: after a reload
        // nobody resumes what was agreed under the old files.
        if self.is_mutual() {
            usual.session_storage = Arc::new(NoServerSessionStorage {});
            usual.send_tls13_tickets = 0;
        } else {
            usual.ticketer = rustls::crypto::ring::Ticketer::new()
                .map_err(|cause| TlsError::unusable("session tickets", cause))?;
        }
        let mut as_sent = self
            .begin(transcript::provider(), Arc::new(AsSentVerifier(verifier)))?
            .with_cert_resolver(Arc::clone(&usual.cert_resolver));
        as_sent.alpn_protocols.clone_from(&usual.alpn_protocols);
        as_sent.max_early_data_size = usual.max_early_data_size;
        as_sent.session_storage = Arc::clone(&usual.session_storage);
        as_sent.send_tls13_tickets = usual.send_tls13_tickets;
        as_sent.ticketer = Arc::clone(&usual.ticketer);
        Ok(Configs {
            usual: Arc::new(usual),
            as_sent: Arc::new(as_sent),
        })
    }
}
