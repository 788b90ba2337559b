//! Opening one of an endpoint's upstreams, with retries on others, before the client hears anything.
//!
//! In: a target and what to ask. Out: an open tunnel or socket with the [`Lease`] that counts it, or
//! why not. Invariants: an upstream is tried at most once per opening; every outcome is reported to the
//! pool by who caused it; an upstream's own refusal is the client's business and is not retried, but for what a
//! proxy says of the server behind it (502 to 504).

use std::net::IpAddr;

use bytes::Bytes;
use tidewire::{
    proto::handshake::ResponseHead,
    ws::{Client, ConnectError, HandshakeAnswer, Refusal, Tunnel, Url, WebSocket},
};

use crate::{
    ambient::now,
    backend::{
        answer::{self, CONFIRM},
        forward::{self, UpstreamPath},
    },
    routing::target::Target,
    settings::Endpoint,
    upstream::{ClientKey, Evidence, Fault, Lease, UpstreamId, explain},
};

/// What is asked of an upstream on behalf of a client.
#[derive(Clone, Debug, Default)]
pub(crate) struct UpstreamRequest {
    /// Header fields.
    pub(crate) headers: Vec<(String, String)>,
    /// Subprotocols offered.
    pub(crate) subprotocols: Vec<String>,
    /// The request's path.
    pub(crate) path: String,
    /// The query for the upstream.
    pub(crate) query: Option<String>,
    /// See [`settings::Route`](crate::settings::Route).
    pub(crate) strip_prefix: Option<String>,
    /// The path is the client's, whatever that of the upstream is.
    pub(crate) keep_path: bool,
    /// Sent before everything else.
    pub(crate) preface: Bytes,
    /// The client's address.
    pub(crate) ip: Option<IpAddr>,
    /// What the endpoint's hash looks at.
    pub(crate) hashed: Option<Vec<u8>>,
}

/// An open upstream.
#[derive(Debug)]
pub(crate) struct Reached {
    pub(crate) lease: Lease,
    pub(crate) socket: WebSocket,
    /// Its answer to the handshake.
    pub(crate) head: ResponseHead,
}

/// No upstream was opened.
#[derive(Debug)]
pub(crate) enum Unreachable {
    /// None is usable now.
    None,
    /// The last one tried was not reached, or did not speak WebSocket.
    Failed(ConnectError),
    /// An upstream refused.
    Refused(Box<Refusal>),
}

impl Unreachable {
    /// Returns what the client is told.
    pub(crate) fn refusal(self) -> Refusal {
        match self {
            Self::None => Refusal::new(503, "no backend is available").header("Retry-After", "1"),
            Self::Failed(ConnectError::TimedOut) => {
                Refusal::new(504, "the backend did not answer in time")
            }
            Self::Failed(_) => Refusal::new(502, "the backend could not be reached"),
            Self::Refused(refusal) => *refusal,
        }
    }
}

/// Opens an upstream without speaking WebSocket to it.
///
/// # Cancel safety
/// Cancel safe: when dropped, the attempt is given up and counts for nothing.
pub(crate) async fn tunnel(
    target: &Target,
    ask: &UpstreamRequest,
    extensions: Option<&str>,
) -> Result<(Lease, Box<Tunnel>), Unreachable> {
    let endpoint = target.endpoint();
    let mut round = Round::new(target, &endpoint, ask);
    loop {
        let (mut lease, client) = round.next()?;
        match client.tunnel(extensions).await {
            Ok(HandshakeAnswer::Open(tunnel)) => {
                lease.succeeded(now());
                return Ok((lease, tunnel));
            }
            other => round.not_opened(lease, other)?,
        }
    }
}

/// Opens an upstream as a WebSocket.
///
/// # Cancel safety
/// As [`tunnel`].
pub(crate) async fn socket(
    target: &Target,
    ask: &UpstreamRequest,
    config: &tidewire::ws::Config,
) -> Result<Reached, Unreachable> {
    let endpoint = target.endpoint();
    let mut round = Round::new(target, &endpoint, ask);
    loop {
        let (mut lease, client) = round.next()?;
        let (name, value) = CONFIRM;
        // We answer close frames by ourselves: nothing but a pong proves anything to the server.
        let client = client.config(config.clone()).header(name, value);
        match client.connect_or_refusal().await {
            Ok(HandshakeAnswer::Open(opened)) => {
                lease.succeeded(now());
                let (socket, head) = *opened;
                return Ok(Reached {
                    lease,
                    socket,
                    head,
                });
            }
            other => round.not_opened(lease, other)?,
        }
    }
}

/// One opening: which upstreams were tried.
struct Round<'a> {
    target: &'a Target,
    endpoint: &'a Endpoint,
    ask: &'a UpstreamRequest,
    tried: Vec<UpstreamId>,
    last: Option<Unreachable>,
}

impl<'a> Round<'a> {
    fn new(target: &'a Target, endpoint: &'a Endpoint, ask: &'a UpstreamRequest) -> Self {
        Self {
            target,
            endpoint,
            ask,
            tried: Vec::new(),
            last: None,
        }
    }

    /// The next upstream, and the client to open it with.
    fn next(&mut self) -> Result<(Lease, Client), Unreachable> {
        let exhausted = self.tried.len() > self.endpoint.opening.retries as usize;
        let key = ClientKey {
            ip: self.ask.ip,
            value: self.ask.hashed.as_deref(),
        };
        let picked = if exhausted {
            None
        } else {
            let pool = &self.target.pool;
            pool.pick(now(), &key, &self.tried).ok()
        };
        let Some(lease) = picked else {
            return Err(self.last.take().unwrap_or(Unreachable::None));
        };
        self.tried.push(lease.id());
        match self.client(&lease.upstream().url) {
            Ok(client) => Ok((lease, client)),
            Err(_cannot_be_said) => Err(not_passed_on()),
        }
    }

    fn client(&self, upstream: &Url) -> Result<Client, ConnectError> {
        let ask = self.ask;
        let path = if ask.keep_path {
            UpstreamPath::Kept
        } else {
            let prefix = ask.strip_prefix.as_deref();
            prefix.map_or(UpstreamPath::Own, UpstreamPath::Behind)
        };
        let target = forward::target(upstream, &ask.path, ask.query.as_deref(), path);
        let mut client = Client::to(upstream.with_target(&target)?)
            .connect_timeout(self.endpoint.opening.timeout)
            .answer_limits(self.endpoint.opening.answer_limits())
            .preface(ask.preface.clone());
        for (name, value) in &ask.headers {
            client = client.header(name, value);
        }
        for name in &ask.subprotocols {
            client = client.subprotocol(name);
        }
        if let Some(tls) = &self.endpoint.tls {
            client = client.tls(tls.clone());
        }
        Ok(client)
    }

    /// The upstream was not opened: whether to try another one.
    fn not_opened<T>(
        &mut self,
        lease: Lease,
        answer: Result<HandshakeAnswer<T>, ConnectError>,
    ) -> Result<(), Unreachable> {
        match answer {
            Ok(HandshakeAnswer::Refused { head, body }) => {
                lease.ended(now(), Evidence::Answered);
                let refusal = Box::new(answer::refusal(&head, body));
                // A refusal is the client's, unless another upstream may say something else.
                if !matches!(head.status(), 502..=504) {
                    return Err(Unreachable::Refused(refusal));
                }
                self.last = Some(Unreachable::Refused(refusal));
                Ok(())
            }
            // What the client asked for cannot be sent: no upstream's fault.
            Err(ConnectError::Request(_) | ConnectError::Url(_)) => Err(not_passed_on()),
            Ok(HandshakeAnswer::Silent(error)) => {
                self.failed(lease, error, Evidence::Fault(Fault::Unanswered));
                Ok(())
            }
            Ok(_) => {
                self.failed(lease, ConnectError::TimedOut, Evidence::Nothing);
                Ok(())
            }
            Err(error) => {
                let evidence = Evidence::of(&error, !self.ask.preface.is_empty());
                self.failed(lease, error, evidence);
                Ok(())
            }
        }
    }

    fn failed(&mut self, lease: Lease, error: ConnectError, evidence: Evidence) {
        let upstream = lease.upstream().url.server();
        let cause = explain(&error);
        tracing::debug!(upstream, cause, "not opened");
        lease.ended(now(), evidence);
        self.last = Some(Unreachable::Failed(error));
    }
}

/// The client asked for what cannot be said in a request.
fn not_passed_on() -> Unreachable {
    let refusal = Refusal::new(400, "the request cannot be passed on");
    Unreachable::Refused(Box::new(refusal))
}
