//! From a request to its endpoint at work on a session.
//!
//! In: a request. Out: who serves it and how, and, once the client was told, the session.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use tidewire_proto::{
    Config, Connection, DeflateParameters,
    handshake::{AcceptOptions, Refusal, RequestHead},
};
use tokio::time::Instant;

use super::sockets::Sockets;
use crate::{
    net::Stream,
    ws::{Decision, Endpoint, Request, Serving, WebSocket, sessions::Entry},
};

/// The endpoint that serves a request.
pub(super) fn endpoint<'a>(
    sockets: &'a Sockets,
    request: &Request,
) -> Result<&'a Arc<dyn Endpoint>, Refusal> {
    let route = sockets.routes.get(request.head.path());
    let endpoint = route.or(sockets.any.as_ref());
    endpoint.ok_or_else(|| Refusal::new(404, "no WebSocket at this path"))
}

/// Makes the answer, and chooses the connection's limits. The request takes the extensions.
pub(super) fn agree<A>(
    sockets: &Sockets,
    request: &mut Request,
    decision: Decision,
    negotiate: impl FnOnce(&RequestHead, AcceptOptions<'_>) -> Result<A, Refusal>,
) -> Result<(A, Arc<Config>), Refusal> {
    let config = decision.config.as_ref().unwrap_or(&sockets.config.socket);
    let config = Arc::clone(config);
    let accepted = decision.agree(&request.head, &config, negotiate)?;
    request.extensions = decision.extensions;
    Ok((accepted, config))
}

/// What a session's ends have agreed on.
pub(super) struct Terms {
    pub(super) config: Arc<Config>,
    pub(super) subprotocol: Option<String>,
    pub(super) deflate: Option<DeflateParameters>,
}

/// An open WebSocket, once the client has been told.
pub(super) fn session(
    sockets: &Sockets,
    endpoint: &dyn Endpoint,
    request: Request,
    terms: Terms,
    stream: Stream,
    leftover: Vec<u8>,
) -> SessionTask {
    sockets.life.opened.fetch_add(1, Ordering::Relaxed);
    let core =
        Connection::server(terms.config, Instant::now().into_std()).with_deflate(terms.deflate);
    let mut socket = WebSocket::new(stream, core, leftover).describe(
        Arc::clone(&request.peer),
        terms.subprotocol.map(Arc::from),
        sockets.config.limits.write_timeout,
    );
    socket = socket.with_memory(&sockets.config.memory);
    socket.join(&sockets.life.everyone);
    let entry = sockets.life.sessions.open(socket.shared());
    SessionTask {
        serving: socket.serve(|socket| endpoint.serve(socket, request)),
        _entry: entry,
    }
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
