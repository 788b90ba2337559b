//! A WebSocket request that waits for its answer, for servers which must do something first: a
//! gateway opens its upstream.
//!
//! In: a valid request. Out: a [`WebSocket`], the bare stream behind an answer, or a refusal.
//! Invariant: nothing is sent before one of the three was chosen, and exactly one is.

use std::{
    fmt, io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tidewire_proto::{
    Config, Connection,
    handshake::{Answer, Refusal, answer_with},
};
use tokio::{io::AsyncWriteExt, time::Instant};

#[cfg(feature = "http2")]
use super::unanswered::Unanswered;
use crate::{
    http::head,
    memory::MemoryBudget,
    net::{Rewind, Stream},
    service::Drain,
    ws::{Request, WebSocket},
};

/// A valid WebSocket request that was not answered yet.
///
/// Dropping it ends the connection without an answer.
pub struct Opening {
    pub(super) request: Request,
    pub(super) wire: Wire,
    pub(super) drain: Drain,
    /// The server's, for whoever has none of his own.
    pub(super) config: Arc<Config>,
    pub(super) write_timeout: Duration,
    pub(super) memory: MemoryBudget,
    /// Counts what is opened.
    pub(super) opened: Arc<AtomicU64>,
    /// Is told when it is refused.
    pub(super) observer: Option<RefusalObserver>,
}

/// A request that was refused before it became a WebSocket.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RefusedRequest<'a> {
    /// The request.
    pub request: &'a Request,
    /// The answer that the client got.
    pub refusal: &'a Refusal,
}

/// Is told of refused requests, on the task of the connection: it should not block.
pub type RefusalObserver = Arc<dyn Fn(RefusedRequest<'_>) + Send + Sync>;

/// How the request came.
pub(super) enum Wire {
    /// Alone on its connection; with what was read behind its head.
    Http1(Stream, Vec<u8>),
    /// As a stream among others.
    #[cfg(feature = "http2")]
    Http2(Unanswered),
}

/// What is run for a connection that an [`Interceptor`] has opened.
pub type Established = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Decides about requests. What it returns is what is run for the connection once it is open, as a
/// task of its own which carries nothing of the opening along; `None` after a refusal.
///
/// The opening must be done within [`Limits::handshake_timeout`](super::Limits); at a drain
/// openings are dropped.
pub type Interceptor =
    Arc<dyn Fn(Opening) -> Pin<Box<dyn Future<Output = Option<Established>> + Send>> + Send + Sync>;

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening")
            .field("peer", &self.request.peer)
            .finish_non_exhaustive()
    }
}

impl Opening {
    /// What is asked for, and by whom.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Started when the server drains. Sessions behind an interceptor are not closed by the server:
    /// they listen to this.
    pub fn drain(&self) -> &Drain {
        &self.drain
    }

    /// The budget for which the memory of the WebSocket will count, see [`WebSocket::charge_to`].
    pub fn memory(&self) -> &MemoryBudget {
        &self.memory
    }

    /// Answers with an HTTP error.
    ///
    /// # Errors
    /// When the client has gone.
    ///
    /// # Cancel safety
    /// Not cancel safe: when dropped, half an answer may have been sent, and the connection ends.
    pub async fn refuse(self, refusal: &Refusal) -> io::Result<()> {
        if let Some(observer) = &self.observer {
            let request = &self.request;
            observer(RefusedRequest { request, refusal });
        }
        match self.wire {
            Wire::Http1(mut stream, _leftover) => head::refuse(&mut stream, refusal).await,
            #[cfg(feature = "http2")]
            Wire::Http2(unanswered) => unanswered.refuse(refusal),
        }
    }

    /// Accepts and gives a WebSocket with these limits; `None` takes the server's.
    ///
    /// The server does not know the socket: it is not among its sessions, and a drain leaves
    /// it to its task.
    ///
    /// # Errors
    /// When the client has gone, or offered extensions that are malformed; it was told.
    ///
    /// # Cancel safety
    /// As [`refuse`](Self::refuse).
    pub async fn accept(
        self,
        answer: &Answer<'_>,
        config: Option<Arc<Config>>,
    ) -> io::Result<WebSocket> {
        let config = config.unwrap_or_else(|| Arc::clone(&self.config));
        let write_timeout = self.write_timeout;
        let peer = Arc::clone(&self.request.peer);
        let memory = self.memory.clone();
        let (stream, leftover, deflate) = self.answer(answer).await?;
        let now = Instant::now().into_std();
        let core = Connection::server(config, now).with_deflate(deflate);
        let subprotocol = answer.subprotocol.map(Arc::from);
        let socket = WebSocket::new(stream, core, leftover);
        let socket = socket.describe(peer, subprotocol, write_timeout);
        Ok(socket.with_memory(&memory))
    }

    /// Accepts and gives the bare stream: frames follow, which the caller neither reads nor makes.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    ///
    /// # Cancel safety
    /// As [`refuse`](Self::refuse).
    pub async fn accept_raw(self, answer: &Answer<'_>) -> io::Result<Rewind<Stream>> {
        let (stream, leftover, _deflate) = self.answer(answer).await?;
        Ok(Rewind::new(Bytes::from(leftover), stream))
    }

    async fn answer(
        self,
        answer: &Answer<'_>,
    ) -> io::Result<(Stream, Vec<u8>, Option<tidewire_proto::DeflateParameters>)> {
        let invalid =
            |refusal: &Refusal| io::Error::new(io::ErrorKind::InvalidData, refusal.reason.clone());
        let opened = match self.wire {
            Wire::Http1(mut stream, leftover) => {
                let accepted = match answer_with(&self.request.head, answer) {
                    Ok(accepted) => accepted,
                    Err(refusal) => {
                        head::refuse(&mut stream, &refusal).await?;
                        return Err(invalid(&refusal));
                    }
                };
                stream.write_all(accepted.response.as_bytes()).await?;
                stream.flush().await?;
                (stream, leftover, accepted.deflate)
            }
            #[cfg(feature = "http2")]
            Wire::Http2(unanswered) => match answer.fields(&self.request.head) {
                Ok((fields, deflate)) => {
                    let stream = unanswered.accept(&fields)?;
                    (Stream::Http2(Box::new(stream)), Vec::new(), deflate)
                }
                Err(refusal) => {
                    unanswered.refuse(&refusal)?;
                    return Err(invalid(&refusal));
                }
            },
        };
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(opened)
    }
}
