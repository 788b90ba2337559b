//! The API's description: `/openapi.json` and the Swagger UI, both inside the binary.

use axum::Router;
use utoipa::OpenApi;
use utoipa_swagger_ui::SwaggerUi;

use super::{
    Rest,
    error::RestError,
    handlers, purging,
    schema::{
        OnlineAnswer, Payload, PurgedAnswer, SentAnswer, StatAnswer, StatsAnswer, UnknownAnswer,
    },
    sending,
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
        sending::send_message,
        purging::delete_messages,
        handlers::status,
        handlers::health,
        handlers::metrics
    ),
    components(schemas(
        RestError,
        Payload,
        SentAnswer,
        UnknownAnswer,
        PurgedAnswer,
        StatsAnswer,
        StatAnswer,
        OnlineAnswer
    ))
)]
struct Description;

/// `/openapi.json` and `/swagger-ui`.
pub(super) fn router() -> Router<Rest> {
    Router::new().merge(SwaggerUi::new("/swagger-ui").url("/openapi.json", Description::openapi()))
}
