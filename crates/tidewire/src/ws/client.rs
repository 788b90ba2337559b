//! The client: connect to `ws://` and `wss://`.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use tidewire_proto::{
    Config, Connection,
    handshake::{
        Agreed, ClientRequest, RequestOptions, ResponseHead, Url,
    },
    proxy::ProxyUrl,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

#[cfg(feature = "http2")]
use super::Http2Connection;
use super::{AnswerLimits, ConnectError, Peer, Proxy, ProxyError, WebSocket, answer::read_head, proxy};
use crate::{
    entropy,
    net::{Stream, dial},
};

/// Connects to `url` with default settings.
///
/// # Errors
/// [`ConnectError`].
///
/// # Cancel safety
/// Cancel safe: when dropped, the attempt is given up.
pub async fn connect(url: &str) -> Result<WebSocket, ConnectError> {
    Client::new(url)?.connect().await
}

/// Connects to `url` over `stream` with default settings; see [`Client::connect_with`].
///
/// # Errors
/// [`ConnectError`].
///
/// # Cancel safety
/// Cancel safe: when dropped, the stream is dropped.
pub async fn connect_with<S>(url: &str, stream: S) -> Result<WebSocket<S>, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    Client::new(url)?.connect_with(stream).await
}

/// What to connect to, and how.
#[derive(Clone)]
pub struct Client {
    pub(super) url: Url,
    headers: Vec<(String, String)>,
    subprotocols: Vec<String>,
    config: Arc<Config>,
    pub(super) connect_timeout: Duration,
    pub(super) write_timeout: Duration,
    address: Option<SocketAddr>,
    proxy: Option<Proxy>,
    preface: Bytes,
    pub(super) answer_limits: AnswerLimits,
    #[cfg(feature = "tls")]
    tls: Option<crate::tls::ClientTls>,
    #[cfg(feature = "http2")]
    http2: bool,
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
    /// A client for `url`.
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
    /// the `Host` header and in TLS. With a proxy it is the address the proxy is asked for.
    #[must_use]
    pub fn address(mut self, address: SocketAddr) -> Self {
        self.address = Some(address);
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

    /// Connects over HTTP/2 without opening a WebSocket yet, to open many on one connection.
    ///
    /// # Errors
    /// [`ConnectError`]; [`ConnectError::NoExtendedConnect`] when the server speaks HTTP/2 but no
    /// WebSocket over it.
    ///
    /// # Cancel safety
    /// Cancel safe: when dropped, the attempt is given up.
    ///
    /// # Panics
    /// Outside of a tokio runtime, which runs a task for the connection.
    #[cfg(feature = "http2")]
    pub async fn connect_http2(&self) -> Result<Http2Connection, ConnectError> {
        let (tcp, left) = self.reach_in_time().await?;
        timeout(left, Box::pin(self.negotiate_http2(tcp)))
            .await
            .map_err(|_elapsed| ConnectError::TimedOut)?
    }

    /// Connects.
    ///
    /// # Errors
    /// [`ConnectError`].
    ///
    /// # Cancel safety
    /// Cancel safe: when dropped, the attempt is given up.
    pub async fn connect(&self) -> Result<WebSocket, ConnectError> {
        #[cfg(feature = "http2")]
        if self.http2 {
            let connect = async { self.connect_http2().await?.open(self).await };
            return timeout(self.connect_timeout, Box::pin(connect))
                .await
                .map_err(|_elapsed| ConnectError::TimedOut)?;
        }
        Ok(self.connect_with_head().await?.0)
    }

    /// Connects over HTTP/1.1 and gives the head of the server's answer, too: for what it tells besides what
    /// the handshake agrees on.
    ///
    /// # Errors
    /// [`ConnectError`].
    ///
    /// # Cancel safety
    /// Cancel safe: when dropped, the attempt is given up.
    pub async fn connect_with_head(&self) -> Result<(WebSocket, ResponseHead), ConnectError> {
        let request = ClientRequest::new(&self.url, entropy::random(), self.options())?;
        let (tcp, left) = self.reach_in_time().await?;
        timeout(left, Box::pin(self.upgrade(tcp, request)))
            .await
            .map_err(|_elapsed| ConnectError::TimedOut)?
    }

    /// Opens the WebSocket on a stream that the caller has, of any kind: TLS of another library, a Unix
    /// socket, a pipe in a test. The stream is used as it is: of the settings those that lead to it
    /// (address, proxy, preface, TLS, HTTP/2) play no part, and for `wss` it is encrypted already.
    ///
    /// # Errors
    /// [`ConnectError`].
    ///
    /// # Cancel safety
    /// Cancel safe: when dropped, the stream is dropped.
    pub async fn connect_with<S>(&self, stream: S) -> Result<WebSocket<S>, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let request = ClientRequest::new(&self.url, entropy::random(), self.options())?;
        let peer = Peer {
            secure: self.url.is_secure(),
            ..Peer::default()
        };
        let opened = timeout(self.connect_timeout, self.open(stream, peer, request));
        let (socket, _head) = opened.await.map_err(|_elapsed| ConnectError::TimedOut)??;
        Ok(socket)
    }

    /// TCP to the server, and the time left.
    pub(super) async fn reach_in_time(&self) -> Result<(TcpStream, Duration), ConnectError> {
        let started = Instant::now();
        let tcp = timeout(self.connect_timeout, Box::pin(self.reach()))
            .await
            .unwrap_or_else(|_elapsed| Err(self.not_reached_in_time()))?;
        Ok((tcp, self.connect_timeout.saturating_sub(started.elapsed())))
    }

    /// TCP to the server, directly or through a proxy.
    async fn reach(&self) -> Result<TcpStream, ConnectError> {
        if let Some(proxy) = self.proxy_url() {
            let (host, port) = match self.address {
                Some(address) => (&*address.ip().to_string(), address.port()),
                None => (self.url.host(), self.url.port()),
            };
            let stream = proxy::connect(proxy, host, port).await;
            return stream.map_err(|source| proxy_error(proxy, source));
        }
        let stream = match self.address {
            Some(address) => dial::connect_to(vec![address]).await,
            None => dial::connect(self.url.host(), self.url.port()).await,
        };
        stream.map_err(|source| ConnectError::Io {
            host: self.url.host().into(),
            port: self.url.port(),
            source,
        })
    }

    fn proxy_url(&self) -> Option<&ProxyUrl> {
        self.proxy.as_ref()?.for_url(&self.url)
    }

    fn not_reached_in_time(&self) -> ConnectError {
        match self.proxy_url() {
            Some(proxy) => proxy_error(proxy, ProxyError::TimedOut),
            None => ConnectError::TimedOut,
        }
    }

    /// TLS and the opening handshake.
    async fn upgrade(
        &self,
        tcp: TcpStream,
        request: ClientRequest,
    ) -> Result<(WebSocket, ResponseHead), ConnectError> {
        let (stream, peer) = self.stream(tcp, None).await?;
        self.open(stream, peer, request).await
    }

    /// The opening handshake.
    async fn open<S>(
        &self,
        mut stream: S,
        peer: Peer,
        request: ClientRequest,
    ) -> Result<(WebSocket<S>, ResponseHead), ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        stream
            .write_all(request.request.as_bytes())
            .await
            .map_err(ConnectError::Lost)?;
        stream.flush().await.map_err(ConnectError::Lost)?;
        let (head, leftover) = read_head(&mut stream, self.answer_limits.head).await?;
        let agreed = request.verify(&head)?;
        let socket = self.socket(stream, leftover, Arc::new(peer), agreed);
        Ok((socket, head))
    }

    /// What is asked for besides the address.
    pub(super) fn options(&self) -> RequestOptions<'_> {
        RequestOptions {
            headers: &self.headers,
            subprotocols: &self.subprotocols,
            deflate: self.config.deflate.as_ref(),
        }
    }

    /// The WebSocket, once the server has agreed.
    pub(super) fn socket<S>(
        &self,
        stream: S,
        leftover: Vec<u8>,
        peer: Arc<Peer>,
        agreed: Agreed,
    ) -> WebSocket<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let keys = Box::new(entropy::RandomKeys);
        let core = Connection::client(Arc::clone(&self.config), keys, Instant::now().into_std())
            .with_deflate(agreed.deflate);
        WebSocket::new(stream, core, leftover).describe(
            peer,
            agreed.subprotocol.map(Arc::from),
            self.write_timeout,
        )
    }

    /// TLS, if the address wants it; `alpn` is offered instead of the usual.
    pub(super) async fn stream(
        &self,
        mut tcp: TcpStream,
        alpn: Option<&[u8]>,
    ) -> Result<(Stream, Peer), ConnectError> {
        let mut peer = Peer {
            address: tcp.peer_addr().ok(),
            secure: self.url.is_secure(),
            ..Peer::default()
        };
        tcp.write_all(&self.preface)
            .await
            .map_err(ConnectError::Lost)?;
        let stream = if self.url.is_secure() {
            self.secure(tcp, &mut peer, alpn).await?
        } else {
            Stream::Plain(tcp)
        };
        Ok((stream, peer))
    }

    #[cfg(feature = "tls")]
    async fn secure(
        &self,
        tcp: TcpStream,
        peer: &mut Peer,
        alpn: Option<&[u8]>,
    ) -> Result<Stream, ConnectError> {
        let tls_error = |source| ConnectError::Tls {
            host: self.url.host().to_owned(),
            source,
        };
        let tls = match &self.tls {
            Some(tls) => tls.clone(),
            None => crate::tls::ClientTls::shared_system_roots()
                .await
                .map_err(ConnectError::SystemRoots)?,
        };
        let connected = tls.connect(self.url.host(), tcp, alpn).await;
        let (stream, told) = connected.map_err(tls_error)?;
        peer.tls = Some(Box::new(told));
        Ok(Stream::Tls(Box::new(stream)))
    }

    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unused_async, reason = "the same signature as with TLS")]
    async fn secure(
        &self,
        _tcp: TcpStream,
        _peer: &mut Peer,
        _alpn: Option<&[u8]>,
    ) -> Result<Stream, ConnectError> {
        Err(ConnectError::TlsUnavailable {
            host: self.url.host().to_owned(),
        })
    }
}

fn proxy_error(proxy: &ProxyUrl, source: ProxyError) -> ConnectError {
    ConnectError::Proxy {
        proxy: proxy.to_string(),
        source,
    }
}
