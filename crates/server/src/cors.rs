//! Pages of other origins call the HTTP interfaces: CORS, by the list that also says who may connect.
//!
//! In: requests whose origin was let in. Out: the header fields by which a browser lets the page have the answer, and
//! answers to its preflights (`OPTIONS`, without credentials). Invariants: no origin outside of `server.allowed_origins`
//! is named; with `["*"]` no credentials that the browser adds by itself are allowed.

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderName, HeaderValue, Method, header, request::Parts};
use tower_http::cors::{AllowCredentials, AllowHeaders, AllowOrigin, Any, CorsLayer};

use crate::config::AllowedOrigins;

/// Browsers ask again after two hours at the latest, some sooner.
const PREFLIGHT_KEPT: Duration = Duration::from_hours(2);

/// Fields that a page may read besides those that every page may.
const EXPOSED: [HeaderName; 2] = [header::RETRY_AFTER, header::WWW_AUTHENTICATE];

/// For the routes of a listener with these origins.
pub(crate) fn layer(allowed: &Arc<AllowedOrigins>) -> CorsLayer {
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(EXPOSED)
        .allow_private_network(true)
        .max_age(PREFLIGHT_KEPT);
    if **allowed == AllowedOrigins::Any {
        return layer.allow_origin(Any);
    }
    let allowed = Arc::clone(allowed);
    let is_allowed = move |origin: &HeaderValue, _: &Parts| {
        origin.to_str().is_ok_and(|origin| allowed.allows(origin))
    };
    layer
        .allow_origin(AllowOrigin::predicate(is_allowed.clone()))
        .allow_credentials(AllowCredentials::predicate(is_allowed))
}
