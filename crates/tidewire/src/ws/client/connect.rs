//! From settings to an open WebSocket.

use tidewire_proto::handshake::{ClientRequest, ResponseHead};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, timeout_at},
};

use super::Client;
#[cfg(feature = "http2")]
use super::Http2Connection;
use crate::{
    entropy,
    net::{Peer, Socket},
    ws::{ConnectError, WebSocket},
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

impl Client {
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
        let (socket, deadline) = self.reach_in_time().await?;
        timeout_at(deadline, Box::pin(self.negotiate_http2(socket)))
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
            let deadline = self.deadline();
            let connect = async { self.connect_http2().await?.open_until(self, deadline).await };
            return timeout_at(deadline, Box::pin(connect))
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
        let (socket, deadline) = self.reach_in_time().await?;
        timeout_at(deadline, Box::pin(self.upgrade(socket, request, deadline)))
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
        let deadline = self.deadline();
        let opened = timeout_at(deadline, self.open(stream, peer, request, deadline));
        let (socket, _head) = opened.await.map_err(|_elapsed| ConnectError::TimedOut)??;
        Ok(socket)
    }

    /// TLS and the opening handshake.
    async fn upgrade(
        &self,
        socket: Socket,
        request: ClientRequest,
        deadline: Instant,
    ) -> Result<(WebSocket, ResponseHead), ConnectError> {
        let (stream, peer) = self.stream(socket, None).await?;
        self.open(stream, peer, request, deadline).await
    }
}
