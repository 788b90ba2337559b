//! `/health` on both listeners: tells if this server can do its work.

use axum::{
    Json,
    extract::Request,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tidewire_engine::Mailbox;

/// Where it is on both listeners.
pub(crate) const PATH: &str = "/health";

/// Returns whether a balancer asks, which does so by any name or address: who is at which of them is told by the server's
/// answering at all. Pages of other origins are no balancers.
pub(crate) fn is_probe(request: &Request) -> bool {
    request.uri().path() == PATH && !request.headers().contains_key(header::ORIGIN)
}

/// How the server does.
#[derive(Serialize)]
pub(crate) struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// A full disk is no reason to send it no more users: it still delivers, and the next message that fits finds out
/// that there is room again.
pub(crate) fn health(mailbox: &dyn Mailbox) -> Response {
    let (code, health) = of(mailbox);
    (code, Json(health)).into_response()
}

/// The same, with the status of an answer that tells it.
pub(crate) fn of(mailbox: &dyn Mailbox) -> (StatusCode, Health) {
    let store = mailbox.stats();
    let (code, status, reason) = match (&store.failed, store.disk_full, store.store_full) {
        (Some(reason), _, _) => {
            let reason = format!("the message store has failed: {reason}");
            (StatusCode::SERVICE_UNAVAILABLE, "failing", Some(reason))
        }
        (None, true, _) => {
            let reason = "the disk is full: messages are refused until there is room";
            (StatusCode::OK, "degraded", Some(reason.to_owned()))
        }
        (None, false, true) => {
            let reason = "the message store is at its limit (mailbox.messages_max, \
                          mailbox.bytes_max): messages are refused until some leave";
            (StatusCode::OK, "degraded", Some(reason.to_owned()))
        }
        (None, false, false) => (StatusCode::OK, "ok", None),
    };
    (code, Health { status, reason })
}
