//! hyper underneath, a `tower` service on top.

use std::{
    borrow::Cow, convert::Infallible, error::Error, fmt, future::poll_fn, io, pin::Pin, sync::Arc,
};

use bytes::Bytes;
use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tidewire_proto::handshake::{HeadLimits, Refusal};
use tokio::io::AsyncWriteExt as _;
use tower_service::Service as Tower;

use super::{
    answering::Answering,
    body::RequestBody,
    config::Config,
    deadline::Paced,
    handler::{Handler, HandlerService, Hooks},
    head::{self, FirstRequest},
    requests::{End, Patience, Requests},
    session::{Listen, Session},
    shortcuts::{HeadSlot, Shortcuts},
    stats::{Counters, Stats},
    unrouted::{Fallback, Unrouted},
};
use crate::{
    net::{
        Exceeded, Peer, Rewind, Stream,
        stream::{DISCARDED_MAX, linger, send_last},
    },
    service::{Drain, Protocol, ProxiedClients, Service},
};

/// HTTP as the [`Protocol`] of a [server](crate::service::Server): every request goes to a `tower` service, which
/// finds the client as an `Arc<Peer>` in the request's extensions.
#[derive(Clone)]
pub struct Http<S> {
    service: S,
    config: Config,
    counters: Arc<Counters>,
    listener: Option<Arc<dyn Listen>>,
}

impl<S> Http<S> {
    /// Answers by `service`; an axum `Router` is one.
    pub fn new(service: S, config: Config) -> Self {
        Self {
            service,
            config,
            counters: Arc::default(),
            listener: None,
        }
    }

    /// Returns what was answered so far.
    pub fn stats(&self) -> Stats {
        self.counters.read()
    }
}

impl<H: Handler> Http<HandlerService<H>> {
    /// Answers by the hooks of `handler`.
    pub fn handler(handler: H, config: Config) -> Self {
        let handler = Arc::new(handler);
        Self {
            listener: Some(Arc::new(Hooks::new(Arc::clone(&handler)))),
            ..Self::new(HandlerService::new(handler), config)
        }
    }
}

impl<S> fmt::Debug for Http<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("config", &self.config)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
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
        let this = service.protocol();
        let first = head::read(
            stream,
            peer,
            this.config.head,
            #[cfg(feature = "http2")]
            this.config.http2,
        );
        let clients = ProxiedClients::of(&service);
        match first.await? {
            Some(FirstRequest::Http1(received)) => {
                let unrouted = Unrouted::new(received, service.drain().clone(), clients);
                let serve = this.clone().serve(unrouted);
                Ok(Some(Box::pin(serve)))
            }
            #[cfg(feature = "http2")]
            Some(FirstRequest::Http2(stream, peer)) => {
                let this = this.clone();
                let answering = this.answering(Arc::new(peer), clients);
                let told = Listened::connected(&answering);
                Ok(Some(Box::pin(async move {
                    super::http2::serve(answering, this.config, stream, service).await;
                    drop(told);
                })))
            }
            None => Ok(None),
        }
    }

    fn busy(&self, exceeded: Exceeded) -> Cow<'static, [u8]> {
        head::busy(exceeded)
    }

    fn without_tls(&self) -> Cow<'static, [u8]> {
        head::without_tls()
    }

    fn is_http(&self) -> bool {
        true
    }

    #[cfg(feature = "http2")]
    fn preferred_alpn(&self) -> Option<&[u8]> {
        self.config.http2.then_some(b"h2")
    }
}

/// Gives the requests that a WebSocket server has no use for to a `tower` service. Those for what is in
/// [`Config::files`] are answered out of it.
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
    let http = Http::new(service, config);
    Arc::new(move |unrouted| Box::pin(http.clone().serve(unrouted)))
}

/// As [`fallback`], to the hooks of a [`Handler`].
pub fn fallback_handler<H: Handler>(handler: H, config: Config) -> Fallback {
    let http = Http::handler(handler, config);
    Arc::new(move |unrouted| Box::pin(http.clone().serve(unrouted)))
}

/// Says that a connection has ended, whatever ends it.
struct Listened(Option<(Arc<dyn Listen>, Arc<Session>)>);

impl Listened {
    fn connected<S>(answering: &Answering<S>) -> Self {
        if let Some((listener, session)) = &answering.listening {
            listener.connected(session);
        }
        Self(answering.listening.clone())
    }

    fn refused(&self, refusal: &Refusal) {
        if let Some((listener, session)) = &self.0 {
            let (_type, content) = refusal.content();
            let reason = String::from_utf8_lossy(&content);
            listener.request_error(session, reason.trim_end());
        }
    }
}

impl Drop for Listened {
    fn drop(&mut self) {
        if let Some((listener, session)) = &self.0 {
            listener.disconnected(session);
        }
    }
}

impl<S, B> Http<S>
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
    fn answering(&self, peer: Arc<Peer>, clients: ProxiedClients) -> Answering<S> {
        let listening = self.listener.as_ref().map(|listener| {
            let session = Arc::new(Session::new(Arc::clone(&peer)));
            (Arc::clone(listener), session)
        });
        Answering {
            service: self.service.clone(),
            peer,
            clients,
            answers: self.config.answers.clone(),
            files: self.config.files.clone(),
            listening,
            received: None,
            counters: Arc::clone(&self.counters),
            progress: None,
        }
    }

    /// The requests that need no service, of a connection that may go on.
    fn shortcuts(&self) -> Shortcuts {
        let is_seen = self
            .listener
            .as_ref()
            .is_some_and(|it| it.cached().is_some());
        let config = &self.config;
        Shortcuts {
            files: config
                .files
                .clone()
                .filter(|_| config.keep_alive && !is_seen),
            trace: config.trace && config.keep_alive,
            date: config.trace_date,
            counters: Arc::clone(&self.counters),
            received: config.keep_heads.then(HeadSlot::default),
        }
    }

    /// Serves a connection of HTTP/1.1 until it has ended.
    async fn serve(self, unrouted: Unrouted) {
        let Unrouted {
            stream,
            peer,
            drain,
            clients,
        } = unrouted;
        let shortcuts = self.shortcuts();
        let mut answering = self.answering(peer, clients);
        answering.received.clone_from(&shortcuts.received);
        let told = Listened::connected(&answering);
        let end = told
            .0
            .as_ref()
            .map_or_else(Drain::new, |(_, session)| session.end.clone());
        let config = self.config;
        let answering = Arc::new(answering);
        let service = service_fn(move |request: Request<Incoming>| answering.answer(request));
        let patience = Patience {
            idle: config.idle_timeout,
            head: config.head_timeout,
        };
        let stream = Paced::new(stream, config.answer_timeout, Arc::clone(&self.counters));
        let requests = Requests::new(stream, config.head, patience, shortcuts);
        let stream = TokioIo::new(requests.may_lack_host(config.may_lack_host));
        let rules = hyper_rules(config.keep_alive, config.head);
        let mut connection = rules.serve_connection(stream, service);
        let asked = async {
            tokio::select! {
                () = drain.started() => {}
                () = end.started() => {}
            }
        };
        let ended = tokio::select! {
            ended = poll_fn(|context| connection.poll_without_shutdown(context)) => ended,
            () = asked => {
                Pin::new(&mut connection).graceful_shutdown();
                poll_fn(|context| connection.poll_without_shutdown(context)).await
            }
        };
        let mut requests = connection.into_parts().io.into_inner();
        let answered = match ended {
            Ok(()) => requests.finish_answer().await,
            Err(error) => Err(io::Error::other(error)),
        };
        let finished = async {
            answered?;
            finish(requests, &told, &self.counters).await
        };
        tokio::select! {
            finished = finished => if let Err(error) = finished {
                tracing::debug!(error = %crate::ErrorChain(&error), "HTTP connection ended");
            },
            // What is to be sent was given to the system.
            () = drain.started() => {}
        }
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

/// Ends a connection whose answers are on their way, so that the last one arrives.
async fn finish(
    requests: Requests<Paced<Rewind<Stream>>>,
    told: &Listened,
    counters: &Counters,
) -> io::Result<()> {
    let (mut stream, end, is_unread) = requests.into_parts();
    match end {
        Some(End::Refused(refusal)) => {
            counters.refused();
            told.refused(&refusal);
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
