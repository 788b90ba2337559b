//! Requests that are no WebSocket upgrade: hyper underneath, axum's router on top.
//!
//! In: a stream whose first request has been read and put back. Out: answers. Invariants: a
//! request's head must arrive within the deadline; a draining server finishes the request under
//! way and closes; a client that does not read its answer is cut, and what answers hold is bounded.

mod deadline; // a client has to read
mod held; // what answers hold in memory

use std::{sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tidewire::ws::{Fallback, Peer, Unrouted};
use tower::ServiceExt as _;

use self::deadline::Paced;
pub(crate) use self::held::AnswerBudget;

/// How a listener speaks HTTP.
#[derive(Clone, Debug)]
pub(crate) struct HttpOptions {
    /// Whether a connection may carry several requests. Off where upgrades arrive too: only a
    /// connection's first request can become a WebSocket.
    pub(crate) keep_alive: bool,
    /// Most header fields of a request.
    pub(crate) headers_max: usize,
    /// The head of a request must be complete within.
    pub(crate) head_within: Duration,
    /// Bytes of a request's head.
    pub(crate) head_bytes_max: usize,
    /// A client may keep an answer waiting for so long.
    pub(crate) answer_within: Duration,
    /// What answers hold, together with those of other listeners.
    pub(crate) answers: AnswerBudget,
}

/// Makes a listener's fallback from a router.
pub(crate) fn fallback(router: Router, options: HttpOptions) -> Fallback {
    Arc::new(move |unrouted| Box::pin(serve(router.clone(), options.clone(), unrouted)))
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
    let answers = options.answers;
    let service = service.map_response(move |response| answers.hold(response));
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .keep_alive(options.keep_alive)
        .max_headers(options.headers_max)
        .timer(TokioTimer::new())
        // Pieces are passed on as they are, so that each is held until it is written.
        .writev(true)
        .max_buf_size(options.head_bytes_max.max(BUFFER_BYTES))
        .header_read_timeout(options.head_within);
    let stream = TokioIo::new(Paced::new(stream, options.answer_within));
    let connection = builder.serve_connection(stream, TowerToHyperService::new(service));
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

/// Beyond this an answer's next page is not made; the least that hyper takes is 8 KiB.
const BUFFER_BYTES: usize = 64 << 10;
