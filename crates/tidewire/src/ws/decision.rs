//! [`Decision`]: how a request is accepted, and the wait for it.
//!
//! In: an endpoint's choice, now or later. Out: what the client is answered. Invariant: a client that goes away
//! while its request waits ends the wait, and what it has sent until then is kept, within a bound.

use std::{
    any::Any,
    fmt,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use tidewire_proto::{
    Config,
    handshake::{AcceptOptions, Refusal, RequestHead},
};
use tokio::io::{AsyncRead, ReadBuf};

use super::request::Extensions;

/// How a request is accepted. The default agrees on no subprotocol, and takes the server's limits.
///
/// ```
/// use tidewire::ws::{Config, Decision};
///
/// let mut config = Config::default();
/// config.message_bytes_max = 1 << 20;
/// let decision = Decision::new()
///     .header("X-Server", "a7")
///     .subprotocol("chat.v2")
///     .subprotocol("chat.v1")
///     .config(config);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a decision is answered by `Endpoint::accept`"]
pub struct Decision {
    pub(super) headers: Vec<(String, String)>,
    pub(super) subprotocols: Vec<String>,
    pub(super) config: Option<Arc<Config>>,
    pub(super) extensions: Extensions,
}

impl Decision {
    /// The default decision.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a header field to the answer. One that is no field, or that the handshake sets itself, is left out.
    /// Keep them short: some clients take no answer above 512 bytes.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds a subprotocol that the endpoint speaks; call in order of preference. The first that the client offers
    /// is agreed on, none if it offers none of them (RFC 6455 section 4.2.2).
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.subprotocols.push(name.into());
        self
    }

    /// Sets limits and deadlines of this connection, and by [`Config::deflate`] whether it may be compressed.
    /// Default: the server's.
    pub fn config(mut self, config: impl Into<Arc<Config>>) -> Self {
        self.config = Some(config.into());
        self
    }

    /// Attaches a value to the request, for whoever serves the connection: [`Request::extension`](super::Request::extension)
    /// finds it by its type. There is one of each type; a later one replaces it.
    pub fn extension<T: Any + Send + Sync>(mut self, value: T) -> Self {
        self.extensions.insert(value);
        self
    }

    /// Checks the request and makes the answer.
    pub(super) fn agree<A>(
        &self,
        head: &RequestHead,
        config: &Config,
        negotiate: impl FnOnce(&RequestHead, AcceptOptions<'_>) -> Result<A, Refusal>,
    ) -> Result<A, Refusal> {
        let subprotocols: Vec<&str> = self.subprotocols.iter().map(String::as_str).collect();
        let options = AcceptOptions {
            subprotocols: &subprotocols,
            deflate: config.deflate.as_ref(),
            headers: &self.headers,
        };
        negotiate(head, options)
    }
}

/// The answer of [`Endpoint::accept`](super::Endpoint::accept): a decision or a refusal, at once or later.
///
/// A decision that is there already ([`ready`](Self::ready), or by `From`) needs no allocation.
#[must_use = "futures do nothing unless polled"]
pub struct AcceptFuture<'a>(State<'a>);

enum State<'a> {
    /// `None` once it was given.
    Ready(Option<Result<Decision, Refusal>>),
    Waiting(Pin<Box<dyn Future<Output = Result<Decision, Refusal>> + Send + 'a>>),
}

impl fmt::Debug for AcceptFuture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcceptFuture").finish_non_exhaustive()
    }
}

impl<'a> AcceptFuture<'a> {
    /// The decision is made.
    pub fn ready(decision: Result<Decision, Refusal>) -> Self {
        Self(State::Ready(Some(decision)))
    }

    /// The decision is that of `future`.
    pub fn wait(future: impl Future<Output = Result<Decision, Refusal>> + Send + 'a) -> Self {
        Self(State::Waiting(Box::pin(future)))
    }
}

impl From<Decision> for AcceptFuture<'_> {
    fn from(decision: Decision) -> Self {
        Self::ready(Ok(decision))
    }
}

impl From<Refusal> for AcceptFuture<'_> {
    fn from(refusal: Refusal) -> Self {
        Self::ready(Err(refusal))
    }
}

impl From<Result<Decision, Refusal>> for AcceptFuture<'_> {
    fn from(decision: Result<Decision, Refusal>) -> Self {
        Self::ready(decision)
    }
}

impl Future for AcceptFuture<'_> {
    type Output = Result<Decision, Refusal>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(decision) => {
                Poll::Ready(decision.take().expect("polled after completion"))
            }
            State::Waiting(future) => future.as_mut().poll(cx),
        }
    }
}

/// Most bytes that are read behind a request that waits; beyond them nobody looks whether the client is there.
const EARLY_BYTES_MAX: usize = 4096;

/// Waits for the decision; ends without one when the client goes away. `early` is what was read behind the request.
pub(super) async fn decide(
    accept: impl Future<Output = Result<Decision, Refusal>>,
    stream: &mut (impl AsyncRead + Unpin),
    early: &mut Vec<u8>,
) -> io::Result<Result<Decision, Refusal>> {
    let mut accept = pin!(accept);
    poll_fn(|cx| {
        if let Poll::Ready(decision) = accept.as_mut().poll(cx) {
            return Poll::Ready(Ok(decision));
        }
        poll_gone(cx, stream, early).map(Err)
    })
    .await
}

/// Ready when the peer has gone.
fn poll_gone(
    cx: &mut Context<'_>,
    stream: &mut (impl AsyncRead + Unpin),
    early: &mut Vec<u8>,
) -> Poll<io::Error> {
    while early.len() < EARLY_BYTES_MAX {
        let mut piece = [0; 256];
        let mut piece = ReadBuf::new(&mut piece);
        match ready!(Pin::new(&mut *stream).poll_read(cx, &mut piece)) {
            Ok(()) if piece.filled().is_empty() => {
                return Poll::Ready(io::ErrorKind::UnexpectedEof.into());
            }
            Ok(()) => early.extend_from_slice(piece.filled()),
            Err(error) => return Poll::Ready(error),
        }
    }
    Poll::Pending
}
