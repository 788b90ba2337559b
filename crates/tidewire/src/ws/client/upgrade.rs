//! The opening handshake over HTTP/1.1, on a byte stream to the server.

use std::{io, sync::Arc};

use bytes::Bytes;
use tidewire_proto::{
    Connection,
    handshake::{
        Agreed, BodyEnd, BodyReader, ClientRequest, HandshakeError, HeadError, HeadLimits,
        HeadScanner, ResponseHead,
    },
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout_at},
};

use super::{Client, OtherProtocol};
use crate::{
    entropy,
    net::Peer,
    ws::{
        ConnectError, HttpResponse, WebSocket,
        response::{BODY_BYTES_MAX, BODY_TIMEOUT},
    },
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
        let (head, leftover) = self.read_answer(&mut stream).await?;
        let agreed = match request.verify(&head) {
            Ok(agreed) => agreed,
            Err(error) if error.status().is_some() => {
                let body = read_body(&mut stream, &head, &leftover, deadline).await;
                return Err(self.refused(&head, body));
            }
            Err(error) => return Err(error.into()),
        };
        let socket = self.socket(stream, leftover, Arc::new(peer), agreed);
        Ok((socket, head))
    }

    /// Reads the answer's head and what came behind it. Of several, those before the last are interim
    /// responses (RFC 9110 section 15.2), which tell nothing that matters here.
    pub(super) async fn read_answer(
        &self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Result<(ResponseHead, Vec<u8>), ConnectError> {
        let mut read = Vec::with_capacity(512);
        for _ in 0..INTERIM_MAX {
            let head;
            (head, read) = read_head(stream, read).await.map_err(|error| match error {
                NoHead::Connection(error) => error,
                NoHead::OtherProtocol(found) => self.other_protocol(found),
            })?;
            if !matches!(head.status(), 100 | 102..200) {
                return Ok((head, read));
            }
        }
        Err(HandshakeError::from(HeadError::Malformed).into())
    }

    fn refused(&self, head: &ResponseHead, body: (Bytes, BodyEnd)) -> ConnectError {
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

/// Reads the beginning of a refusal's body, which `read` begins with. A body that does not end, or not in time, is
/// not worth losing the status for: what has come is given.
pub(super) async fn read_body(
    stream: &mut (impl AsyncRead + Unpin),
    head: &ResponseHead,
    read: &[u8],
    deadline: Instant,
) -> (Bytes, BodyEnd) {
    let mut body = BodyReader::new(head, BODY_BYTES_MAX);
    body.handle_bytes(read);
    let rest = async {
        let mut buffer = vec![0; 4096];
        while !body.is_over() {
            match stream.read(&mut buffer).await {
                Ok(count) if count > 0 => body.handle_bytes(&buffer[..count]),
                Ok(_) => body.handle_end(),
                Err(_lost) => break,
            }
        }
    };
    let deadline = deadline.min(Instant::now() + BODY_TIMEOUT);
    drop(timeout_at(deadline, rest).await);
    body.finish()
}

/// Most interim responses before the answer.
const INTERIM_MAX: usize = 8;

/// Why there is no head.
enum NoHead {
    Connection(ConnectError),
    OtherProtocol(OtherProtocol),
}

/// Reads a head, which begins with `buffer`, and what came behind it.
async fn read_head(
    stream: &mut (impl AsyncRead + Unpin),
    mut buffer: Vec<u8>,
) -> Result<(ResponseHead, Vec<u8>), NoHead> {
    let invalid = |error: HeadError| NoHead::Connection(HandshakeError::from(error).into());
    let lost = |error| NoHead::Connection(ConnectError::Lost(error));
    let limits = HeadLimits::default();
    let mut scanner = HeadScanner::default();
    loop {
        if let Some(found) = OtherProtocol::instead_of_http(&buffer) {
            return Err(NoHead::OtherProtocol(found));
        }
        if let Some(len) = scanner.scan(&buffer, limits).map_err(invalid)? {
            let leftover = buffer.split_off(len);
            let head = ResponseHead::parse(Bytes::from(buffer), limits).map_err(invalid)?;
            return Ok((head, leftover));
        }
        if stream.read_buf(&mut buffer).await.map_err(lost)? == 0 {
            let cut = if buffer.is_empty() {
                NO_ANSWER
            } else {
                CUT_ANSWER
            };
            return Err(lost(io::Error::new(io::ErrorKind::UnexpectedEof, cut)));
        }
    }
}

const NO_ANSWER: &str = "the server ended the connection without an answer: is it a WebSocket server, \
                         and does its port want TLS (wss://) or not (ws://)?";
const CUT_ANSWER: &str = "the server ended the connection within its answer";
