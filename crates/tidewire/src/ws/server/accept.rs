//! From an accepted TCP stream to a running endpoint.
//!
//! In: connections of a listener. Out: each as a WebSocket to its endpoint, as an HTTP request to
//! the fallback, or refused. Invariants: nothing before the endpoint outlives the handshake
//! deadline; a connection is counted from accept to end.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use bytes::Bytes;
use tidewire_proto::{
    Config, Connection, DeflateParameters,
    handshake::{self, AcceptOptions, Refusal, RequestHead},
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

use super::{Current, Opening, Shared, Unrouted, opening::Wire};
use crate::{
    net::listener::{self, Permit},
    net::{Rewind, Stream},
    service::Drain,
    ws::{
        Endpoint, Request, Serving, WebSocket, proxied,
        sessions::Entry,
        upgrade::{self, Arrival, Arrived},
    },
};

/// A worker: accepts until the drain, then lives until its connections have ended.
pub(super) async fn own_core(
    listeners: Vec<std::net::TcpListener>,
    current: Arc<Current>,
    abort: Drain,
) {
    let shared = current.get();
    for listener in listeners {
        match TcpListener::from_std(listener) {
            Ok(listener) => {
                let accept = accept_loop(listener, Arc::clone(&current));
                shared.tasks.spawn(Box::pin(accept));
            }
            Err(error) => tracing::error!(%error, "a worker cannot use its listener"),
        }
    }
    shared.drain.started().await;
    // All workers wait for all tasks: a connection's task never outlives its runtime.
    tokio::select! {
        () = shared.tasks.ended() => {}
        () = abort.started() => {}
    }
}

pub(super) async fn accept_loop(listener: TcpListener, current: Arc<Current>) {
    let full = current.get().full.clone();
    loop {
        tokio::select! {
            biased;
            () = full.started() => return,
            (tcp, address, permit) = listener::accept(&listener, || current.admission()) => {
                let shared = current.get();
                let handshake = connection(tcp, address, permit, Arc::clone(&shared));
                shared.tasks.spawn(Box::pin(handshake));
            }
        }
    }
}

/// A connection until it is established; from then on a task of its own, which carries nothing
/// of the handshake along.
async fn connection(tcp: TcpStream, address: SocketAddr, mut permit: Permit, shared: Arc<Shared>) {
    if let Some(serve) = establish(tcp, address, &mut permit, &shared).await {
        shared.tasks.spawn(Counted {
            serve,
            _permit: permit,
        });
    }
}

/// What is run for a connection that an [`Interceptor`](super::Interceptor) has opened.
pub type Established = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is run for an established connection.
pub(super) enum Serve {
    /// A session.
    Session(SessionTask),
    /// HTTP, or many sessions.
    Other(Established),
}

/// An endpoint at work on a session.
pub(super) struct SessionTask {
    serving: Serving<Stream, Pin<Box<dyn Future<Output = ()> + Send>>>,
    _entry: Entry,
}

impl Future for SessionTask {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.serving).poll(cx)
    }
}

/// An established connection, counted while it lives.
struct Counted {
    serve: Serve,
    _permit: Permit,
}

impl Future for Counted {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.serve {
            Serve::Session(session) => Pin::new(session).poll(cx),
            Serve::Other(other) => other.as_mut().poll(cx),
        }
    }
}

/// The handshake, within its deadline.
async fn establish(
    tcp: TcpStream,
    address: SocketAddr,
    permit: &mut Permit,
    shared: &Arc<Shared>,
) -> Option<Serve> {
    let within = shared.config.limits.handshake_within;
    let opened = tokio::select! {
        biased;
        opened = timeout(within, open(tcp, address, permit, shared)) => opened,
        () = shared.drain.started() => return None,
    };
    match opened {
        Ok(Ok(Some(serve))) => return Some(serve),
        Ok(Ok(None)) => {}
        Ok(Err(error)) => tracing::debug!(%address, %error, "handshake failed"),
        Err(_elapsed) => tracing::debug!(%address, "handshake not done in time"),
    }
    shared.refused.fetch_add(1, Ordering::Relaxed);
    None
}

/// PROXY header, TLS, request, answer; gives what is to be run for the connection.
async fn open(
    mut tcp: TcpStream,
    address: SocketAddr,
    permit: &mut Permit,
    shared: &Arc<Shared>,
) -> std::io::Result<Option<Serve>> {
    let protocol = &shared.config.proxy_protocol;
    let Some(peer) = proxied::identify(&mut tcp, address, permit, protocol).await? else {
        return Ok(None);
    };
    let (stream, peer) = upgrade::secure(tcp, peer, shared).await?;
    #[cfg_attr(
        not(feature = "http2"),
        expect(clippy::manual_let_else, reason = "there is a third arm with HTTP/2")
    )]
    let arrived = match upgrade::read_head(stream, peer, shared).await? {
        Some(Arrival::Request(arrived)) => arrived,
        #[cfg(feature = "http2")]
        Some(Arrival::Http2(stream, peer)) => {
            let serve = super::http2::handshake(stream, peer, shared).await?;
            return Ok(Some(serve));
        }
        None => return Ok(None),
    };
    if arrived.head.wants_websocket() {
        return websocket(arrived, shared).await;
    }
    let Some(fallback) = &shared.fallback else {
        let mut stream = arrived.stream;
        let refusal = Refusal::upgrade_required("this address speaks WebSocket only");
        upgrade::refuse(&mut stream, &refusal).await?;
        return Ok(None);
    };
    let mut before = arrived.head.as_bytes().to_vec();
    before.extend_from_slice(&arrived.leftover);
    Ok(Some(Serve::Other(fallback(Unrouted {
        stream: Rewind::new(Bytes::from(before), arrived.stream),
        peer: arrived.peer,
        drain: shared.drain.clone(),
    }))))
}

async fn websocket(arrived: Arrived, shared: &Arc<Shared>) -> std::io::Result<Option<Serve>> {
    let Arrived {
        mut stream,
        head,
        leftover,
        peer,
    } = arrived;
    let request = Request {
        head: Arc::new(head),
        peer,
    };
    if let Some(interceptor) = &shared.interceptor {
        if let Err(refusal) = handshake::check_request(&request.head) {
            upgrade::refuse(&mut stream, &refusal).await?;
            return Ok(None);
        }
        let opening = Opening::new(request, Wire::Http1(stream, leftover), Arc::clone(shared));
        return Ok(interceptor(opening).await.map(Serve::Other));
    }
    let Decided {
        endpoint,
        config,
        accepted,
    } = match decide(shared, &request, handshake::accept) {
        Ok(decided) => decided,
        Err(refusal) => {
            upgrade::refuse(&mut stream, &refusal).await?;
            return Ok(None);
        }
    };
    stream.write_all(accepted.response.as_bytes()).await?;
    stream.flush().await?;
    let terms = Terms {
        config,
        subprotocol: accepted.subprotocol,
        deflate: accepted.deflate,
    };
    let session = session(shared, endpoint, request, terms, stream, leftover);
    Ok(Some(Serve::Session(session)))
}

/// Who serves a request, and how.
pub(super) struct Decided<'a, A> {
    pub(super) endpoint: &'a dyn Endpoint,
    pub(super) config: Arc<Config>,
    pub(super) accepted: A,
}

/// Which endpoint serves a request, and what it agrees to.
pub(super) fn decide<'a, A>(
    shared: &'a Shared,
    request: &Request,
    negotiate: impl FnOnce(&RequestHead, AcceptOptions<'_>) -> Result<A, Refusal>,
) -> Result<Decided<'a, A>, Refusal> {
    let route = shared.routes.get(request.head.path());
    let Some(endpoint) = route.or(shared.any.as_ref()) else {
        return Err(Refusal::new(404, "no WebSocket at this path"));
    };
    let response = endpoint.accept(request)?;
    let config = endpoint
        .config()
        .unwrap_or_else(|| Arc::clone(&shared.config.socket));
    let options = AcceptOptions {
        subprotocols: response.subprotocols,
        deflate: config.deflate.as_ref(),
        headers: response.headers,
    };
    let accepted = negotiate(&request.head, options)?;
    Ok(Decided {
        endpoint: endpoint.as_ref(),
        config,
        accepted,
    })
}

/// What a session's ends have agreed on.
pub(super) struct Terms {
    pub(super) config: Arc<Config>,
    pub(super) subprotocol: Option<String>,
    pub(super) deflate: Option<DeflateParameters>,
}

/// An open WebSocket, once the client has been told.
pub(super) fn session(
    shared: &Shared,
    endpoint: &dyn Endpoint,
    request: Request,
    terms: Terms,
    stream: Stream,
    leftover: Vec<u8>,
) -> SessionTask {
    shared.opened.fetch_add(1, Ordering::Relaxed);
    let core =
        Connection::server(terms.config, Instant::now().into_std()).with_deflate(terms.deflate);
    let mut socket = WebSocket::new(stream, core, leftover).describe(
        Arc::clone(&request.peer),
        terms.subprotocol.map(Arc::from),
        shared.config.limits.write_within,
    );
    socket.join(&shared.everyone);
    let entry = shared.sessions.open(socket.shared());
    SessionTask {
        serving: socket.serve(|socket| endpoint.serve(socket, request)),
        _entry: entry,
    }
}
