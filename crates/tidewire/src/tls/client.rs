//! The client's side of TLS.

use std::{
    future::poll_fn,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use rustls::{
    ClientConfig, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    pki_types::ServerName,
};
use tokio::io::ReadBuf;
use tokio_rustls::TlsConnector;

use super::{
    Identity, TlsError, TlsPeer, TlsStream, TlsVersion,
    explain::{Explained, in_words_for_client},
    provider,
    reload::{Live, Plan},
    source::Source,
    trust::{self, Revocation},
    unverified::AnyServer,
    usual_alpn,
    verified::Verified,
};
use crate::socket::Socket;

/// Whom a client trusts, and which certificate it shows.
///
/// The host of the address, or another [name](ClientTlsBuilder::server_name), is verified against the
/// server's certificate, a name or an IP address; a name is also sent as SNI. Clones share one state: a [`reload`](Self::reload) of
/// one reloads all.
#[derive(Clone, Debug)]
pub struct ClientTls {
    live: Arc<Live<ClientPlan>>,
}

/// Settings of a [`ClientTls`].
#[derive(Clone, Debug)]
#[must_use = "nothing is set up before `build`"]
pub struct ClientTlsBuilder {
    plan: ClientPlan,
    reload_every: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ClientPlan {
    system_roots: bool,
    ca: Vec<Source>,
    revocation: Revocation,
    /// Anybody will do; excludes all of the above.
    unverified: bool,
    identity: Option<Identity>,
    /// Instead of the address's host.
    server_name: Option<String>,
    min_version: TlsVersion,
    /// `None` is what is usual.
    alpn: Option<Vec<Vec<u8>>>,
}

impl ClientTls {
    /// Trusts the system's certificate authorities, as they are now. Reads files: blocking;
    /// async programs have [`shared_system_roots`](Self::shared_system_roots).
    ///
    /// # Errors
    /// [`TlsError`], when the system has none.
    pub fn system_roots() -> Result<Self, TlsError> {
        Self::builder().system_roots().build()
    }

    /// Trusts the certificate authorities in the PEM file `ca` only.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn with_ca(ca: &Path) -> Result<Self, TlsError> {
        Self::builder().ca_file(ca).build()
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
        Self::builder()
            .ca_file(ca)
            .identity(Identity::from_files(certificate, key))
            .build()
    }

    /// Takes whatever certificate the server shows: **encrypted, unauthenticated**. Whoever sits
    /// between client and server can read and change everything.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn danger_unverified() -> Result<Self, TlsError> {
        Self::builder().danger_unverified().build()
    }

    /// A client that trusts nobody yet and shows no certificate.
    pub fn builder() -> ClientTlsBuilder {
        ClientTlsBuilder {
            plan: ClientPlan {
                system_roots: false,
                ca: Vec::new(),
                revocation: Revocation::default(),
                unverified: false,
                identity: None,
                server_name: None,
                min_version: TlsVersion::V1_2,
                alpn: None,
            },
            reload_every: None,
        }
    }

    /// Reads all files and the system's authorities again; connections made from now on use
    /// them, live ones go on. Reads files: blocking.
    ///
    /// # Errors
    /// [`TlsError`]; what was read before stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.live.reload()
    }

    /// As [`connect`](Self::connect), for a protocol other than HTTP: what was not set is not offered.
    pub(crate) async fn connect_bare(
        &self,
        host: &str,
        socket: Socket,
    ) -> Result<(TlsStream, TlsPeer), HandshakeFailure> {
        let none: &[&[u8]] = &[];
        let offered = self.live.plan().alpn.is_none().then_some(none);
        self.connect(host, socket, offered).await
    }

    /// `host` is who the server has to be, unless a name was set; `offered` are the
    /// application protocols, best first, instead of those that were set.
    pub(crate) async fn connect(
        &self,
        host: &str,
        socket: Socket,
        offered: Option<&[&[u8]]>,
    ) -> Result<(TlsStream, TlsPeer), HandshakeFailure> {
        let wanted = self.live.plan().server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(wanted.to_owned()).map_err(io::Error::other)?;
        let server_name = match &name {
            ServerName::DnsName(name) => Some(name.as_ref().to_owned()),
            ServerName::IpAddress(_) | _ => None,
        };
        let mut config = self.live.for_handshake().await;
        if let Some(offered) = offered {
            let offered = offered.iter().map(|it| it.to_vec()).collect();
            Arc::make_mut(&mut config).alpn_protocols = offered;
        }
        let mut handshake = TlsConnector::from(config).connect(name, socket);
        let mut begin = Beginning {
            bytes: [0; 64],
            len: 0,
        };
        let shaken = poll_fn(|cx| {
            if let Some(socket) = handshake.get_ref() {
                begin.look(cx, socket);
            }
            Pin::new(&mut handshake).poll(cx)
        });
        let stream = shaken.await.map_err(|error| HandshakeFailure {
            no_tls: begin.other_than_tls(),
            error: in_words_for_client(error),
        })?;
        let (_socket, session) = stream.get_ref();
        let peer = TlsPeer::new(session, server_name, !self.live.plan().unverified);
        Ok((TlsStream::new(stream), peer))
    }
}

/// A handshake that failed.
#[derive(Debug)]
pub(crate) struct HandshakeFailure {
    /// In words.
    pub(crate) error: io::Error,
    /// The first bytes of a server that does not speak TLS.
    pub(crate) no_tls: Option<Vec<u8>>,
}

impl From<io::Error> for HandshakeFailure {
    fn from(error: io::Error) -> Self {
        let no_tls = None;
        Self { error, no_tls }
    }
}

/// The first bytes that a server sends, to be told when they are no TLS.
struct Beginning {
    bytes: [u8; 64],
    len: usize,
}

impl Beginning {
    /// Looks at what has come, without taking it; the task is woken when there is something.
    fn look(&mut self, cx: &mut Context<'_>, socket: &Socket) {
        if self.len > 0 {
            return;
        }
        let mut space = ReadBuf::new(&mut self.bytes);
        if let Poll::Ready(Ok(count)) = socket.poll_peek(cx, &mut space) {
            self.len = count;
        }
    }

    /// The bytes that have come, unless it begins as a record of TLS does (RFC 8446 section 5.1).
    fn other_than_tls(&self) -> Option<Vec<u8>> {
        match self.bytes.get(..self.len)? {
            [] | [20..=23] | [20..=23, 3, ..] => None,
            bytes => Some(bytes.to_vec()),
        }
    }
}

/// Equal are those with the same settings, whatever the files they name hold at the moment.
impl PartialEq for ClientTls {
    fn eq(&self, other: &Self) -> bool {
        self.live.plan() == other.live.plan()
    }
}

impl Eq for ClientTls {}

impl ClientTlsBuilder {
    /// Trusts the system's certificate authorities.
    pub fn system_roots(mut self) -> Self {
        self.plan.system_roots = true;
        self
    }

    /// Trusts the certificate authorities in this PEM file. May be called several times, and
    /// together with [`system_roots`](Self::system_roots).
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.plan.ca.push(Source::File(path.into()));
        self
    }

    /// As [`ca_file`](Self::ca_file), from PEM text in memory.
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.plan.ca.push(Source::memory("(CA from memory)", pem));
        self
    }

    /// Refuses servers whose certificate a list in this PEM file revokes. From the first list on
    /// every CA of a server's chain needs a current one.
    pub fn crl_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.plan.revocation.lists.push(Source::File(path.into()));
        self
    }

    /// Takes servers whose revocation status no list tells, or only one past its time.
    pub fn danger_allow_unknown_revocation(mut self) -> Self {
        self.plan.revocation.unknown_allowed = true;
        self
    }

    /// As [`ClientTls::danger_unverified`]. Trusting somebody besides is an error.
    pub fn danger_unverified(mut self) -> Self {
        self.plan.unverified = true;
        self
    }

    /// Shows a certificate to servers that ask for one (mutual TLS).
    pub fn identity(mut self, identity: Identity) -> Self {
        self.plan.identity = Some(identity);
        self
    }

    /// Who the server has to be by its certificate, a DNS name or an IP address; a name is also sent as SNI. For
    /// servers that are reached by an address or a name that their certificate does not tell. Default: the host of
    /// the address.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.plan.server_name = Some(name.into());
        self
    }

    /// The least version to speak; default [`TlsVersion::V1_2`].
    pub fn min_version(mut self, version: TlsVersion) -> Self {
        self.plan.min_version = version;
        self
    }

    /// Application protocols (ALPN) to offer, best first; default `http/1.1` for WebSocket and HTTP, none for other
    /// protocols.
    pub fn alpn<T: Into<Vec<u8>>>(mut self, protocols: impl IntoIterator<Item = T>) -> Self {
        self.plan.alpn = Some(protocols.into_iter().map(Into::into).collect());
        self
    }

    /// Follows the files, as [`ServerTlsBuilder::reload_every`](super::ServerTlsBuilder). The
    /// system's authorities are read again when a file changes.
    pub fn reload_every(mut self, interval: Duration) -> Self {
        self.reload_every = Some(interval);
        self
    }

    /// Reads the files. Blocking.
    ///
    /// # Errors
    /// [`TlsError`]; also when nobody is trusted, or somebody besides everybody, or the server's name cannot be one.
    pub fn build(self) -> Result<ClientTls, TlsError> {
        let plan = &self.plan;
        let trusts = plan.system_roots || !plan.ca.is_empty();
        if plan.unverified && (trusts || !plan.revocation.lists.is_empty()) {
            let reason = "danger_unverified verifies nothing";
            return Err(TlsError::unusable("certificate authorities", reason));
        }
        if !trusts && !plan.unverified {
            let reason = "none chosen, expected the system's or a CA file";
            return Err(TlsError::unusable("certificate authorities", reason));
        }
        if let Some(name) = &plan.server_name
            && let Err(cause) = ServerName::try_from(name.as_str())
        {
            return Err(TlsError::unusable(format!("server name {name:?}"), cause));
        }
        Ok(ClientTls {
            live: Live::new(self.plan, self.reload_every)?,
        })
    }
}

impl ClientPlan {
    fn verifier(&self) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
        if self.unverified {
            return Ok(Arc::new(AnyServer(provider())));
        }
        let system = if self.system_roots {
            trust::system()?
        } else {
            RootCertStore::empty()
        };
        let roots = trust::roots(system, &self.ca)?;
        let mut builder = WebPkiServerVerifier::builder_with_provider(roots, provider())
            .with_crls(self.revocation.load()?);
        builder = if self.revocation.unknown_allowed {
            builder.allow_unknown_revocation_status()
        } else {
            builder.enforce_revocation_expiration()
        };
        let verifier = builder
            .build()
            .map_err(|cause| self.revocation.unusable("CA with lists", cause))?;
        Ok(Arc::new(Verified(verifier)))
    }
}

impl Plan for ClientPlan {
    type Config = ClientConfig;

    fn sources(&self) -> Vec<&Source> {
        let identity = self.identity.iter().flat_map(Identity::sources);
        let sources = identity.chain(&self.ca);
        sources.chain(&self.revocation.lists).collect()
    }

    fn build(&self) -> Result<ClientConfig, TlsError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(self.min_version.and_above())
            .map_err(|cause| TlsError::unusable("protocol versions", cause))?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier()?);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = identity.load()?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|cause| identity.unusable(Explained::from(cause)))?
            }
        };
        config.alpn_protocols = self.alpn.clone().unwrap_or_else(usual_alpn);
        config.enable_early_data = false;
        Ok(config)
    }
}
