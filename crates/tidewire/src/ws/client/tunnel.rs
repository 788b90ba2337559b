//! The opening handshake on behalf of somebody else: what follows is passed on, not read.
//!
//! In: a [`Client`]. Out: the bare stream behind a valid 101, or the server's refusal as it came.
//! Invariant: a stream is handed out only behind an answer that proves the server has
//! understood the handshake, so that nobody is given a tunnel into a server that speaks HTTP still.

use bytes::Bytes;
use tidewire_proto::handshake::{BodyEnd, ClientRequest, HandshakeError, ResponseHead};
use tokio::{
    io::AsyncWriteExt as _,
    time::{Instant, timeout_at},
};

use super::{Client, upgrade::read_body};
use crate::{
    entropy,
    net::{Rewind, Stream},
    ws::ConnectError,
};

/// An open WebSocket as a bare stream.
#[derive(Debug)]
#[non_exhaustive]
pub struct Tunnel {
    /// Frames of the server come out, masked frames go in.
    pub stream: Rewind<Stream>,
    /// The answer.
    pub head: ResponseHead,
    /// The chosen subprotocol.
    pub subprotocol: Option<String>,
    /// The chosen extensions as they came.
    pub extensions: Option<String>,
}

/// What a server said to the handshake.
#[derive(Debug)]
#[non_exhaustive]
pub enum TunnelAnswer {
    /// It agreed.
    Open(Box<Tunnel>),
    /// It answered with another status than 101.
    Refused {
        /// The answer.
        head: ResponseHead,
        /// Its body without transfer codings; empty if it is above 16 KiB, does not end within 2 s, or is
        /// malformed.
        body: Bytes,
    },
}

impl Client {
    /// Opens a WebSocket without speaking it: offers `extensions` as they are, and gives the
    /// stream behind the answer.
    ///
    /// # Errors
    /// [`ConnectError`]; an answer other than 101 is none.
    ///
    /// # Cancel safety
    /// Cancel safe: when dropped, the attempt is given up.
    pub async fn tunnel(&self, extensions: Option<&str>) -> Result<TunnelAnswer, ConnectError> {
        let request =
            ClientRequest::passing_on(&self.url, entropy::random(), self.options(), extensions)?;
        let (tcp, deadline) = self.reach_in_time().await?;
        let shake = async {
            let (stream, _peer) = self.stream(tcp, None).await?;
            self.open_tunnel(stream, &request, deadline).await
        };
        timeout_at(deadline, Box::pin(shake))
            .await
            .map_err(|_elapsed| ConnectError::TimedOut)?
    }

    async fn open_tunnel(
        &self,
        mut stream: Stream,
        request: &ClientRequest,
        deadline: Instant,
    ) -> Result<TunnelAnswer, ConnectError> {
        let lost = ConnectError::Lost;
        stream
            .write_all(request.request.as_bytes())
            .await
            .map_err(lost)?;
        stream.flush().await.map_err(lost)?;
        let (head, leftover) = self.read_answer(&mut stream).await?;
        match request.verify(&head) {
            Ok(agreed) => Ok(TunnelAnswer::Open(Box::new(Tunnel {
                stream: Rewind::new(Bytes::from(leftover), stream),
                head,
                subprotocol: agreed.subprotocol,
                extensions: agreed.extensions,
            }))),
            Err(HandshakeError::Status(_) | HandshakeError::Busy { .. }) => {
                let (body, end) = read_body(&mut stream, &head, &leftover, deadline).await;
                // Nobody is given a part of a body as if it were all.
                let body = if end == BodyEnd::Complete {
                    body
                } else {
                    Bytes::new()
                };
                Ok(TunnelAnswer::Refused { head, body })
            }
            Err(error) => Err(error.into()),
        }
    }
}
