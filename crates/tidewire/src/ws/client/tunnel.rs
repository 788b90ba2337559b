//! The opening handshake on behalf of somebody else: what follows is passed on, not read, and a refusal is passed on,
//! too.
//!
//! In: a [`Client`]. Out: the bare stream (or the WebSocket) behind a valid 101, or the server's refusal as it came.
//! Invariant: a stream is handed out only behind an answer that proves the server has
//! understood the handshake, so that nobody is given a tunnel into a server that speaks HTTP still.

use bytes::Bytes;
use tidewire_proto::handshake::{
    Agreed, ClientRequest, HandshakeError, HeadLimits, ResponseHead, Url,
};
use tokio::{io::AsyncWriteExt as _, time::timeout_at};

use super::{
    Client,
    answer::{read_body, read_head},
};
use crate::{
    entropy,
    net::{Peer, Rewind, Stream},
    ws::{ConnectError, WebSocket},
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

/// The answer of a server to the handshake.
#[derive(Debug)]
#[non_exhaustive]
pub enum HandshakeAnswer<T> {
    /// It agreed.
    Open(T),
    /// It answered with another status than 101.
    Refused {
        /// The answer.
        head: ResponseHead,
        /// Its body, empty if there is none; `None` if the status is no refusal (300 to 599), or the body is above
        /// [`AnswerLimits::body_bytes_max`](crate::ws::AnswerLimits), was not whole in time, or cannot be told from
        /// what comes behind it.
        body: Option<Bytes>,
    },
    /// It was connected, TLS included, and asked, and gave no answer: it ended the connection or the time passed. The
    /// error says which.
    Silent(ConnectError),
}

/// The answer of a server to a handshake whose stream is passed on.
pub type TunnelAnswer = HandshakeAnswer<Box<Tunnel>>;

impl Client {
    /// Opens a WebSocket without speaking it: offers `extensions` as they are, and gives the
    /// stream behind the answer.
    ///
    /// # Errors
    /// [`ConnectError`]: the server was not reached, or its answer is no valid one. A refusal is no error, and neither
    /// is silence.
    ///
    /// # Cancel safety
    /// Cancel safe: when dropped, the attempt is given up.
    pub async fn tunnel(&self, extensions: Option<&str>) -> Result<TunnelAnswer, ConnectError> {
        let request =
            ClientRequest::passing_on(&self.url, entropy::random(), self.options(), extensions)?;
        let answer = self.ask(&request).await?;
        Ok(answer.map(|asked| {
            Box::new(Tunnel {
                stream: Rewind::new(Bytes::from(asked.leftover), asked.stream),
                head: asked.head,
                subprotocol: asked.agreed.subprotocol,
                extensions: asked.agreed.extensions,
            })
        }))
    }

    /// Connects as [`connect_with_head`](Self::connect_with_head) does, for who wants to know what a server that
    /// refuses has to say.
    ///
    /// # Errors
    /// As [`tunnel`](Self::tunnel).
    ///
    /// # Cancel safety
    /// Cancel safe: when dropped, the attempt is given up.
    pub async fn connect_or_refusal(
        &self,
    ) -> Result<HandshakeAnswer<Box<(WebSocket, ResponseHead)>>, ConnectError> {
        let request = ClientRequest::new(&self.url, entropy::random(), self.options())?;
        let answer = self.ask(&request).await?;
        Ok(answer.map(|asked| {
            let peer = asked.peer.into();
            let socket = self.socket(asked.stream, asked.leftover, peer, asked.agreed);
            Box::new((socket, asked.head))
        }))
    }

    async fn ask(&self, request: &ClientRequest) -> Result<HandshakeAnswer<Asked>, ConnectError> {
        let (socket, deadline) = self.reach_in_time().await?;
        let (mut stream, peer) = timeout_at(deadline, Box::pin(self.stream(socket, None)))
            .await
            .map_err(|_elapsed| ConnectError::TimedOut)??;
        let shake = shake_hands(&mut stream, request, self.answer_limits.head, &self.url);
        let (head, leftover) = match timeout_at(deadline, shake).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error @ ConnectError::Lost(_))) => return Ok(HandshakeAnswer::Silent(error)),
            Ok(Err(error)) => return Err(error),
            Err(_elapsed) => return Ok(HandshakeAnswer::Silent(ConnectError::TimedOut)),
        };
        match request.verify(&head) {
            Ok(agreed) => Ok(HandshakeAnswer::Open(Asked {
                stream,
                peer,
                head,
                leftover,
                agreed,
            })),
            Err(HandshakeError::Status(_) | HandshakeError::Busy { .. }) => {
                // The body of a success is somebody's page, and may never end.
                let body = if (300..600).contains(&head.status()) {
                    let bytes_max = self.answer_limits.body_bytes_max;
                    let body = read_body(&mut stream, &head, &leftover, bytes_max);
                    timeout_at(deadline, Box::pin(body)).await.unwrap_or(None)
                } else {
                    None
                };
                Ok(HandshakeAnswer::Refused { head, body })
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// A stream behind a valid 101.
struct Asked {
    stream: Stream,
    peer: Peer,
    head: ResponseHead,
    leftover: Vec<u8>,
    agreed: Agreed,
}

impl<T> HandshakeAnswer<T> {
    fn map<U>(self, open: impl FnOnce(T) -> U) -> HandshakeAnswer<U> {
        match self {
            Self::Open(inner) => HandshakeAnswer::Open(open(inner)),
            Self::Refused { head, body } => HandshakeAnswer::Refused { head, body },
            Self::Silent(error) => HandshakeAnswer::Silent(error),
        }
    }
}

async fn shake_hands(
    stream: &mut Stream,
    request: &ClientRequest,
    limits: HeadLimits,
    url: &Url,
) -> Result<(ResponseHead, Vec<u8>), ConnectError> {
    let lost = ConnectError::Lost;
    let written = async {
        stream.write_all(request.request.as_bytes()).await?;
        stream.flush().await
    };
    if let Err(error) = written.await {
        // A server that takes no more may have said why.
        return read_head(stream, limits, url)
            .await
            .map_err(|_silent| lost(error));
    }
    read_head(stream, limits, url).await
}
