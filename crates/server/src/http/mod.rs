//! Requests that are no WebSocket upgrade: hyper underneath, axum's router on top.
//!
//! In: a stream whose first request has been read and put back. Out: answers. Invariants: a
//! request's head must arrive within the deadline; a draining server finishes the request under
//! way and closes.

use std::{sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tidewire::ws::{Fallback, Peer, Unrouted};
use tower::ServiceExt as _;

/// How a listener speaks HTTP.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HttpOptions {
    /// Whether a connection may carry several requests. Off where upgrades arrive too: only a
    /// connection's first request can become a WebSocket.
    pub(crate) keep_alive: bool,
    /// Most header fields of a request.
    pub(crate) headers_max: usize,
    /// The head of a request must be complete within.
    pub(crate) head_within: Duration,
}

/// Makes a listener's fallback from a router.
pub(crate) fn fallback(router: Router, options: HttpOptions) -> Fallback {
    Arc::new(move |unrouted| Box::pin(serve(router.clone(), options, unrouted)))
}

async fn serve(router: Router, options: HttpOptions, unrouted: Unrouted) {
    let Unrouted {
        stream,
        peer,
        drain,
        ..
    } = unrouted;
    let service = router.map_request(
        move |mut request: axum::http::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(Arc::<Peer>::clone(&peer));
            request
        },
    );
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .keep_alive(options.keep_alive)
        .max_headers(options.headers_max)
        .timer(TokioTimer::new())
        .header_read_timeout(options.head_within);
    let connection =
        builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = drain.started() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "HTTP connection ended");
    }
}
