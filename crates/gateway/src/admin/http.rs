//! Requests that are no WebSocket upgrade: hyper underneath, axum's router on top.
//!
//! In: a stream whose first request has been read and put back. Out: answers. Invariants: a request's head must
//! arrive within a deadline, and so must its answer; a draining server finishes the request under way
//! and closes.

use std::time::Duration;

use axum::{
    Router,
    extract::Request,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tidewire::ws::Unrouted;

use super::error::AdminError;

/// The head of a request must be complete within; also how long a connection may be idle.
const HEAD_WITHIN: Duration = Duration::from_secs(30);

/// A request must be complete and answered within; a reload reads files meanwhile.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Most header fields of a request.
const HEADERS_MAX: usize = 64;

/// Serves one connection.
pub(super) async fn serve(router: Router, unrouted: Unrouted) {
    let Unrouted { stream, drain, .. } = unrouted;
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .max_headers(HEADERS_MAX)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN);
    let connection =
        builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = drain.started() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "admin connection ended");
    }
}

/// Ends a request whose body drips in.
pub(super) async fn in_time(request: Request, next: Next) -> Response {
    tokio::time::timeout(ANSWER_WITHIN, next.run(request))
        .await
        .unwrap_or_else(|_elapsed| AdminError::new(408, "this took too long").into_response())
}
