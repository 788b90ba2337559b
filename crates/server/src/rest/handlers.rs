//! One function per endpoint.

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{RawQuery, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tidewire_hub::{ApiError, Refusal, Stat, UserId};
use tokio::sync::oneshot;

use super::{Rest, RestError, schema, stats_body::StatsBody};

/// `{"data":…,"success":true}`.
#[derive(Serialize)]
pub(super) struct Answer<T> {
    data: T,
    success: bool,
}

impl<T> Answer<T> {
    fn of(data: T) -> Json<Self> {
        Json(Self {
            data,
            success: true,
        })
    }
}

#[derive(Serialize)]
pub(super) struct Online {
    #[serde(rename = "isOnline")]
    is_online: bool,
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Statistics of all known users.
#[utoipa::path(get, path = "/stats", tag = "statistics", responses(
    (status = 200, description = "Every user seen, online or not", body = schema::StatsAnswer),
    (status = 401, description = "Unauthorized", body = RestError)))]
pub(super) async fn stats(State(rest): State<Rest>) -> Response {
    let fields = [(header::CONTENT_TYPE, "application/json")];
    (fields, Body::new(StatsBody::new(rest.hub))).into_response()
}

/// Statistics of one user.
#[utoipa::path(get, path = "/stat", tag = "statistics", params(("id" = String, Query, description = "User id")), responses(
    (status = 200, description = "Statistics; all zero for a user never seen", body = schema::StatAnswer),
    (status = 400, description = "Id required, or invalid id", body = RestError),
    (status = 401, description = "Unauthorized", body = RestError)))]
pub(super) async fn stat(
    State(rest): State<Rest>,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer<Stat>>, RestError> {
    Ok(Answer::of(rest.hub.stat(&user(query.as_deref())?)))
}

/// Whether a user has a connection.
#[utoipa::path(get, path = "/check-online", tag = "statistics", params(("id" = String, Query, description = "User id")), responses(
    (status = 200, description = "Whether the user is online", body = schema::OnlineAnswer),
    (status = 400, description = "Id required, or invalid id", body = RestError),
    (status = 401, description = "Unauthorized", body = RestError)))]
pub(super) async fn check_online(
    State(rest): State<Rest>,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer<Online>>, RestError> {
    Ok(Answer::of(Online {
        is_online: rest.hub.is_online(&user(query.as_deref())?),
    }))
}

/// Sends a message as any sender, 0 included. 202: it is on disk for every recipient.
#[utoipa::path(post, path = "/send-message", tag = "messages", request_body = schema::Payload, responses(
    (status = 202, description = "Accepted: stored durably for every recipient"),
    (status = 400, description = "Wrong content type or payload; the message says what was expected", body = RestError),
    (status = 401, description = "Unauthorized", body = RestError),
    (status = 413, description = "Body too large", body = RestError),
    (status = 429, description = "A recipient's mailbox is full", body = RestError),
    (status = 503, description = "The store is full or has failed, or the server is stopping", body = RestError)))]
pub(super) async fn send_message(
    State(rest): State<Rest>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, RestError> {
    if !is_json(&headers) {
        return Err(RestError::bad_request(
            "Content-Type must be application/json",
        ));
    }
    let body = body.map_err(|error| RestError::new(error.status().as_u16(), error.body_text()))?;
    let (done, answer) = oneshot::channel();
    rest.hub.submit_api(
        &body,
        Box::new(move |outcome| {
            // The client may have gone; the message is accepted all the same.
            done.send(outcome).ok();
        }),
    );
    let outcome = answer
        .await
        .unwrap_or(Err(ApiError::Refused(Refusal::StoreFailed)));
    Ok(outcome.map(|_accepted| StatusCode::ACCEPTED)?)
}

/// Answers when the server does.
#[utoipa::path(head, path = "/status", tag = "operation", responses(
    (status = 200, description = "The server answers"),
    (status = 401, description = "Unauthorized", body = RestError)))]
pub(super) async fn status() -> StatusCode {
    StatusCode::OK
}

/// Whether this server can do its work. A full disk is no reason to send it no more users: it
/// still delivers, and the next message that fits finds out that there is room again.
#[utoipa::path(get, path = "/health", tag = "operation", responses(
    (status = 200, description = "ok, or degraded: the disk is full and messages are refused"),
    (status = 503, description = "failing: the store has failed for good, restart the server")))]
pub(super) async fn health(State(rest): State<Rest>) -> Response {
    let store = rest.mailbox.stats();
    let (code, status, reason) = match (&store.failed, store.disk_full) {
        (Some(reason), _) => {
            let reason = format!("the message store has failed: {reason}");
            (StatusCode::SERVICE_UNAVAILABLE, "failing", Some(reason))
        }
        (None, true) => {
            let reason = "the disk is full: messages are refused until there is room";
            (StatusCode::OK, "degraded", Some(reason.to_owned()))
        }
        (None, false) => (StatusCode::OK, "ok", None),
    };
    (code, Json(Health { status, reason })).into_response()
}

/// Counters in `OpenMetrics` text.
#[utoipa::path(get, path = "/metrics", tag = "operation", responses(
    (status = 200, description = "OpenMetrics text", body = String, content_type = "application/openmetrics-text"),
    (status = 401, description = "Unauthorized", body = RestError)))]
pub(super) async fn metrics(State(rest): State<Rest>) -> Response {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    (
        [(header::CONTENT_TYPE, content_type)],
        rest.telemetry.render(),
    )
        .into_response()
}

/// `application/json`, with or without parameters (defect 2.4-21).
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .eq_ignore_ascii_case("application/json")
}

/// The user of `?id=`.
fn user(query: Option<&str>) -> Result<UserId, RestError> {
    let value =
        crate::chat::id_parameter(query.unwrap_or_default()).filter(|value| !value.is_empty());
    let value = value.ok_or_else(|| RestError::bad_request("Id required"))?;
    crate::chat::percent_decode(value)
        .and_then(|decoded| UserId::from_query(&decoded).ok())
        .ok_or_else(|| RestError::bad_request("Invalid id"))
}
