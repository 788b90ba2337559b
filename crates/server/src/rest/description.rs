//! The API's description: `/openapi.json` and the Swagger UI, both inside the binary.

use axum::Router;
use utoipa::OpenApi;
use utoipa_swagger_ui::SwaggerUi;

use super::{
    Rest,
    error::RestError,
    handlers,
    schema::{OnlineAnswer, Payload, StatAnswer, StatsAnswer},
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tidewire REST API",
        description = "Send messages to users, see who is online, read statistics. Ids are unsigned 64-bit numbers or strings."
    ),
    paths(
        handlers::stats,
        handlers::stat,
        handlers::check_online,
        handlers::send_message,
        handlers::status,
        handlers::health,
        handlers::metrics
    ),
    components(schemas(RestError, Payload, StatsAnswer, StatAnswer, OnlineAnswer))
)]
struct Description;

/// `/openapi.json` and `/swagger-ui`.
pub(super) fn router() -> Router<Rest> {
    Router::new().merge(SwaggerUi::new("/swagger-ui").url("/openapi.json", Description::openapi()))
}
