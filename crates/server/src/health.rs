//! `/health` on both listeners: tells if this server can do its work.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tidewire_engine::Mailbox;

#[derive(Serialize)]
struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// A full disk is no reason to send it no more users: it still delivers, and the next message that fits finds out
/// that there is room again.
pub(crate) fn health(mailbox: &dyn Mailbox) -> Response {
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
    (code, Json(Health { status, reason })).into_response()
}
