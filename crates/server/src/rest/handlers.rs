//! One function per endpoint.

use axum::{
    Json,
    body::Body,
    extract::{RawQuery, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tidewire_auth::first_parameter;
use tidewire_hub::UserId;
use tokio::sync::oneshot;

use super::{
    Rest, RestError,
    ids::{Ids, StatOf},
    rights::Rights,
    schema,
    stats_body::StatsBody,
};

/// `{"data":…,"success":true}`.
#[derive(Serialize)]
pub(super) struct Answer<T> {
    data: T,
    success: bool,
}

impl<T> Answer<T> {
    pub(super) fn of(data: T) -> Json<Self> {
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

/// Statistics of all known users.
#[utoipa::path(get, path = "/stats", tag = "statistics", params(("ids" = Option<String>, Query, description = "strings: every id in the answer is a JSON string; default numbers")), responses(
    (status = 200, description = "Every user seen, online or not", body = schema::StatsAnswer),
    (status = 400, description = "Neither numbers nor strings", body = RestError),
    (status = 401, description = "Unauthorized", body = RestError),
    (status = 403, description = "The credentials are those of one user, who is no administrator", body = RestError)))]
pub(super) async fn stats(
    State(rest): State<Rest>,
    rights: Rights,
    RawQuery(query): RawQuery,
) -> Result<Response, RestError> {
    rights.everything()?;
    let ids = Ids::of(query.as_deref())?;
    let fields = [(header::CONTENT_TYPE, "application/json")];
    Ok((fields, Body::new(StatsBody::new(rest.hub, ids))).into_response())
}

/// Statistics of one user.
#[utoipa::path(get, path = "/stat", tag = "statistics", params(
    ("id" = String, Query, description = "User id"),
    ("ids" = Option<String>, Query, description = "strings: every id in the answer is a JSON string; default numbers")), responses(
    (status = 200, description = "Statistics; all zero for a user never seen", body = schema::StatAnswer),
    (status = 400, description = "Id required, or invalid id", body = RestError),
    (status = 401, description = "Unauthorized", body = RestError),
    (status = 403, description = "The credentials are those of one user, who is no administrator", body = RestError)))]
pub(super) async fn stat(
    State(rest): State<Rest>,
    rights: Rights,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer<StatOf>>, RestError> {
    let ids = Ids::of(query.as_deref())?;
    let user = user(query.as_deref())?;
    rights.for_user(&user)?;
    let stat = rest.hub.stat(&user);
    Ok(Answer::of(ids.stat(stat)))
}

/// Tells whether a user is connected.
#[utoipa::path(get, path = "/check-online", tag = "statistics", params(("id" = String, Query, description = "User id")), responses(
    (status = 200, description = "Whether the user is online", body = schema::OnlineAnswer),
    (status = 400, description = "Id required, or invalid id", body = RestError),
    (status = 401, description = "Unauthorized", body = RestError),
    (status = 503, description = "It cannot be told now; try again", body = RestError)))]
pub(super) async fn check_online(
    State(rest): State<Rest>,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer<Online>>, RestError> {
    let (send, receive) = oneshot::channel();
    let user = user(query.as_deref())?;
    // Who does not wait any more does not get the answer.
    rest.hub
        .is_online(&user, Box::new(|answer| drop(send.send(answer))));
    match receive.await {
        Ok(Ok(is_online)) => Ok(Answer::of(Online { is_online })),
        Ok(Err(error)) => Err(RestError::new(503, error.to_string())),
        Err(_) => Err(RestError::new(503, "the registry does not answer")),
    }
}

/// Answers when the server does, without a body.
#[utoipa::path(head, path = "/status", tag = "operation", responses(
    (status = 200, description = "The server answers"),
    (status = 401, description = "Unauthorized", body = RestError)))]
pub(super) async fn status() -> StatusCode {
    StatusCode::OK
}

/// Tells if this server can do its work. Needs no credentials.
#[utoipa::path(get, path = "/health", tag = "operation", security(()), responses(
    (status = 200, description = "ok, or degraded: the disk or the store is full and messages are refused", body = schema::Health),
    (status = 503, description = "failing: the store has failed for good, restart the server", body = schema::Health)))]
pub(super) async fn health(State(rest): State<Rest>) -> Response {
    crate::health::health(rest.mailbox.as_ref())
}

/// Counters in `OpenMetrics` text.
#[utoipa::path(get, path = "/metrics", tag = "operation", responses(
    (status = 200, description = "OpenMetrics text", body = String, content_type = "application/openmetrics-text"),
    (status = 401, description = "Unauthorized", body = RestError),
    (status = 403, description = "The credentials are those of one user, who is no administrator", body = RestError)))]
pub(super) async fn metrics(
    State(rest): State<Rest>,
    rights: Rights,
) -> Result<Response, RestError> {
    rights.everything()?;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let text = rest.telemetry.render();
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}

/// The user of `?id=`.
fn user(query: Option<&str>) -> Result<UserId, RestError> {
    let value = first_parameter(query.unwrap_or_default(), "id").filter(|value| !value.is_empty());
    let value = value.ok_or_else(|| RestError::bad_request("Id required"))?;
    UserId::from_query(value)
        .map_err(|error| RestError::bad_request(format!("Invalid id: {error}")))
}
