//! What is connected, and the end of one of it.

use std::sync::atomic::Ordering;

use axum::{
    Json,
    body::Bytes,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
use tidewire::ws::{CloseCode, CloseFrame};
use utoipa::ToSchema;

use super::{error::AdminError, state::Shared, status::Begun};
use crate::record::Record;

/// Sessions of an answer, unless asked otherwise.
const LIMIT_DEFAULT: usize = 100;
/// Most sessions of an answer.
const LIMIT_MAX: usize = 1000;

/// Which sessions are wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    limit: Option<usize>,
    endpoint: Option<String>,
    before: Option<u64>,
}

/// Sessions, the newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionList {
    /// How many there are in all, of the endpoint if one was named.
    total: usize,
    sessions: Vec<SessionView>,
}

/// A client's connection, or a logical socket in it.
#[derive(Serialize, ToSchema)]
struct SessionView {
    /// Never given to another one.
    id: u64,
    /// The connection, for a logical socket.
    parent: Option<u64>,
    /// None for a connection that carries logical sockets.
    endpoint: Option<String>,
    #[schema(example = "pinned")]
    dialect: &'static str,
    /// The client's address.
    client: Option<String>,
    /// Which upstream serves it.
    upstream: Option<String>,
    /// Method and path, without the query.
    request: Option<String>,
    /// When it was opened (RFC 3339).
    since: String,
    /// Seconds since then.
    age_seconds: u64,
    /// From the client.
    bytes_in: u64,
    /// To the client.
    bytes_out: u64,
}

/// How a session is closed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CloseRequest {
    /// Close code, default 1001.
    #[schema(example = 1001)]
    code: Option<u16>,
    /// At most 123 bytes.
    #[schema(example = "closed by the operator")]
    reason: Option<String>,
}

impl SessionView {
    fn of(record: &Record) -> Self {
        Self {
            id: record.id,
            parent: record.parent,
            endpoint: record.endpoint.as_deref().map(str::to_owned),
            dialect: record.dialect.name(),
            client: record.client.shown(),
            upstream: record.upstream().as_deref().map(str::to_owned),
            request: record.request.as_deref().map(str::to_owned),
            since: jiff::Timestamp::try_from(record.since)
                .map_or_else(|_out_of_range| String::new(), |time| time.to_string()),
            age_seconds: record.opened.elapsed().as_secs(),
            bytes_in: record.bytes_in.load(Ordering::Relaxed),
            bytes_out: record.bytes_out.load(Ordering::Relaxed),
        }
    }
}

impl CloseRequest {
    /// A body is not needed.
    fn read(body: &[u8]) -> Result<CloseFrame, AdminError> {
        let wish: Self = if body.is_empty() {
            Self::default()
        } else {
            serde_json::from_slice(body).map_err(|error| AdminError::new(400, error.to_string()))?
        };
        let code = wish.code.map_or(CloseCode::GOING_AWAY, CloseCode);
        if !code.is_valid_on_wire() {
            return Err(AdminError::new(
                400,
                format!("{} is no close code that may be sent", code.0),
            ));
        }
        let reason = wish.reason.as_deref().unwrap_or("closed by the operator");
        if reason.len() > CloseFrame::REASON_BYTES_MAX {
            return Err(AdminError::new(400, "a reason has at most 123 bytes"));
        }
        Ok(CloseFrame::new(code, reason))
    }
}

/// What is connected, the newest first.
#[utoipa::path(get, path = "/api/v1/sessions", tag = "sessions", params(
    ("limit" = Option<usize>, Query, description = "At most so many, the newest; 1 to 1 000, default 100"),
    ("endpoint" = Option<String>, Query, description = "Only of this endpoint, by name or alias"),
    ("before" = Option<u64>, Query, description = "Only those opened before the one with this id: the next page")), responses(
    (status = 200, description = "Sessions", body = SessionList),
    (status = 400, description = "Invalid query", body = AdminError),
    (status = 401, description = "Valid credentials are needed", body = AdminError),
    (status = 404, description = "No such endpoint", body = AdminError)))]
pub(super) async fn list(
    State(state): State<Shared>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<SessionList>, AdminError> {
    let Query(wanted) = wanted?;
    let limit = wanted.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(AdminError::new(400, "limit is 1 to 1000"));
    }
    let mut all = state.gateway.sessions.all();
    if let Some(name) = &wanted.endpoint {
        let name = state.endpoint_name(name)?;
        all.retain(|record| record.endpoint.as_deref() == Some(&name));
    }
    let newest = all.iter().rev();
    let page = newest.filter(|record| wanted.before.is_none_or(|before| record.id < before));
    Ok(Json(SessionList {
        sessions: page
            .take(limit)
            .map(|record| SessionView::of(record))
            .collect(),
        total: all.len(),
    }))
}

/// Ends one session.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/close", tag = "sessions",
    params(("id" = u64, Path, description = "The session")), request_body = CloseRequest, responses(
    (status = 202, description = "It is told to end", body = Begun),
    (status = 400, description = "Invalid code or reason", body = AdminError),
    (status = 401, description = "Valid credentials are needed", body = AdminError),
    (status = 404, description = "No such session", body = AdminError)))]
pub(super) async fn close(
    State(state): State<Shared>,
    id: Result<Path<u64>, PathRejection>,
    body: Bytes,
) -> Result<(StatusCode, Json<Begun>), AdminError> {
    let Path(id) = id?;
    let frame = CloseRequest::read(&body)?;
    let record = state.gateway.sessions.find(id);
    let record = record.ok_or_else(|| AdminError::new(404, "there is no such session"))?;
    tracing::info!(session = id, code = frame.code.0, "closed by the operator");
    record.end(frame.code, &frame.reason);
    Ok(Begun::of("close"))
}
