//! Ends the sessions of one endpoint or upstream at the drain's pace, while all others stay.

use std::{collections::BTreeSet, sync::Arc};

use parking_lot::MutexGuard;

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    endpoints,
    error::AdminError,
    state::{AdminState, Shared},
};
use crate::record::{
    Record,
    pace::{self, Pace},
};

/// What the clients are told.
const REASON: &str = "drained by the operator";

/// A drain has begun.
#[derive(Serialize, ToSchema)]
pub(super) struct Draining {
    /// How many sessions are told to end.
    ending: usize,
    /// So many per second.
    per_second: u32,
}

impl AdminState {
    /// Returns whether the sessions of this endpoint are being ended.
    pub(super) fn is_draining(&self, endpoint: &str) -> bool {
        self.drains().contains(endpoint)
    }

    fn drains(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.draining.lock()
    }
}

/// Ends the sessions that an endpoint has now with 1012, at the drain's pace.
#[utoipa::path(post, path = "/api/v1/endpoints/{name}/drain", tag = "endpoints",
    params(("name" = String, Path, description = "Name or alias")), responses(
    (status = 202, description = "Begun", body = Draining),
    (status = 401, description = "Valid credentials are needed", body = AdminError),
    (status = 404, description = "No such endpoint", body = AdminError),
    (status = 409, description = "A drain is under way", body = AdminError)))]
pub(super) async fn endpoint(
    State(state): State<Shared>,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<Draining>), AdminError> {
    let name = state.endpoint_name(&name)?;
    let mut records = state.gateway.sessions.all();
    records.retain(|record| record.endpoint.as_deref() == Some(&name));
    begin(&state, name, records)
}

/// Ends the sessions that an upstream serves now with 1012, at the drain's pace. Disable it first if they shall
/// not come back to it.
#[utoipa::path(post, path = "/api/v1/endpoints/{name}/upstreams/{id}/drain", tag = "upstreams",
    params(("name" = String, Path, description = "Name or alias"), ("id" = u64, Path, description = "The upstream")), responses(
    (status = 202, description = "Begun", body = Draining),
    (status = 401, description = "Valid credentials are needed", body = AdminError),
    (status = 404, description = "No such endpoint or upstream", body = AdminError),
    (status = 409, description = "A drain is under way", body = AdminError)))]
pub(super) async fn upstream(
    State(state): State<Shared>,
    path: Result<Path<(String, u64)>, PathRejection>,
) -> Result<(StatusCode, Json<Draining>), AdminError> {
    let Path((name, id)) = path?;
    let target = state.target(&name)?;
    let name = target.endpoint().name.clone();
    let (_id, host) = endpoints::find(&target, id)?;
    let mut records = state.gateway.sessions.all();
    records.retain(|record| {
        record.endpoint.as_deref() == Some(&name) && record.upstream().as_deref() == Some(&host)
    });
    // A name has no line feed, so this is no endpoint's.
    begin(&state, format!("{name}\n{id}"), records)
}

fn begin(
    state: &Shared,
    what: String,
    records: Vec<Arc<Record>>,
) -> Result<(StatusCode, Json<Draining>), AdminError> {
    if !state.drains().insert(what.clone()) {
        return Err(AdminError::new(409, "this is being drained already"));
    }
    let guard = Underway {
        state: Arc::clone(state),
        what,
    };
    let per_second = state.gateway.table().settings.drain.per_second;
    let ending = records.len();
    tracing::info!(what = %guard.what.escape_debug(), ending, per_second, "drained by the operator");
    // Bounded: one task per endpoint or upstream, which lasts as long as the drain.
    drop(tokio::spawn(async move {
        let mut pace = Pace::new(per_second, None);
        pace::end_each(&records, ending, &mut pace, REASON).await;
        drop(guard);
    }));
    Ok((StatusCode::ACCEPTED, Json(Draining { ending, per_second })))
}

/// Under way until dropped, whatever becomes of the task.
struct Underway {
    state: Shared,
    what: String,
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.state.drains().remove(&self.what);
    }
}
