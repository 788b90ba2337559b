//! The way to a server: TCP, a proxy, TLS.

use std::{
    error::Error,
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Uri, uri::Scheme};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use tidewire_proto::handshake::Url;
use tokio::{net::TcpStream, time::timeout};
use tower_service::Service as Tower;

use super::{AllowAddress, ClientConfig};
use crate::net::{Address, Proxy, Socket, Stream, dial, proxy};

/// Makes connections for the pool.
#[derive(Clone)]
pub(super) struct Connector(Arc<Settings>);

struct Settings {
    within: Duration,
    address: Option<Address>,
    allow_address: Option<AllowAddress>,
    proxy: Option<Proxy>,
    #[cfg(feature = "tls")]
    tls: Option<crate::tls::ClientTls>,
    #[cfg(feature = "tls")]
    offered: &'static [&'static [u8]],
}

/// Why there is no connection. Shared, since the pool keeps its errors to itself.
#[derive(Clone, Debug)]
pub(super) struct ConnectFailure {
    text: String,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for ConnectFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source = self.source.as_deref()?;
        Some(source)
    }
}

impl ConnectFailure {
    fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            source: None,
        }
    }

    fn because(text: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        Self {
            text: text.into(),
            source: Some(Arc::new(source)),
        }
    }
}

impl Connector {
    pub(super) fn new(config: &ClientConfig) -> Self {
        Self(Arc::new(Settings {
            within: config.connect_timeout,
            address: config.address.clone(),
            allow_address: config.allow_address.clone(),
            proxy: config.proxy.clone(),
            #[cfg(feature = "tls")]
            tls: config.tls.clone(),
            #[cfg(feature = "tls")]
            offered: offered(config),
        }))
    }
}

#[cfg(feature = "tls")]
fn offered(config: &ClientConfig) -> &'static [&'static [u8]] {
    #[cfg(feature = "http2")]
    match (config.http2_prior_knowledge, config.http2) {
        (true, _) => return &[b"h2"],
        (false, true) => return &[b"h2", b"http/1.1"],
        (false, false) => {}
    }
    let _ = config;
    &[b"http/1.1"]
}

impl Tower<Uri> for Connector {
    type Response = Link;
    type Error = ConnectFailure;
    type Future = Pin<Box<dyn Future<Output = Result<Link, ConnectFailure>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), ConnectFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let settings = Arc::clone(&self.0);
        Box::pin(async move {
            let within = settings.within;
            let link = timeout(within, settings.connect(&uri)).await;
            link.unwrap_or_else(|_elapsed| {
                Err(ConnectFailure::new(format!(
                    "no connection within {within:?}"
                )))
            })
        })
    }
}

impl Settings {
    async fn connect(&self, uri: &Uri) -> Result<Link, ConnectFailure> {
        let is_secure = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(ConnectFailure::new("expected a URL of http or https")),
        };
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let stream = match (&self.address, self.proxy_for(uri, is_secure)?) {
            (Some(address), _) => {
                let failed =
                    |error| ConnectFailure::because(format!("cannot reach {address}"), error);
                dial::connect_address(address).await.map_err(failed)?
            }
            (None, Some(proxy_url)) => {
                let failed = |error| ConnectFailure::because(format!("through {proxy_url}"), error);
                let connected = proxy::connect(&proxy_url, host, port).await;
                connected.map_err(failed)?
            }
            (None, None) => {
                let failed =
                    |error| ConnectFailure::because(format!("cannot reach {host}:{port}"), error);
                self.dial(host, port)
                    .await
                    .map(Socket::from)
                    .map_err(failed)?
            }
        };
        if !is_secure {
            return Ok(Link::new(Stream::Plain(stream), false));
        }
        self.secure(host, stream).await
    }

    /// Connects to one of the addresses of `host` that may be.
    async fn dial(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let mut addresses = dial::resolve(host, port).await?;
        if let Some(allow) = &self.allow_address {
            addresses.retain(|address| allow(host, address.ip()));
            if addresses.is_empty() {
                let text = "no address of this host may be connected to";
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
            }
        }
        dial::connect_to(addresses).await
    }

    #[cfg(feature = "tls")]
    async fn secure(&self, host: &str, stream: Socket) -> Result<Link, ConnectFailure> {
        let tls = match &self.tls {
            Some(tls) => tls.clone(),
            None => crate::tls::ClientTls::shared_system_roots()
                .await
                .map_err(|error| ConnectFailure::because("no certificate authorities", error))?,
        };
        let connected = tls.connect(host, stream, Some(self.offered)).await;
        let (stream, peer) = connected.map_err(|failure| match failure.no_tls {
            Some(_) => ConnectFailure::new(format!("{host} does not speak TLS at this port")),
            None => ConnectFailure::because(format!("TLS with {host} failed"), failure.error),
        })?;
        let is_http2 = peer.alpn.as_deref() == Some(b"h2");
        Ok(Link::new(Stream::Tls(Box::new(stream)), is_http2))
    }

    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unused_async, reason = "the same signature as with TLS")]
    async fn secure(&self, _host: &str, _stream: Socket) -> Result<Link, ConnectFailure> {
        Err(ConnectFailure::new("https needs the feature `tls`"))
    }

    /// Proxies are chosen by the addresses of WebSockets, whose rules are the same.
    fn proxy_for(
        &self,
        uri: &Uri,
        is_secure: bool,
    ) -> Result<Option<tidewire_proto::proxy::ProxyUrl>, ConnectFailure> {
        let Some(proxy) = &self.proxy else {
            return Ok(None);
        };
        let scheme = if is_secure { "wss" } else { "ws" };
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let url = Url::parse(&format!("{scheme}://{authority}/"));
        let url =
            url.map_err(|error| ConnectFailure::because("the address is not valid", error))?;
        Ok(proxy.for_url(&url).cloned())
    }
}

/// A connection as the pool wants it.
#[derive(Debug)]
pub(super) struct Link {
    stream: TokioIo<Stream>,
    is_http2: bool,
}

impl Link {
    fn new(stream: Stream, is_http2: bool) -> Self {
        Self {
            stream: TokioIo::new(stream),
            is_http2,
        }
    }
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        let connected = Connected::new();
        if self.is_http2 {
            return connected.negotiated_h2();
        }
        connected
    }
}

impl Read for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
