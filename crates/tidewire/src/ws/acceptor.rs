//! A WebSocket server on one stream that the caller has: [`accept`], and [`Acceptor`] for settings and
//! for HTTP servers of others.
//!
//! In: a stream before its request, or a request that another HTTP server has read. Out: a
//! [`WebSocket`]. Invariants: the rules of the handshake are those of [`Server`](super::Server); a
//! stream is given up at the deadline, whatever the peer does.

use std::{
    future::{self, Ready},
    io, mem,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tidewire_proto::{
    Config, Connection,
    handshake::{
        self, Accepted, HeadError, HeadLimits, Refusal, RequestHead, RequestScanner, ResponseHead,
    },
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout},
};

use super::{AcceptError, Decision, Peer, Request, WebSocket, decision};

/// Accepts a WebSocket on `stream` with default settings: reads the request, answers it.
///
/// Any stream will do: TCP, TLS of any library, a Unix socket, a pipe in a test.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:9001").await?;
/// let (stream, _address) = listener.accept().await?;
/// let mut socket = tidewire::ws::accept(stream).await?;
/// while let Some(message) = socket.recv().await? {
///     socket.send(message).await?;
/// }
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`AcceptError`]; a peer that asked wrongly was told.
///
/// # Cancel safety
/// Cancel safe: when dropped, the stream is dropped.
pub async fn accept<S>(stream: S) -> Result<WebSocket<S>, AcceptError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    Acceptor::new().accept(stream).await
}

/// Settings of a server on streams that the caller accepts.
#[derive(Clone, Debug)]
#[must_use = "nothing is accepted before `accept`"]
pub struct Acceptor {
    decision: Decision,
    head_limits: HeadLimits,
    handshake_timeout: Duration,
    write_timeout: Duration,
}

impl Default for Acceptor {
    fn default() -> Self {
        Self {
            decision: Decision::default(),
            head_limits: HeadLimits::default(),
            handshake_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
        }
    }
}

impl Acceptor {
    /// The default settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets all that a [`Decision`] holds, instead of what was set before.
    pub fn decision(mut self, decision: Decision) -> Self {
        self.decision = decision;
        self
    }

    /// Sets limits and deadlines of the connections.
    pub fn config(mut self, config: impl Into<Arc<Config>>) -> Self {
        self.decision = self.decision.config(config);
        self
    }

    /// Adds a header field to the answer; see [`Decision::header`].
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.decision = self.decision.header(name, value);
        self
    }

    /// Adds a subprotocol that is spoken; call in order of preference. A request that offers none of
    /// them is accepted without.
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.decision = self.decision.subprotocol(name);
        self
    }

    /// Sets how large a request head may be; default 16 KiB and 64 fields.
    pub fn head_limits(mut self, limits: HeadLimits) -> Self {
        self.head_limits = limits;
        self
    }

    /// Sets how long request, decision and answer may take together; default 10 s.
    pub fn handshake_timeout(mut self, limit: Duration) -> Self {
        self.handshake_timeout = limit;
        self
    }

    /// Sets how long a peer may take none of our bytes before it is given up; default 10 s.
    pub fn write_timeout(mut self, limit: Duration) -> Self {
        self.write_timeout = limit;
        self
    }

    /// Reads the request from `stream` and answers it.
    ///
    /// # Errors
    /// [`AcceptError`]; a peer that asked wrongly was told.
    ///
    /// # Cancel safety
    /// Cancel safe: when dropped, the stream is dropped.
    pub async fn accept<S>(&self, stream: S) -> Result<WebSocket<S>, AcceptError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.accept_with(stream, self.always()).await
    }

    /// Reads the request from `stream`, has `decide` look at it, and answers it. The decision counts instead of that
    /// of this acceptor.
    ///
    /// # Errors
    /// [`AcceptError`]; a peer that asked wrongly, or was refused by `decide`, was told.
    ///
    /// # Cancel safety
    /// Cancel safe: when dropped, the stream is dropped. The future of `decide` must be cancel safe: it is dropped
    /// when the client goes away and at the deadline, as that of [`Endpoint::accept`](super::Endpoint::accept).
    pub async fn accept_with<S, F>(
        &self,
        stream: S,
        decide: impl FnOnce(Request) -> F,
    ) -> Result<WebSocket<S>, AcceptError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = Result<Decision, Refusal>>,
    {
        let (socket, request) = self.open(stream, decide).await?;
        Ok(socket.with_request(request))
    }

    /// As [`accept`](Self::accept), and gives the request's head, too.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    ///
    /// # Cancel safety
    /// As [`accept`](Self::accept).
    pub async fn accept_with_head<S>(
        &self,
        stream: S,
    ) -> Result<(WebSocket<S>, RequestHead), AcceptError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (socket, request) = self.open(stream, self.always()).await?;
        Ok((socket, Arc::unwrap_or_clone(request.head)))
    }

    /// This acceptor's decision, whatever the request is.
    fn always(&self) -> impl FnOnce(Request) -> Ready<Result<Decision, Refusal>> + use<> {
        let decision = self.decision.clone();
        |_request| future::ready(Ok(decision))
    }

    async fn open<S, F>(
        &self,
        stream: S,
        decide: impl FnOnce(Request) -> F,
    ) -> Result<(WebSocket<S>, Request), AcceptError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = Result<Decision, Refusal>>,
    {
        timeout(self.handshake_timeout, self.shake_hands(stream, decide))
            .await
            .map_err(|_elapsed| AcceptError::TimedOut)?
    }

    async fn shake_hands<S, F>(
        &self,
        mut stream: S,
        decide: impl FnOnce(Request) -> F,
    ) -> Result<(WebSocket<S>, Request), AcceptError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = Result<Decision, Refusal>>,
    {
        let decided = match self.read_head(&mut stream).await? {
            Ok((head, mut leftover)) => {
                let request = Request::new(head, Peer::default());
                let accept = decide(request.clone());
                let decided = decision::decide(accept, &mut stream, &mut leftover).await;
                let decided = decided.map_err(lost)?;
                decided.and_then(|decision| Ok((agree(request, decision)?, leftover)))
            }
            Err(error) => Err(Refusal::from(error)),
        };
        let (agreed, leftover) = match decided {
            Ok(decided) => decided,
            Err(refusal) => {
                let response = refusal.to_response();
                stream.write_all(response.as_bytes()).await.map_err(lost)?;
                stream.shutdown().await.map_err(lost)?;
                return Err(AcceptError::Refused(refusal));
            }
        };
        let response = agreed.accepted.response.as_bytes();
        stream.write_all(response).await.map_err(lost)?;
        stream.flush().await.map_err(lost)?;
        Ok(agreed.open(stream, leftover, self.write_timeout))
    }

    /// Reads a head, and what came behind it.
    async fn read_head(
        &self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Result<Result<(RequestHead, Vec<u8>), HeadError>, AcceptError> {
        let mut buffer = Vec::with_capacity(1024);
        let mut scanner = RequestScanner::default();
        loop {
            match scanner.scan(&buffer, self.head_limits) {
                Ok(Some(head)) => {
                    let leftover = buffer.split_off(head.end);
                    let head = Bytes::from(buffer).slice(head.start..);
                    let head = RequestHead::parse(head, self.head_limits);
                    return Ok(head.map(|head| (head, leftover)));
                }
                Ok(None) => {}
                Err(error) => return Ok(Err(error)),
            }
            if stream.read_buf(&mut buffer).await.map_err(lost)? == 0 {
                return Err(lost(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Answers a request that another HTTP/1.1 server has read: the caller sends the answer, takes the
    /// connection over, and gives it to [`AcceptedRequest::open`].
    ///
    /// `fields` are all header fields of the request. What has to be waited for, as for credentials, is done before:
    /// it may give the [`Decision`](Self::decision), and the server that has read the request knows when its client
    /// goes away.
    ///
    /// # Errors
    /// The HTTP answer for a request that is no valid one for a WebSocket.
    pub fn answer<'a>(
        &self,
        method: &str,
        target: &str,
        fields: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<AcceptedRequest, Refusal> {
        let head = head_of(method, target, fields)
            .and_then(|head| RequestHead::parse(head, self.head_limits))?;
        let mut agreed = agree(Request::new(head, Peer::default()), self.decision.clone())?;
        let response = Bytes::from(mem::take(&mut agreed.accepted.response));
        Ok(AcceptedRequest {
            agreed,
            response: ResponseHead::parse(response, HeadLimits::default())?,
            write_timeout: self.write_timeout,
        })
    }
}

/// A request, and its answer.
#[derive(Debug)]
struct Agreed {
    request: Request,
    config: Arc<Config>,
    accepted: Accepted,
}

/// Checks the request and makes the answer.
fn agree(mut request: Request, decision: Decision) -> Result<Agreed, Refusal> {
    let config = decision.config.clone().unwrap_or_default();
    let accepted = decision.agree(&request.head, &config, handshake::accept)?;
    request.extensions = decision.extensions;
    Ok(Agreed {
        request,
        config,
        accepted,
    })
}

impl Agreed {
    /// The socket behind the answer.
    fn open<S>(
        self,
        stream: S,
        leftover: Vec<u8>,
        write_timeout: Duration,
    ) -> (WebSocket<S>, Request)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let now = Instant::now().into_std();
        let core = Connection::server(self.config, now).with_deflate(self.accepted.deflate);
        let socket = WebSocket::new(stream, core, leftover).describe(
            Arc::clone(&self.request.peer),
            self.accepted.subprotocol.map(Arc::from),
            write_timeout,
        );
        (socket, self.request)
    }
}

/// A WebSocket request that another HTTP server answers: status 101 with [`fields`](Self::fields).
#[derive(Debug)]
#[must_use = "the request is to be answered with `fields`"]
pub struct AcceptedRequest {
    agreed: Agreed,
    response: ResponseHead,
    write_timeout: Duration,
}

impl AcceptedRequest {
    /// The header fields of the answer, `Upgrade` and `Connection` among them.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.response.fields()
    }

    /// The WebSocket, on the connection behind the answer. A library that has read bytes behind the
    /// request must give them first, as hyper's `Upgraded` does.
    pub fn open<S>(self, stream: S) -> WebSocket<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (socket, request) = self.agreed.open(stream, Vec::new(), self.write_timeout);
        socket.with_request(request)
    }
}

/// Puts the parts of a request together again. What could become another field is malformed.
fn head_of<'a>(
    method: &str,
    target: &str,
    fields: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<Bytes, HeadError> {
    let is_word = |part: &str| part.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_word(method) || !is_word(target) {
        return Err(HeadError::Malformed);
    }
    let mut head = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
    for (name, value) in fields {
        let breaks = value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
        if breaks || !is_word(name) || name.contains(':') {
            return Err(HeadError::Malformed);
        }
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    Ok(Bytes::from(head))
}

fn lost(error: io::Error) -> AcceptError {
    AcceptError::Lost(error)
}
