//! What a client connects to, and how.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use tidewire_proto::{
    Config,
    handshake::{RequestOptions, Url},
};

use super::{AnswerLimits, Proxy};
use crate::{net::Address, ws::ConnectError};

/// What to connect to, and how.
#[derive(Clone)]
pub struct Client {
    pub(super) url: Url,
    headers: Vec<(String, String)>,
    subprotocols: Vec<String>,
    pub(super) config: Arc<Config>,
    pub(super) connect_timeout: Duration,
    pub(super) write_timeout: Duration,
    pub(super) address: Option<Address>,
    pub(super) proxy: Option<Proxy>,
    pub(super) preface: Bytes,
    pub(super) answer_limits: AnswerLimits,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<crate::tls::ClientTls>,
    #[cfg(feature = "http2")]
    pub(super) http2: bool,
}

impl fmt::Debug for Client {
    /// Without the values of headers and the query of the address, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Client")
            .field("host", &self.url.host())
            .field("port", &self.url.port())
            .field("secure", &self.url.is_secure())
            .field("headers", &headers)
            .field("subprotocols", &self.subprotocols)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client for `url`: `ws://`, `wss://`, or a Unix socket, see [`Url::parse`].
    ///
    /// # Errors
    /// [`ConnectError::Url`].
    pub fn new(url: &str) -> Result<Self, ConnectError> {
        Ok(Self::to(Url::parse(url)?))
    }

    /// A client for an address that was parsed before.
    pub fn to(url: Url) -> Self {
        Self {
            url,
            headers: Vec::new(),
            subprotocols: Vec::new(),
            config: Arc::default(),
            connect_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            address: None,
            proxy: None,
            preface: Bytes::new(),
            answer_limits: AnswerLimits::default(),
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "http2")]
            http2: false,
        }
    }

    /// Sends a further request header; `Host` instead of the address's host.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Offers a subprotocol; call in order of preference.
    #[must_use]
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.subprotocols.push(name.into());
        self
    }

    /// Limits and deadlines of the connection.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = Arc::new(config);
        self
    }

    /// Connects to this address; the URL's host is not resolved, but still names the server in
    /// the `Host` header and in TLS. With a proxy it is the address the proxy is asked for; a Unix
    /// socket is connected to without a proxy.
    #[must_use]
    pub fn address(mut self, address: impl Into<Address>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// Goes through a proxy. Default: none, whatever the environment says.
    #[must_use]
    pub fn proxy(mut self, proxy: impl Into<Proxy>) -> Self {
        self.proxy = Some(proxy.into());
        self
    }

    /// Sends these bytes before everything else, TLS included: a header of the PROXY protocol
    /// (see [`proxy::Header`](crate::proto::proxy::Header)). Default: none.
    #[must_use]
    pub fn preface(mut self, bytes: impl Into<Bytes>) -> Self {
        self.preface = bytes.into();
        self
    }

    /// Name resolution, TCP, the way through a proxy, TLS and handshake must be done within; default 10 s in all.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// How much a server may answer to the handshake; default 16 KiB of head, 64 fields, 64 KiB of a refusal's body.
    #[must_use]
    pub fn answer_limits(mut self, limits: AnswerLimits) -> Self {
        self.answer_limits = limits;
        self
    }

    /// A server that takes none of our bytes for this long is given up; default 10 s.
    #[must_use]
    pub fn write_timeout(mut self, limit: Duration) -> Self {
        self.write_timeout = limit;
        self
    }

    /// Trust and identity for `wss://`; the default is
    /// [`ClientTls::shared_system_roots`](crate::tls::ClientTls::shared_system_roots).
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: crate::tls::ClientTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Connects over HTTP/2 (RFC 8441): `wss` must agree on it by ALPN, `ws` takes for granted that
    /// the server speaks it. Every [`connect`](Self::connect) makes a connection of its own; to
    /// share one, see [`connect_http2`](Self::connect_http2).
    #[cfg(feature = "http2")]
    #[must_use]
    pub fn http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// What is asked for besides the address.
    pub(super) fn options(&self) -> RequestOptions<'_> {
        RequestOptions {
            headers: &self.headers,
            subprotocols: &self.subprotocols,
            deflate: self.config.deflate.as_ref(),
        }
    }
}
