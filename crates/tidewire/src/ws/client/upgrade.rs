//! The opening handshake over HTTP/1.1, on a byte stream to the server.

use std::sync::Arc;

use tidewire_proto::{
    Connection,
    handshake::{Agreed, ClientRequest, ResponseHead},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    time::Instant,
};

use super::{Client, answer::read_head};
use crate::{
    entropy,
    net::Peer,
    ws::{ConnectError, WebSocket},
};

impl Client {
    /// The opening handshake.
    pub(super) async fn open<S>(
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
}
