//! Endpoints and their upstreams: how they stand, and switching upstreams off.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    error::AdminError,
    state::{AdminState, Shared},
    status::Begun,
};
use crate::{
    ambient::now,
    process::state::ProcessState,
    routing::target::{Counters, Target},
    upstream::{BreakerState, HealthStatus, UpstreamId, UpstreamSnapshot},
};

/// All endpoints.
#[derive(Serialize, ToSchema)]
pub(super) struct EndpointList {
    /// In the order of the configuration.
    endpoints: Vec<EndpointView>,
}

/// An endpoint.
#[derive(Serialize, ToSchema)]
struct EndpointView {
    name: String,
    aliases: Vec<String>,
    /// Connections that hold a place now.
    connections: usize,
    /// Most connections at a time; none: no limit.
    connections_max: Option<usize>,
    /// Sessions, logical ones too, by dialect.
    #[schema(example = json!({"pinned": 3, "mux": 2}))]
    sessions: BTreeMap<&'static str, usize>,
    /// Its sessions are being ended at the operator's wish.
    draining: bool,
    /// The gateway reads the messages of its pinned connections; otherwise it relays their bytes, and counts those alone.
    reads_messages: bool,
    counters: CountersView,
    /// Every upstream in use is unhealthy; health is left aside.
    panicking: bool,
    upstreams: Vec<UpstreamView>,
    /// The process that the gateway runs for it.
    process: Option<ProcessState>,
}

/// What went through an endpoint since the gateway started.
#[derive(Serialize, ToSchema)]
struct CountersView {
    /// Sockets opened, logical ones too.
    opened: u64,
    /// Openings that were refused or failed.
    refused: u64,
    /// From clients, where the gateway reads messages.
    messages_in: u64,
    /// To clients, where the gateway reads messages.
    messages_out: u64,
    /// From clients.
    bytes_in: u64,
    /// To clients.
    bytes_out: u64,
    /// Backends lost behind a living client.
    lost: u64,
    /// Of these, found again.
    resumed: u64,
    /// Messages refused or dropped for want of room.
    overflowed: u64,
}

/// An upstream of an endpoint.
#[derive(Serialize, ToSchema)]
struct UpstreamView {
    /// For the calls that change it.
    id: u64,
    /// Address without query.
    address: String,
    zone: Option<String>,
    weight: u32,
    /// Most connections at a time; none: no limit.
    connections_max: Option<usize>,
    /// Connections being opened, open, and closing.
    active: usize,
    /// Gets new connections, as far as its health allows.
    enabled: bool,
    /// No longer in the configuration, gone with its last connection.
    removed: bool,
    #[schema(example = "healthy")]
    health: &'static str,
    /// Seconds for which it stands like that.
    health_seconds: Option<u64>,
    /// Why its last check failed.
    health_error: Option<String>,
    /// `closed`: openings go through; `suspected`: so they do, while the gateway asks whether it answers; `open`: it is
    /// ejected; `half_open`: one at a time goes through.
    #[schema(example = "closed")]
    breaker: &'static str,
    /// Openings that failed in a row.
    failures: u32,
    /// Milliseconds until a trial goes through, while ejected.
    ejected_for_ms: Option<u64>,
    totals: TotalsView,
}

/// Counters of an upstream since it was added.
#[derive(Serialize, ToSchema)]
struct TotalsView {
    picked: u64,
    /// Openings that succeeded.
    opened: u64,
    /// Openings that failed.
    failed: u64,
    /// Established connections that broke.
    lost: u64,
    ejected: u64,
    checks_failed: u64,
}

/// An upstream was switched.
#[derive(Serialize, ToSchema)]
pub(super) struct Switched {
    /// Whether it gets new connections.
    enabled: bool,
}

impl AdminState {
    /// The endpoint with this name or alias.
    pub(super) fn target(&self, name: &str) -> Result<Arc<Target>, AdminError> {
        let table = self.gateway.table();
        table
            .by_name(name)
            .cloned()
            .ok_or_else(AdminError::no_endpoint)
    }

    /// The name of the endpoint with this name or alias, as sessions bear it.
    pub(super) fn endpoint_name(&self, name: &str) -> Result<String, AdminError> {
        Ok(self.target(name)?.endpoint().name.clone())
    }
}

impl EndpointView {
    fn of(state: &AdminState, target: &Target, sessions: BTreeMap<&'static str, usize>) -> Self {
        let endpoint = target.endpoint();
        let pool = target.pool.snapshot();
        let now = now();
        Self {
            connections: target.connections.count(),
            connections_max: bound(endpoint.connections_max),
            sessions,
            draining: state.is_draining(&endpoint.name),
            reads_messages: endpoint.reads_messages(),
            counters: CountersView::of(&target.counters),
            panicking: pool.panicking,
            upstreams: pool
                .upstreams
                .into_iter()
                .map(|upstream| UpstreamView::of(upstream, now))
                .collect(),
            process: state.owner.process(&endpoint.name),
            aliases: endpoint.aliases.clone(),
            name: endpoint.name.clone(),
        }
    }
}

impl CountersView {
    fn of(counters: &Counters) -> Self {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Self {
            opened: read(&counters.opened),
            refused: read(&counters.refused),
            messages_in: read(&counters.messages_in),
            messages_out: read(&counters.messages_out),
            bytes_in: read(&counters.bytes_in),
            bytes_out: read(&counters.bytes_out),
            lost: read(&counters.lost),
            resumed: read(&counters.resumed),
            overflowed: read(&counters.overflowed),
        }
    }
}

impl UpstreamView {
    fn of(upstream: UpstreamSnapshot, now: Instant) -> Self {
        let (breaker, failures, ejected_for) = match upstream.breaker {
            BreakerState::Closed { failures } => ("closed", failures, None),
            BreakerState::Suspected => ("suspected", 0, None),
            BreakerState::Open { until } => ("open", 0, Some(until.saturating_duration_since(now))),
            BreakerState::HalfOpen { .. } => ("half_open", 0, None),
        };
        let since = upstream.health_since;
        Self {
            id: upstream.id.number(),
            address: upstream.address,
            zone: upstream.zone,
            weight: upstream.weight,
            connections_max: bound(upstream.connections_max),
            active: upstream.active,
            enabled: !upstream.disabled,
            removed: upstream.removed,
            health: match upstream.health {
                HealthStatus::Unknown => "unknown",
                HealthStatus::Healthy => "healthy",
                HealthStatus::Unhealthy => "unhealthy",
            },
            health_seconds: since.map(|since| now.saturating_duration_since(since).as_secs()),
            health_error: upstream.health_error,
            breaker,
            failures,
            ejected_for_ms: ejected_for
                .map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
            totals: TotalsView {
                picked: upstream.totals.picked,
                opened: upstream.totals.opened,
                failed: upstream.totals.failed,
                lost: upstream.totals.lost,
                ejected: upstream.totals.ejected,
                checks_failed: upstream.totals.checks_failed,
            },
        }
    }
}

/// `usize::MAX` is no limit.
fn bound(count: usize) -> Option<usize> {
    (count != usize::MAX).then_some(count)
}

/// All endpoints, with their upstreams and counters.
#[utoipa::path(get, path = "/api/v1/endpoints", tag = "endpoints", responses(
    (status = 200, description = "All endpoints", body = EndpointList),
    (status = 401, description = "Valid credentials are needed", body = AdminError)))]
pub(super) async fn list(State(state): State<Shared>) -> Json<EndpointList> {
    let mut sessions: BTreeMap<Arc<str>, BTreeMap<&'static str, usize>> = BTreeMap::new();
    for ((endpoint, dialect), count) in state.gateway.sessions.census() {
        if let Some(endpoint) = endpoint {
            sessions
                .entry(endpoint)
                .or_default()
                .insert(dialect.name(), count);
        }
    }
    let table = state.gateway.table();
    let view = |target: &Arc<Target>| {
        let sessions = sessions.remove(target.endpoint().name.as_str());
        EndpointView::of(&state, target, sessions.unwrap_or_default())
    };
    Json(EndpointList {
        endpoints: table.targets().iter().map(view).collect(),
    })
}

/// Restarts the process of an endpoint.
#[utoipa::path(post, path = "/api/v1/endpoints/{name}/restart", tag = "endpoints",
    params(("name" = String, Path, description = "Name or alias")), responses(
    (status = 202, description = "Begun", body = Begun),
    (status = 401, description = "Valid credentials are needed", body = AdminError),
    (status = 404, description = "No such endpoint", body = AdminError),
    (status = 409, description = "The gateway runs no process for it", body = AdminError)))]
pub(super) async fn restart(
    State(state): State<Shared>,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<Begun>), AdminError> {
    let name = state.endpoint_name(&name)?;
    if !state.owner.restart(&name) {
        let error = "the gateway runs no process for this endpoint";
        return Err(AdminError::new(409, error));
    }
    tracing::info!(endpoint = name, "the operator restarts the process");
    Ok(Begun::of("restart"))
}

/// Gives an upstream no new connections; those it has stay.
#[utoipa::path(post, path = "/api/v1/endpoints/{name}/upstreams/{id}/disable", tag = "upstreams",
    params(("name" = String, Path, description = "Name or alias"), ("id" = u64, Path, description = "The upstream")), responses(
    (status = 200, description = "Done", body = Switched),
    (status = 401, description = "Valid credentials are needed", body = AdminError),
    (status = 404, description = "No such endpoint or upstream", body = AdminError)))]
pub(super) async fn disable(
    State(state): State<Shared>,
    path: Result<Path<(String, u64)>, PathRejection>,
) -> Result<Json<Switched>, AdminError> {
    enable_or_disable(&state, path, false)
}

/// Lets an upstream have new connections again.
#[utoipa::path(post, path = "/api/v1/endpoints/{name}/upstreams/{id}/enable", tag = "upstreams",
    params(("name" = String, Path, description = "Name or alias"), ("id" = u64, Path, description = "The upstream")), responses(
    (status = 200, description = "Done", body = Switched),
    (status = 401, description = "Valid credentials are needed", body = AdminError),
    (status = 404, description = "No such endpoint or upstream", body = AdminError)))]
pub(super) async fn enable(
    State(state): State<Shared>,
    path: Result<Path<(String, u64)>, PathRejection>,
) -> Result<Json<Switched>, AdminError> {
    enable_or_disable(&state, path, true)
}

fn enable_or_disable(
    state: &AdminState,
    path: Result<Path<(String, u64)>, PathRejection>,
    enabled: bool,
) -> Result<Json<Switched>, AdminError> {
    let Path((name, id)) = path?;
    let target = state.target(&name)?;
    let (id, upstream) = find(&target, id)?;
    if !target.pool.enable(id, enabled) {
        return Err(AdminError::no_upstream());
    }
    tracing::info!(endpoint = name, upstream, enabled, "told by the operator");
    Ok(Json(Switched { enabled }))
}

/// An upstream of the endpoint: its name in the pool, and the one sessions bear.
pub(super) fn find(target: &Target, id: u64) -> Result<(UpstreamId, String), AdminError> {
    let pool = target.pool.snapshot();
    let mut upstreams = pool.upstreams.into_iter();
    let found = upstreams.find(|upstream| upstream.id.number() == id);
    let found = found.ok_or_else(AdminError::no_upstream)?;
    Ok((found.id, found.host))
}
