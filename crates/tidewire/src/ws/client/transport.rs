//! From an address to a byte stream: a socket, the way through a proxy, what goes before everything else, TLS.

use std::time::Duration;

use tidewire_proto::proxy::ProxyUrl;
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, timeout_at},
};

use super::Client;
#[cfg(feature = "tls")]
use super::OtherProtocol;
#[cfg(feature = "tls")]
use crate::tls::HandshakeFailure;
use crate::{
    net::{Address, Peer, ProxyError, Socket, Stream, dial, proxy},
    ws::ConnectError,
};

impl Client {
    /// A connection to the server, and until when all must be done.
    pub(super) async fn reach_in_time(&self) -> Result<(Socket, Instant), ConnectError> {
        let deadline = self.deadline();
        let socket = timeout_at(deadline, Box::pin(self.reach()))
            .await
            .unwrap_or_else(|_elapsed| Err(self.not_reached_in_time()))?;
        Ok((socket, deadline))
    }

    /// Until when an attempt that begins now must be done.
    pub(super) fn deadline(&self) -> Instant {
        // As tokio does for limits beyond what its clock can tell.
        let far_future = Duration::from_hours(24 * 365 * 30);
        let now = Instant::now();
        now.checked_add(self.connect_timeout)
            .unwrap_or_else(|| now + far_future)
    }

    /// A connection to the server, directly or through a proxy.
    async fn reach(&self) -> Result<Socket, ConnectError> {
        let given = self.given_address();
        if let Some(proxy) = self.proxy_url() {
            let (host, port) = match given.as_ref().and_then(Address::socket_addr) {
                Some(address) => (&*address.ip().to_string(), address.port()),
                None => (self.url.host(), self.url.port()),
            };
            let stream = proxy::connect(proxy, host, port).await;
            return stream.map_err(|source| proxy_error(proxy, source));
        }
        let reached = match &given {
            Some(address) => dial::connect_address(address).await,
            None => dial::connect(self.url.host(), self.url.port())
                .await
                .map(Socket::from),
        };
        reached.map_err(|source| ConnectError::Io {
            host: match &given {
                Some(unix @ Address::Unix(_)) => unix.to_string(),
                Some(Address::Ip(_)) | None => self.url.host().into(),
            },
            port: self.url.port(),
            source,
        })
    }

    /// Where to connect to, if no name has to be resolved for it.
    fn given_address(&self) -> Option<Address> {
        let unix = || Address::unix_of(&self.url);
        self.address.clone().or_else(unix)
    }

    fn proxy_url(&self) -> Option<&ProxyUrl> {
        // No proxy gets at a Unix socket of this machine.
        if self
            .given_address()
            .is_some_and(|address| address.is_unix())
        {
            return None;
        }
        self.proxy.as_ref()?.for_url(&self.url)
    }

    fn not_reached_in_time(&self) -> ConnectError {
        match self.proxy_url() {
            Some(proxy) => proxy_error(proxy, ProxyError::TimedOut),
            None => ConnectError::TimedOut,
        }
    }

    /// TLS, if the address wants it; `alpn` is offered instead of the usual.
    pub(super) async fn stream(
        &self,
        mut socket: Socket,
        alpn: Option<&[u8]>,
    ) -> Result<(Stream, Peer), ConnectError> {
        let mut peer = Peer {
            address: socket.peer_addr().ok().flatten(),
            unix: socket.unix_peer(),
            secure: self.url.is_secure(),
            ..Peer::default()
        };
        socket
            .write_all(&self.preface)
            .await
            .map_err(ConnectError::Lost)?;
        let stream = if self.url.is_secure() {
            self.secure(socket, &mut peer, alpn).await?
        } else {
            Stream::Plain(socket)
        };
        Ok((stream, peer))
    }

    #[cfg(feature = "tls")]
    async fn secure(
        &self,
        socket: Socket,
        peer: &mut Peer,
        alpn: Option<&[u8]>,
    ) -> Result<Stream, ConnectError> {
        let tls_error = |failure: HandshakeFailure| match failure.no_tls {
            Some(beginning) => OtherProtocol::named(&beginning).at(&self.url),
            None => ConnectError::Tls {
                host: self.url.host().to_owned(),
                source: failure.error,
            },
        };
        let tls = match &self.tls {
            Some(tls) => tls.clone(),
            None => crate::tls::ClientTls::shared_system_roots()
                .await
                .map_err(ConnectError::SystemRoots)?,
        };
        let connected = tls
            .connect(
                self.url.server_name(),
                socket,
                alpn.as_ref().map(std::slice::from_ref),
            )
            .await;
        let (stream, told) = connected.map_err(tls_error)?;
        peer.tls = Some(Box::new(told));
        Ok(Stream::Tls(Box::new(stream)))
    }

    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unused_async, reason = "the same signature as with TLS")]
    async fn secure(
        &self,
        _socket: Socket,
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
