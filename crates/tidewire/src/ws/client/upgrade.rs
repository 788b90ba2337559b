//! The opening handshake over HTTP/1.1, on a byte stream to the server.

use std::sync::Arc;

use bytes::Bytes;
use tidewire_proto::{
    Connection,
    handshake::{Agreed, ClientRequest, ResponseHead},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    time::Instant,
};

use super::{
    Client,
    answer::{read_beginning, read_head},
};
use crate::{
    entropy,
    net::Peer,
    ws::{ConnectError, HttpResponse, WebSocket},
};

impl Client {
    /// The opening handshake.
    pub(super) async fn open<S>(
        &self,
        mut stream: S,
        peer: Peer,
        request: ClientRequest,
        deadline: Instant,
    ) -> Result<(WebSocket<S>, ResponseHead), ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        stream
            .write_all(request.request.as_bytes())
            .await
            .map_err(ConnectError::Lost)?;
        stream.flush().await.map_err(ConnectError::Lost)?;
        let (head, leftover) = read_head(&mut stream, self.answer_limits.head, &self.url).await?;
        let agreed = match request.verify(&head) {
            Ok(agreed) => agreed,
            Err(error) if error.status().is_some() => {
                let body = read_beginning(&mut stream, &head, &leftover, deadline).await;
                return Err(self.refused(&head, body));
            }
            Err(error) => return Err(error.into()),
        };
        let socket = self.socket(stream, leftover, Arc::new(peer), agreed);
        Ok((socket, head))
    }

    fn refused(&self, head: &ResponseHead, body: (Bytes, bool)) -> ConnectError {
        let fields = head.fields();
        let fields = fields.map(|(name, value)| (name.to_owned(), Bytes::copy_from_slice(value)));
        let response = HttpResponse::new(&self.url, head.status(), fields.collect(), body);
        ConnectError::Refused(Box::new(response))
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
