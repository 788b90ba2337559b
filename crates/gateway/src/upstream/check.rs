//! One active check: a WebSocket handshake, a ping, its pong, a close.
//!
//! In: where and how. Out: whether the upstream answered. Invariant: over by the deadline, whatever
//! the upstream does. A process that is stopped still has its connections accepted by the kernel;
//! only an answer proves that it lives.

use std::{error::Error, sync::Arc, time::Duration};

use tidewire::{
    proto::proxy,
    tls::ClientTls,
    ws::{
        AnswerLimits, Client, CloseCode, CloseFrame, ConnectError, HandshakeAnswer, Incoming,
        RecvError, SendError, Url, WebSocket,
    },
};
use tokio::time::{Instant, timeout_at};

use super::{
    fault::{Evidence, Fault},
    member::UpstreamId,
};
use crate::settings::{Endpoint, Health, OutgoingProxyProtocol, Upstream};

/// What is checked, and how: everything the checks of a pool need of the settings.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// `None`: nothing is checked.
    pub(super) health: Option<Health>,
    pub(super) targets: Vec<(UpstreamId, Arc<Upstream>)>,
    tls: Option<ClientTls>,
    /// Without those of the handshake; of `Host` at most one.
    headers: Vec<(String, String)>,
    subprotocols: Vec<String>,
    limits: AnswerLimits,
    proxy_protocol: Option<OutgoingProxyProtocol>,
}

/// One upstream to be checked.
#[derive(Clone, Debug)]
pub(super) struct Check {
    pub(super) url: Url,
    pub(super) within: Duration,
    plan: Arc<Plan>,
}

/// Why an upstream does not count as alive.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckError {
    #[error("no handshake within {0:?}")]
    NoHandshake(Duration),
    #[error("no pong within {0:?}")]
    NoPong(Duration),
    #[error("no answer to the handshake")]
    Silent(#[source] ConnectError),
    #[error("the server answered with HTTP status {0}")]
    Refused(u16),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the ping was not sent")]
    Send(#[from] SendError),
    #[error("lost before the pong")]
    Receive(#[from] RecvError),
    #[error("closed before the pong{}", code(.0.as_ref()))]
    Closed(Option<CloseFrame>),
}

impl Plan {
    pub(super) fn new(endpoint: &Endpoint, targets: Vec<(UpstreamId, Arc<Upstream>)>) -> Self {
        Self {
            health: endpoint.health.clone(),
            targets,
            tls: endpoint.tls.clone(),
            headers: headers(endpoint),
            subprotocols: match &endpoint.health {
                Some(health) => health.subprotocols.clone(),
                None => Vec::new(),
            },
            limits: endpoint.opening.answer_limits(),
            proxy_protocol: endpoint.proxy_protocol,
        }
    }

    /// The question that decides about a doubt: as a check, whether or not there are checks.
    pub(super) fn inquiry(self: &Arc<Self>, id: UpstreamId) -> Option<Check> {
        let (_, upstream) = self.targets.iter().find(|(target, _)| *target == id)?;
        let health = self.health.as_ref();
        Some(Check {
            url: upstream.url.clone(),
            within: health.map_or_else(|| Health::default().timeout, |health| health.timeout),
            plan: Arc::clone(self),
        })
    }

    /// The check of an upstream; `None`: it is not to be checked.
    pub(super) fn check(self: &Arc<Self>, id: UpstreamId) -> Option<Check> {
        let health = self.health.as_ref()?;
        let (_, upstream) = self.targets.iter().find(|(target, _)| *target == id)?;
        Some(Check {
            url: upstream.url.clone(),
            within: health.timeout,
            plan: Arc::clone(self),
        })
    }
}

/// Returns whether the endpoint's first upstream answers a check, whether or not there are checks otherwise; if not,
/// why. A refusal is an answer, too, unless it speaks of the server's own troubles (5xx, as of one that is still
/// starting): what it insists on, its clients may bring.
///
/// # Cancel safety
/// Cancel safe: when dropped, the connection is aborted.
pub(crate) async fn answers(endpoint: Arc<Endpoint>) -> Result<(), String> {
    let mut endpoint = (*endpoint).clone();
    endpoint.health.get_or_insert_default();
    let id = UpstreamId(0);
    let first = endpoint.upstreams.first().cloned();
    let targets = first.map(|upstream| (id, Arc::new(upstream)));
    let plan = Arc::new(Plan::new(&endpoint, targets.into_iter().collect()));
    let check = plan.check(id).ok_or("there is no upstream")?;
    match check.run().await {
        Ok(()) | Err(CheckError::Refused(..500)) => Ok(()),
        Err(error) => Err(explain(&error)),
    }
}

impl Check {
    /// Runs the check.
    ///
    /// # Cancel safety
    /// Cancel safe: when dropped, the connection is aborted.
    pub(super) async fn run(self) -> Result<(), CheckError> {
        let deadline = Instant::now() + self.within;
        let client = self.client()?;
        let mut socket = match Box::pin(client.connect_or_refusal()).await? {
            HandshakeAnswer::Open(opened) => opened.0,
            HandshakeAnswer::Refused { head, .. } => {
                let health = self.plan.health.as_ref();
                let suffices = |health: &Health| health.statuses.contains(&head.status());
                return if health.is_some_and(suffices) {
                    Ok(())
                } else {
                    Err(CheckError::Refused(head.status()))
                };
            }
            HandshakeAnswer::Silent(ConnectError::TimedOut) => {
                return Err(CheckError::NoHandshake(self.within));
            }
            HandshakeAnswer::Silent(error) => return Err(CheckError::Silent(error)),
            _ => return Err(CheckError::NoHandshake(self.within)),
        };
        timeout_at(deadline, pong(&mut socket))
            .await
            .map_err(|_elapsed| CheckError::NoPong(self.within))??;
        // It has shown that it lives. The close is a courtesy; what becomes of it tells nothing more.
        drop(timeout_at(deadline, socket.close(CloseCode::NORMAL, "")).await);
        Ok(())
    }

    fn client(&self) -> Result<Client, ConnectError> {
        let path = self.plan.health.as_ref().and_then(|it| it.path.as_deref());
        let url = match path {
            Some(path) if path.starts_with('/') => self.url.with_target(path)?,
            Some(path) => self.url.with_target(&format!("/{path}"))?,
            None => self.url.clone(),
        };
        let mut client = Client::to(url)
            .connect_timeout(self.within)
            .write_timeout(self.within)
            .answer_limits(self.plan.limits);
        for (name, value) in &self.plan.headers {
            client = client.header(name, value);
        }
        for name in &self.plan.subprotocols {
            client = client.subprotocol(name);
        }
        if let Some(tls) = &self.plan.tls {
            client = client.tls(tls.clone());
        }
        let own = proxy::Header::local(); // no client is behind this connection
        Ok(match self.plan.proxy_protocol {
            None => client,
            Some(OutgoingProxyProtocol::V1) => client.preface(own.encode_v1()),
            Some(OutgoingProxyProtocol::V2) => client.preface(
                own.encode_v2(false)
                    .expect("a header without TLVs is short"),
            ),
        })
    }
}

impl CheckError {
    /// The evidence that it gives of the upstream's life, not of its health.
    pub(super) fn evidence(&self) -> Evidence {
        match self {
            Self::Refused(_) | Self::Closed(Some(_)) => Evidence::Answered,
            Self::Connect(error) => Evidence::of(error, false),
            Self::NoHandshake(_)
            | Self::Silent(_)
            | Self::NoPong(_)
            | Self::Send(_)
            | Self::Receive(_)
            | Self::Closed(None) => Evidence::Fault(Fault::Unanswered),
        }
    }
}

/// Pings and waits for the pong; messages that come meanwhile are dropped.
async fn pong(socket: &mut WebSocket) -> Result<(), CheckError> {
    const PAYLOAD: &[u8] = b"tidewire health check";
    socket.ping(PAYLOAD).await?;
    loop {
        match socket.recv_any().await? {
            Some(Incoming::Pong(payload)) if payload == PAYLOAD => return Ok(()),
            Some(Incoming::Closing(frame)) => return Err(CheckError::Closed(frame)),
            None => return Err(CheckError::Closed(None)),
            Some(_) => {}
        }
    }
}

/// The headers of a check: the endpoint's, and over them those of its checks.
fn headers(endpoint: &Endpoint) -> Vec<(String, String)> {
    let mut headers = endpoint.request_headers.clone();
    if let Some(health) = &endpoint.health {
        let host = health.host.iter().map(|host| ("Host", host));
        let further = health
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value));
        for (name, value) in further.chain(host) {
            headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
            headers.push((name.to_owned(), value.clone()));
        }
    }
    headers.retain(|(name, value)| !value.is_empty() && !is_of_the_handshake(name));
    headers
}

/// Headers the client writes itself, and may not be given.
fn is_of_the_handshake(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("sec-websocket-")
        || matches!(
            name.as_str(),
            "upgrade" | "connection" | "content-length" | "transfer-encoding"
        )
}

/// An error with its causes, on one line of bounded length.
pub(crate) fn explain(error: &dyn Error) -> String {
    const CHARS_MAX: usize = 200;
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(CHARS_MAX).collect()
}

fn code(frame: Option<&CloseFrame>) -> String {
    frame.map_or_else(String::new, |frame| format!(" with {}", frame.code))
}
