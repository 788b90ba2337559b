//! Settings of servers and clients in inbox style. All can be compared, so that the registry can
//! tell other parameters from the same ones.

#[cfg(feature = "tls")]
use std::path::PathBuf;
use std::{net::Ipv4Addr, num::NonZeroUsize};

use tidewire_proto::{Config, Kind};

use crate::{net::Address, queue::Bounds};

/// How much may wait to be read; then the peer is not read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InboxLimits {
    /// Most messages. Default 1024.
    pub messages_max: usize,
    /// Most bytes; an empty inbox takes one message of any size. Default 1 MiB.
    pub bytes_max: usize,
}

impl Default for InboxLimits {
    fn default() -> Self {
        Self {
            messages_max: 1024,
            bytes_max: 1 << 20,
        }
    }
}

impl InboxLimits {
    /// Limits in messages and in bytes.
    pub fn new(messages_max: usize, bytes_max: usize) -> Self {
        Self {
            messages_max,
            bytes_max,
        }
    }

    pub(super) fn bounds(self) -> Bounds {
        Bounds {
            items_max: self.messages_max,
            bytes_max: self.bytes_max,
        }
    }
}

/// How connections are secured. Files are PEM, and are read when a server starts or a client
/// connects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Security {
    /// Not at all: `ws`.
    #[default]
    Plain,
    /// `wss`, **encrypted, unauthenticated**: a client takes whatever certificate the server
    /// shows, so whoever sits between them can read and change everything.
    #[cfg(feature = "tls")]
    Unverified {
        /// The private key.
        key: PathBuf,
        /// Its certificate; `None` lets a server make one of its own from the key, for which it
        /// needs the feature `self-signed`, and a client show none.
        certificate: Option<PathBuf>,
    },
    /// `wss`, both ends show a certificate of the authority in `ca`, and without one nobody gets
    /// in; the server's is for the host name the client connects to.
    #[cfg(feature = "tls")]
    Mutual {
        /// The private key.
        key: PathBuf,
        /// Its certificate chain.
        certificate: PathBuf,
        /// The authority's certificate.
        ca: PathBuf,
    },
}

impl Security {
    /// [`Security::Unverified`] from a key alone.
    #[cfg(feature = "tls")]
    pub fn unverified(key: impl Into<PathBuf>) -> Self {
        Self::Unverified {
            key: key.into(),
            certificate: None,
        }
    }

    /// [`Security::Mutual`].
    #[cfg(feature = "tls")]
    pub fn mutual(
        key: impl Into<PathBuf>,
        certificate: impl Into<PathBuf>,
        ca: impl Into<PathBuf>,
    ) -> Self {
        Self::Mutual {
            key: key.into(),
            certificate: certificate.into(),
            ca: ca.into(),
        }
    }

    /// The scheme of addresses.
    pub(super) fn scheme(&self) -> &'static str {
        match self {
            Self::Plain => "ws",
            #[cfg(feature = "tls")]
            Self::Unverified { .. } | Self::Mutual { .. } => "wss",
        }
    }

    #[cfg(feature = "tls")]
    pub(super) fn server(&self) -> Result<Option<crate::tls::ServerTls>, crate::tls::TlsError> {
        use crate::tls::{Identity, ServerTls};
        match self {
            Self::Plain => Ok(None),
            Self::Unverified { key, certificate } => {
                let identity =
                    match certificate {
                        Some(certificate) => Identity::from_files(certificate, key),
                        #[cfg(feature = "self-signed")]
                        None => Identity::danger_self_signed(key),
                        #[cfg(not(feature = "self-signed"))]
                        None => return Err(crate::tls::TlsError::Unusable {
                            what: format!("the key {}", key.display()),
                            reason:
                                "there is no certificate for it, and this build lacks the feature \
                                 self-signed to make one"
                                    .into(),
                        }),
                    };
                ServerTls::builder(identity).build().map(Some)
            }
            Self::Mutual {
                key,
                certificate,
                ca,
            } => ServerTls::mutual_from_pem(certificate, key, ca).map(Some),
        }
    }

    #[cfg(feature = "tls")]
    pub(super) fn client(&self) -> Result<Option<crate::tls::ClientTls>, crate::tls::TlsError> {
        use crate::tls::{ClientTls, Identity};
        match self {
            Self::Plain => Ok(None),
            Self::Unverified { key, certificate } => {
                let builder = ClientTls::builder().danger_unverified();
                let builder = match certificate {
                    Some(certificate) => builder.identity(Identity::from_files(certificate, key)),
                    None => builder,
                };
                builder.build().map(Some)
            }
            Self::Mutual {
                key,
                certificate,
                ca,
            } => ClientTls::with_ca_and_identity(ca, certificate, key).map(Some),
        }
    }
}

/// Settings of a [`Server`](super::Server).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerConfig {
    /// Where to listen: an IP address, whose port 0 picks one, or a Unix socket.
    pub address: Address,
    /// Most sessions at a time, which is also the highest number of one; further clients get
    /// HTTP 503.
    pub sessions_max: usize,
    /// Default [`Security::Plain`].
    pub security: Security,
    /// Whether messages are sent as text, which has to be UTF-8, or binary. Default text. Both
    /// are received.
    pub outgoing: Kind,
    /// Bounds of each session's inbox.
    pub inbox: InboxLimits,
    /// Threads that drive the connections. Default 1.
    pub threads: NonZeroUsize,
    /// Limits and deadlines of each connection.
    pub socket: Config,
}

impl ServerConfig {
    /// On this port of all IPv4 addresses, everything else at its default.
    pub fn new(port: u16, sessions_max: usize) -> Self {
        Self {
            address: (Ipv4Addr::UNSPECIFIED, port).into(),
            sessions_max,
            security: Security::default(),
            outgoing: Kind::Text,
            inbox: InboxLimits::default(),
            threads: NonZeroUsize::MIN,
            socket: Config::default(),
        }
    }

    /// Sets [`security`](Self::security).
    #[must_use]
    pub fn security(mut self, security: Security) -> Self {
        self.security = security;
        self
    }
}
