//! hyper underneath, a `tower` service on top.

use std::{
    borrow::Cow, convert::Infallible, error::Error, io, pin::Pin, sync::Arc, time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use hyper::{
    body::{Body, Incoming},
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tidewire_proto::handshake::HeadLimits;
use tower_service::Service as Tower;

use super::{
    deadline::Paced,
    head::{self, FirstRequest},
    held::{self, AnswerBudget},
    unrouted::{Fallback, Unrouted},
};
use crate::{
    net::{Exceeded, Peer, Stream},
    service::{Protocol, ProxiedClients, Service},
};

/// How HTTP is spoken.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Whether a connection may carry several requests. Default true. Off where upgrades arrive too: only a
    /// connection's first request can become a WebSocket.
    pub keep_alive: bool,
    /// Bounds of a request's head. The bytes are exact for the first request of a connection; later ones are
    /// bounded by these or 64 KiB, whichever is more.
    pub head: HeadLimits,
    /// The head of a later request must be complete within; also how long a connection may be idle. Default 10 s.
    /// That of the first one belongs to the opening of the connection
    /// ([`Limits::handshake_timeout`](crate::service::Limits::handshake_timeout)).
    pub head_timeout: Duration,
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
    S: Tower<Request<Incoming>, Response = Response<B>, Error = Infallible>
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
}

/// Gives the requests that a WebSocket server has no use for to a `tower` service.
pub fn fallback<S, B>(service: S, config: Config) -> Fallback
where
    S: Tower<Request<Incoming>, Response = Response<B>, Error = Infallible>
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
    S: Tower<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send,
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
    let service = TowerToHyperService::new(service);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let headers = request.headers();
        let values = |name: &str| {
            headers
                .get_all(name)
                .iter()
                .map(HeaderValue::as_bytes)
                .collect()
        };
        let place = clients.place(&peer, values);
        request.extensions_mut().insert(Arc::<Peer>::clone(&peer));
        let answer = place.map(|place| (service.call(request), place));
        let answers = answers.clone();
        async move {
            match answer {
                Ok((answer, place)) => {
                    let response = answer.await.map(|response| answers.hold(response));
                    drop(place);
                    response
                }
                Err(_exceeded) => Ok(held::refused("too many requests from this address\n")),
            }
        }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .keep_alive(config.keep_alive)
        .max_headers(config.head.fields_max)
        .timer(TokioTimer::new())
        // Pieces are passed on as they are, so that each is held until it is written.
        .writev(true)
        .max_buf_size(config.head.bytes_max.max(BUFFER_BYTES))
        .header_read_timeout(config.head_timeout);
    let stream = TokioIo::new(Paced::new(stream, config.answer_timeout));
    let mut connection = std::pin::pin!(builder.serve_connection(stream, service));
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = drain.started() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(error = %crate::ErrorChain(&error), "HTTP connection ended");
    }
}

/// Beyond this an answer's next page is not made; the least that hyper takes is 8 KiB.
const BUFFER_BYTES: usize = 64 << 10;
