//! The API's description, for programs.

use axum::Json;
use utoipa::OpenApi;

use super::{drain, endpoints, sessions, status};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tidewire gateway admin API",
        description = "How the gateway stands, and what the operator may change while it runs. Every call that changes something needs `Content-Type: application/json` or any field `X-Tidewire-Admin`."
    ),
    paths(
        status::status,
        status::reload,
        status::drain,
        status::health,
        endpoints::list,
        endpoints::restart,
        endpoints::disable,
        endpoints::enable,
        drain::endpoint,
        drain::upstream,
        sessions::list,
        sessions::close,
        status::metrics
    )
)]
struct Description;

/// The description.
pub(super) fn api() -> utoipa::openapi::OpenApi {
    Description::openapi()
}

/// `/openapi.json`.
pub(super) async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(api())
}
