//! The REST API, its description and the counters.
//!
//! In: HTTP requests. Out: JSON with alphabetical keys. Invariants: credentials are checked
//! before anything else (`/`, `/health`, `/openapi.json` and the Swagger UI, which tell nothing of
//! users, excepted); 202 is answered only after a stored message is on disk.

mod schema; // what goes in and out, for the description
mod error; // the error body
mod media_type; // what a body may be
mod ids; // how answers write ids
mod rights; // what a caller may do
mod handlers; // one function per endpoint
mod idempotency; // requests that are repeated
mod sending; // sending a message
mod events; // how the events out do, and their dead letters
mod purging; // removing what waits
mod parameters; // queries of requests that change something
mod sessions; // who is connected, and their end
mod blocks; // users who may not connect
mod trace; // what has become of a message
mod mailboxes; // how much waits for whom
mod overview; // how the server stands
mod configuration; // the keys it runs by
mod stats_body; // statistics of all users, in pages
mod description; // OpenAPI, Swagger UI
mod index; // where to find what

#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get, head, post},
};
use tidewire::http::{BodyLimits, challenge};
use tidewire_auth::{AuthConfig, Denied};
use tidewire_engine::Mailbox;
use tidewire_hub::Hub;
use tidewire_notify::Targets;

pub(crate) use self::{
    configuration::ConfigData, error::RestError, idempotency::Idempotency, rights::Rights,
};
use crate::{
    access::{Access, peer_of},
    access_log::{self, Recorded},
    cors,
    credentials::CANNOT_TELL,
    health,
    shaping::{NotIdentified, Shaping, TOO_MANY_LOGINS, retry_after},
    telemetry::{Listeners, Telemetry},
};

/// What the handlers need.
#[derive(Clone)]
pub(crate) struct Rest {
    pub(crate) hub: Arc<Hub>,
    pub(crate) mailbox: Arc<dyn Mailbox>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) targets: Targets,
    pub(crate) access: Access,
    /// Bounds of a request's body.
    pub(crate) body: BodyLimits,
    /// How long a sent message may take to be stored.
    pub(crate) answer_timeout: Duration,
    pub(crate) idempotency: Arc<Idempotency>,
    pub(crate) shaping: Arc<Shaping>,
    /// Users who may be blocked at a time.
    pub(crate) blocked_users_max: usize,
    pub(crate) about: Arc<About>,
}

/// The server as it describes itself.
pub(crate) struct About {
    pub(crate) started: Instant,
    pub(crate) listeners: Listeners,
    pub(crate) config: Arc<ConfigData>,
}

/// All routes of the REST listener; its description tells how `auth` asks for credentials.
pub(crate) fn router(rest: Rest, auth: &AuthConfig) -> Router {
    let guarded = operator_routes()
        // It has deadlines of its own: a request whose message is on its way is not cut.
        .route("/send-message", post(sending::send_message))
        .layer(middleware::from_fn_with_state(rest.clone(), credentials));
    let open = Router::new()
        .route("/", get(index::index))
        .merge(health_route())
        .merge(description::router(auth))
        .layer(middleware::from_fn(in_time));
    guarded
        .merge(open)
        .fallback(|| async { RestError::not_found() })
        .method_not_allowed_fallback(|| async { RestError::method_not_allowed() })
        .layer(cors::layer(&rest.access.allowed_origins))
        .layer(middleware::from_fn_with_state(
            rest.clone(),
            origin_and_server,
        ))
        .layer(middleware::from_fn_with_state(
            Recorded::of("rest", &rest),
            access_log::record,
        ))
        .with_state(rest)
}

/// All that needs credentials, but for sending messages.
pub(crate) fn operator_routes() -> Router<Rest> {
    Router::new()
        .route("/stats", get(handlers::stats))
        .route("/stat", get(handlers::stat))
        .route("/check-online", get(handlers::check_online))
        .route("/messages", delete(purging::delete_messages))
        .route(
            "/sessions",
            get(sessions::sessions).delete(sessions::disconnect),
        )
        .route(
            "/blocks",
            get(blocks::blocks).post(blocks::block).delete(blocks::lift),
        )
        .route("/v1/events", get(events::events))
        .route(
            "/v1/events/dead-letters",
            get(events::list).delete(events::forget),
        )
        .route("/v1/trace", get(trace::of_user))
        .route("/v1/trace/{id}", get(trace::of_message))
        .route("/v1/mailboxes", get(mailboxes::mailboxes))
        .route("/v1/mailboxes/messages", get(mailboxes::messages))
        .route("/v1/status", get(overview::status))
        .route("/v1/config", get(configuration::config))
        .route("/status", head(handlers::status).get(handlers::status))
        .route("/metrics", get(handlers::metrics))
        .layer(middleware::from_fn(in_time))
        // Each delivery has a deadline, but there may be many.
        .route("/v1/events/dead-letters/replay", post(events::replay))
}

/// Needs no credentials.
pub(crate) fn health_route() -> Router<Rest> {
    Router::new().route(health::PATH, get(handlers::health))
}

async fn credentials(State(rest): State<Rest>, request: Request, next: Next) -> Response {
    match identified(&rest, request).await {
        Ok(request) => next.run(request).await,
        Err(refusal) => *refusal,
    }
}

/// Notes in a request what its caller may do.
///
/// # Errors
/// The answer to one without valid credentials.
pub(crate) async fn identified(
    rest: &Rest,
    mut request: Request,
) -> Result<Request, Box<Response>> {
    let checked = rest.shaping.check_request(&rest.access, &request).await;
    let refusal = match checked {
        Ok(identity) => {
            request.extensions_mut().insert(Rights::of(identity));
            return Ok(request);
        }
        Err(NotIdentified::Wait(wait)) => {
            RestError::too_many(TOO_MANY_LOGINS, retry_after(wait)).into_response()
        }
        Err(NotIdentified::Denied(Denied::Unavailable)) => {
            RestError::new(503, CANNOT_TELL).into_response()
        }
        Err(NotIdentified::Denied(_)) => {
            let response = RestError::unauthorized().into_response();
            challenge(response, rest.access.auth.challenge())
        }
    };
    Err(Box::new(refusal))
}

const TOO_MANY_REQUESTS: &str = "too many requests, try again later";

/// A request without a body must be answered within.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

async fn in_time(request: Request, next: Next) -> Response {
    tokio::time::timeout(ANSWER_WITHIN, next.run(request))
        .await
        .unwrap_or_else(|_elapsed| RestError::too_slow().into_response())
}

async fn origin_and_server(State(rest): State<Rest>, request: Request, next: Next) -> Response {
    let checked = if health::is_probe(&request) {
        // Balancers ask by whichever name.
        Ok(())
    } else {
        let headers = request.headers();
        rest.access.check_origin(headers, &peer_of(&request))
    };
    let counted = match &checked {
        Ok(()) if !health::is_probe(&request) => rest.shaping.count_request(&rest.access, &request),
        _ => Ok(()),
    };
    if let Err(refusal) = &checked {
        let client = rest.access.client(request.headers(), &peer_of(&request));
        rest.shaping.reasons.refused_with(refusal.status, &client);
    }
    let mut response = match checked {
        Ok(()) => match counted {
            Ok(()) => next.run(request).await,
            Err(seconds) => RestError::too_many(TOO_MANY_REQUESTS, seconds).into_response(),
        },
        Err(refusal) => {
            let refusal = RestError::new(refusal.status, refusal.reason);
            ([(header::VARY, "origin")], refusal).into_response()
        }
    };
    response
        .headers_mut()
        .insert(header::SERVER, HeaderValue::from_static("Tidewire"));
    response
}
