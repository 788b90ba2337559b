//! The gateway as a whole: how it stands, reload, stop.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use tidewire::{memory::MemoryStats, net::Address};
use utoipa::ToSchema;

use super::{error::AdminError, state::Shared};
use crate::{record::Dialect, settings};

/// How the gateway stands.
#[derive(Serialize, ToSchema)]
pub(super) struct Status {
    /// Of the program.
    version: &'static str,
    /// Seconds since the gateway started.
    uptime_seconds: u64,
    /// Where clients connect.
    listeners: Vec<Listening>,
    /// How many endpoints there are.
    endpoints: usize,
    /// What is connected.
    sessions: SessionCounts,
    /// The memory that clients make the gateway hold.
    memory: Memory,
    /// Lines of the access log that found no room.
    access_log_dropped: u64,
}

/// Memory that clients make the gateway hold: messages that have not ended, queues, what is not read.
#[derive(Serialize, ToSchema)]
struct Memory {
    /// Bytes held now.
    bytes: usize,
    /// Bytes that may be held.
    bytes_max: usize,
    /// Connections that were closed because they held most for longest, and others needed memory.
    evicted: u64,
    /// Times a connection got no more memory, and ended.
    refused: u64,
}

impl From<MemoryStats> for Memory {
    fn from(stats: MemoryStats) -> Self {
        Self {
            bytes: stats.bytes_used,
            bytes_max: stats.bytes_max,
            evicted: stats.evicted,
            refused: stats.refused,
        }
    }
}

/// Sessions by dialect: connections of clients, and the logical sockets in them.
#[derive(Default, Serialize, ToSchema)]
struct SessionCounts {
    /// All.
    total: usize,
    /// Plain clients.
    pinned: usize,
    /// `SMHandshake`.
    classic: usize,
    /// `tidewire.mux.v1`.
    mux: usize,
}

/// An address where clients connect.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Listening {
    /// With the port that was picked.
    #[schema(example = "0.0.0.0:8090")]
    address: String,
    /// Speaks TLS.
    tls: bool,
    /// Speaks HTTP/2 too.
    http2: bool,
}

/// What came of a reload.
#[derive(Serialize, ToSchema)]
pub(super) struct Reloaded {
    /// What is worth telling, such as warnings.
    message: String,
}

/// Something was begun.
#[derive(Serialize, ToSchema)]
pub(super) struct Begun {
    /// What.
    begun: &'static str,
}

impl Begun {
    pub(super) fn of(what: &'static str) -> (StatusCode, Json<Self>) {
        (StatusCode::ACCEPTED, Json(Self { begun: what }))
    }
}

/// Alive.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    #[schema(example = "ok")]
    status: &'static str,
}

impl Listening {
    pub(super) fn new(listener: &settings::Listener, address: &Address) -> Self {
        Self {
            address: address.to_string(),
            tls: listener.tls.is_some(),
            http2: listener.http2,
        }
    }
}

/// How the gateway stands.
#[utoipa::path(get, path = "/api/v1/status", tag = "gateway", responses(
    (status = 200, description = "How the gateway stands", body = Status),
    (status = 401, description = "Valid credentials are needed", body = AdminError)))]
pub(super) async fn status(State(state): State<Shared>) -> Json<Status> {
    let mut sessions = SessionCounts::default();
    for ((_endpoint, dialect), count) in state.gateway.sessions.census() {
        sessions.total += count;
        match dialect {
            Dialect::Pinned => sessions.pinned += count,
            Dialect::Classic => sessions.classic += count,
            Dialect::Mux => sessions.mux += count,
        }
    }
    let listening = state.gateway.listening();
    Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: state.started.elapsed().as_secs(),
        listeners: listening
            .iter()
            .map(|(listener, address)| Listening::new(listener, address))
            .collect(),
        endpoints: state.gateway.table().targets().len(),
        sessions,
        memory: state.gateway.memory.stats().into(),
        access_log_dropped: state.gateway.sessions.log().dropped(),
    })
}

/// Reads the configuration again; open connections stay.
#[utoipa::path(post, path = "/api/v1/reload", tag = "gateway", responses(
    (status = 200, description = "The new configuration holds", body = Reloaded),
    (status = 401, description = "Valid credentials are needed", body = AdminError),
    (status = 422, description = "The configuration is wrong; the old one stays", body = AdminError)))]
pub(super) async fn reload(State(state): State<Shared>) -> Result<Json<Reloaded>, AdminError> {
    match state.owner.reload().await {
        Ok(message) => Ok(Json(Reloaded { message })),
        Err(error) => Err(AdminError::new(422, error)),
    }
}

/// Stops the gateway: accepts nothing more, ends all sessions at the drain's pace.
#[utoipa::path(post, path = "/api/v1/drain", tag = "gateway", responses(
    (status = 202, description = "Begun", body = Begun),
    (status = 401, description = "Valid credentials are needed", body = AdminError)))]
pub(super) async fn drain(State(state): State<Shared>) -> (StatusCode, Json<Begun>) {
    tracing::info!("the admin API asks for a stop");
    state.owner.stop();
    Begun::of("drain")
}

/// Counters for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "gateway", responses(
    (status = 200, description = "OpenMetrics text", body = String, content_type = "application/openmetrics-text"),
    (status = 401, description = "Valid credentials are needed", body = AdminError)))]
pub(super) async fn metrics(State(state): State<Shared>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], state.metrics.render()).into_response()
}

/// Whether the gateway is alive; needs no credentials and tells no more.
#[utoipa::path(get, path = "/health", tag = "gateway", responses(
    (status = 200, description = "Alive", body = Health)))]
pub(super) async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}
