//! hyper underneath, a `tower` service on top.

use std::{
    borrow::Cow, convert::Infallible, error::Error, future::poll_fn, io, pin::Pin, sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use hyper::{
    body::{Body, Incoming},
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tidewire_proto::handshake::HeadLimits;
use tokio::io::AsyncWriteExt as _;
use tower_service::Service as Tower;

use super::{
    body::{RequestBody, Unread},
    deadline::Paced,
    head::{self, FirstRequest},
    held::{self, AnswerBudget},
    requests::{End, Patience, Requests},
    unrouted::{Fallback, Unrouted},
};
use crate::{
    net::{
        Exceeded, Peer, Rewind, Stream,
        stream::{DISCARDED_MAX, linger, send_last},
    },
    service::{Protocol, ProxiedClients, Service},
};

/// How HTTP is spoken.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Whether a connection may carry several requests. Default true. Off where upgrades arrive too: only a
    /// connection's first request can become a WebSocket.
    pub keep_alive: bool,
    /// Bounds of a request's head, the same for every request of a connection. With [`keep_alive`](Self::keep_alive) a
    /// body that is no part of the rules has none: see [`read_body`](super::read_body).
    pub head: HeadLimits,
    /// The head of a later request must be complete within, from its first byte; after that the client gets 408.
    /// Default 10 s. The first one belongs to the opening of the connection
    /// ([`Limits::handshake_timeout`](crate::service::Limits::handshake_timeout)).
    pub head_timeout: Duration,
    /// How long a connection may be without a request; then it is closed. Default 75 s, which is longer than proxies
    /// keep theirs by default (60 s): who keeps it shorter now and then closes it while a request is on its way, and
    /// the proxy's client gets 502.
    pub idle_timeout: Duration,
    /// A client that keeps an answer waiting has to take 16 KiB of it within. Default 30 s.
    pub answer_timeout: Duration,
    /// What answers hold in memory, together with those of all listeners that share it. Default 64 MiB.
    pub answers: AnswerBudget,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            keep_alive: true,
            head: HeadLimits::default(),
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            answer_timeout: Duration::from_secs(30),
            answers: AnswerBudget::new(64 << 20),
        }
    }
}

/// HTTP as the [`Protocol`] of a [server](crate::service::Server): every request goes to a `tower` service, which
/// finds the client as an `Arc<Peer>` in the request's extensions.
#[derive(Clone, Debug)]
pub struct Http<S> {
    service: S,
    config: Config,
}

impl<S> Http<S> {
    /// Answers by `service`; an axum `Router` is one.
    pub fn new(service: S, config: Config) -> Self {
        Self { service, config }
    }
}

impl<S, B> Protocol for Http<S>
where
    S: Tower<Request<RequestBody>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Connection = Pin<Box<dyn Future<Output = ()> + Send>>;

    async fn open(
        service: Arc<Service<Self>>,
        stream: Stream,
        peer: Peer,
    ) -> io::Result<Option<Self::Connection>> {
        let Self {
            service: requests,
            config,
        } = service.protocol();
        let first = head::read(
            stream,
            peer,
            config.head,
            #[cfg(feature = "http2")]
            false,
        );
        #[cfg_attr(
            not(feature = "http2"),
            expect(clippy::manual_let_else, reason = "there is a third arm with HTTP/2")
        )]
        let received = match first.await? {
            Some(FirstRequest::Http1(received)) => received,
            #[cfg(feature = "http2")]
            Some(FirstRequest::Http2(..)) => return Ok(None),
            None => return Ok(None),
        };
        let clients = ProxiedClients::of(&service);
        let unrouted = Unrouted::new(received, service.drain().clone(), clients);
        let serve = serve(requests.clone(), config.clone(), unrouted);
        Ok(Some(Box::pin(serve)))
    }

    fn busy(&self, exceeded: Exceeded) -> Cow<'static, [u8]> {
        head::busy(exceeded)
    }

    fn without_tls(&self) -> Cow<'static, [u8]> {
        head::without_tls()
    }
}

/// Gives the requests that a WebSocket server has no use for to a `tower` service.
pub fn fallback<S, B>(service: S, config: Config) -> Fallback
where
    S: Tower<Request<RequestBody>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    Arc::new(move |unrouted| Box::pin(serve(service.clone(), config.clone(), unrouted)))
}

async fn serve<S, B>(service: S, config: Config, unrouted: Unrouted)
where
    S: Tower<Request<RequestBody>, Response = Response<B>, Error = Infallible> + Clone + Send,
    S::Future: Send,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let Unrouted {
        stream,
        peer,
        drain,
        clients,
    } = unrouted;
    let answers = config.answers;
    // Boxed, because a service need not be movable while it is polled.
    let service = Box::new(TowerToHyperService::new(service));
    let service = service_fn(move |request: Request<Incoming>| {
        let headers = request.headers();
        let values = |name: &str| {
            headers
                .get_all(name)
                .iter()
                .map(HeaderValue::as_bytes)
                .collect()
        };
        let place = clients.place(&peer, values);
        let is_awaited = headers.contains_key(header::EXPECT);
        let (request, unread) = prepare(request, &peer);
        let answer = place.map(|place| (service.call(request), place));
        let answers = answers.clone();
        Box::pin(async move {
            let answer = match answer {
                Ok((answer, place)) => {
                    let response = answer.await.map(|response| answers.hold(response));
                    drop(place);
                    response
                }
                Err(_exceeded) => Ok(held::refused("too many requests from this address\n")),
            };
            let is_cleared = unread.is_cleared(is_awaited).await;
            answer.map(|mut response| {
                if !is_cleared {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(header::CONNECTION, close);
                }
                response
            })
        })
    });
    let patience = Patience {
        idle: config.idle_timeout,
        head: config.head_timeout,
    };
    let stream = Paced::new(stream, config.answer_timeout);
    let stream = TokioIo::new(Requests::new(stream, config.head, patience));
    let rules = hyper_rules(config.keep_alive, config.head);
    let mut connection = rules.serve_connection(stream, service);
    let ended = tokio::select! {
        ended = poll_fn(|context| connection.poll_without_shutdown(context)) => ended,
        () = drain.started() => {
            Pin::new(&mut connection).graceful_shutdown();
            poll_fn(|context| connection.poll_without_shutdown(context)).await
        }
    };
    let requests = connection.into_parts().io.into_inner();
    let finished = async {
        ended.map_err(io::Error::other)?;
        finish(requests).await
    };
    tokio::select! {
        finished = finished => if let Err(error) = finished {
            tracing::debug!(error = %crate::ErrorChain(&error), "HTTP connection ended");
        },
        // What is to be sent was given to the system.
        () = drain.started() => {}
    }
}

/// How hyper speaks; what it takes from `Requests` has been checked.
fn hyper_rules(keep_alive: bool, head: HeadLimits) -> hyper::server::conn::http1::Builder {
    let mut rules = hyper::server::conn::http1::Builder::new();
    rules
        .keep_alive(keep_alive)
        // The end of a client's requests is no wish to lose the answer.
        .half_close(true)
        .max_headers(head.fields_max)
        .timer(TokioTimer::new())
        // Pieces are passed on as they are, so that each is held until it is written.
        .writev(true)
        .max_buf_size(head.bytes_max.max(BUFFER_BYTES))
        // `Requests` knows whether a head has begun.
        .header_read_timeout(None);
    rules
}

/// Tells the service who asks, and keeps what it does not read.
fn prepare(request: Request<Incoming>, peer: &Arc<Peer>) -> (Request<RequestBody>, Unread) {
    let unread = Unread::default();
    let mut request = request.map(|incoming| RequestBody::new(incoming, unread.clone()));
    request.extensions_mut().insert(Arc::<Peer>::clone(peer));
    (request, unread)
}

/// Ends a connection so that its last answer arrives.
async fn finish(requests: Requests<Paced<Rewind<Stream>>>) -> io::Result<()> {
    let (mut stream, end, is_unread) = requests.into_parts();
    match end {
        Some(End::Refused(refusal)) => {
            let refusal = refusal.to_response();
            send_last(&mut stream, refusal.as_bytes()).await
        }
        Some(End::Body) => linger(&mut stream, DISCARDED_MAX).await,
        None if is_unread => linger(&mut stream, DISCARDED_MAX).await,
        None | Some(End::Client | End::Idle) => stream.shutdown().await,
    }
}

/// Beyond this an answer's next page is not made; the least that hyper takes is 8 KiB.
const BUFFER_BYTES: usize = 64 << 10;
