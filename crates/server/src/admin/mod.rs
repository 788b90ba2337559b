//! The admin listener: the operator's page, and the part of the REST API that it uses.
//!
//! In: HTTP requests on an address of its own. Out: how the server stands, and what the operator wants done. Invariants:
//! nothing but `/health` and the page's own files is told without credentials where some are demanded; nothing is
//! changed by a request that a foreign page could have made; nobody who is bound to a user, and is no administrator, does
//! or learns anything here.

mod page; // the page's files

use std::time::Duration;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use tidewire::{
    http::{self, Http, protect_page},
    net::ConnectionCounts,
    service::{self, Workers},
};

use crate::{
    access::{Fields as _, peer_of},
    access_log::{self, Recorded},
    config::{AllowedOrigins, ListenerSettings, Settings},
    error::StartError,
    health,
    lifecycle::{RestServer, access},
    listening::{activated_or, started},
    rest::{self, Rest, RestError, Rights},
    served::Served,
};

/// A field that pages of other origins cannot send without being allowed to, which they never are.
const OWN_HEADER: &str = "x-tidewire-admin";

/// Everything from this server, nothing from elsewhere, no frame around the page.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; object-src 'none'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

/// Most connections to the admin listener: a few operators.
const CONNECTIONS_MAX: usize = 64;

/// Of these, such that have shown no credentials. One more ends the one that has asked for nothing for longest.
const GUESTS_MAX: usize = 48;

/// How long a connection may be idle.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Begins to serve the admin page; the text is its URL.
pub(crate) fn start(
    admin: &ListenerSettings,
    settings: &Settings,
    options: http::Config,
    served: Served,
    counts: &ConnectionCounts,
) -> Result<(RestServer, String), StartError> {
    let scheme = if admin.tls.is_some() { "https" } else { "http" };
    let server = server(admin, settings, options, served).count_with(counts);
    let sockets = activated_or("admin", &admin.listen, || server.bind())?;
    let server = started("admin", server.start_on(sockets))?;
    admin.bound_to(server.address());
    let url = server.address().url(scheme, "/admin/");
    Ok((server, url))
}

/// The listener by these settings.
pub(crate) fn server(
    listening: &ListenerSettings,
    settings: &Settings,
    mut options: http::Config,
    served: Served,
) -> service::Server<Http<Router>> {
    options.keep_alive = true;
    options.idle_timeout = IDLE_TIMEOUT;
    let mut listener = service::Config::new(listening.listen.clone());
    listener.unix.clone_from(&listening.unix);
    listener.workers = Workers::Pool;
    listener.tls.clone_from(&listening.tls);
    listener
        .trusted_proxies
        .clone_from(&listening.trusted_proxies);
    listener.limits.connections_max = CONNECTIONS_MAX;
    listener.limits.guests_max = GUESTS_MAX;
    listener.limits.handshake_timeout = settings.config.server.limits.handshake_timeout;
    let access = access(listening, AllowedOrigins::Only(Vec::new()));
    let state = served.state(settings, access);
    service::Server::new(listener, Http::new(router(state), options))
}

fn router(rest: Rest) -> Router {
    let guarded = rest::operator_routes()
        .layer(middleware::from_fn(operators_only))
        .layer(middleware::from_fn_with_state(
            rest.clone(),
            known_credentials,
        ));
    let page = page::router().layer(middleware::from_fn_with_state(
        rest.clone(),
        page_credentials,
    ));
    guarded
        .merge(page)
        .merge(rest::health_route())
        .fallback(|| async { RestError::not_found() })
        .method_not_allowed_fallback(|| async { RestError::method_not_allowed() })
        .layer(middleware::from_fn_with_state(rest.clone(), origin))
        .layer(middleware::from_fn_with_state(
            Recorded::of("admin", &rest),
            access_log::record,
        ))
        .with_state(rest)
}

/// Host, origin and kind of request, before anything else.
async fn origin(State(rest): State<Rest>, request: Request, next: Next) -> Response {
    let peer = peer_of(&request);
    peer.touch();
    let checked = if health::is_probe(&request) {
        // Balancers ask by any name or address.
        Ok(())
    } else {
        let refused = rest.access.check_origin(request.headers(), &peer);
        let refused = refused.map_err(|refusal| {
            let client = rest.access.client(request.headers(), &peer);
            rest.shaping.reasons.refused_with(refusal.status, &client);
            let reason = if refusal.status == 421 {
                NOT_LOOPBACK
            } else {
                FOREIGN
            };
            RestError::new(refusal.status, reason)
        });
        refused.and_then(|()| check_change(request.method(), request.headers()))
    };
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    protect_page(response.headers_mut(), CONTENT_SECURITY_POLICY);
    let kept = response.headers_mut().entry(header::CACHE_CONTROL);
    kept.or_insert(HeaderValue::from_static("no-store"));
    response
}

const NOT_LOOPBACK: &str = "without authentication only localhost may be asked for; see admin.auth, and behind a proxy \
    admin.trusted_proxies";
const FOREIGN: &str = "this origin may not call; behind a proxy see admin.trusted_proxies";

/// A change is of a kind that a browser lets foreign pages send only after asking us, which we never allow.
fn check_change(method: &Method, headers: &HeaderMap) -> Result<(), RestError> {
    if method == Method::GET || method == Method::HEAD {
        return Ok(());
    }
    let json = headers.single("content-type").is_some_and(|kind| {
        let essence = kind.split(|byte| *byte == b';').next().unwrap_or_default();
        essence
            .trim_ascii()
            .eq_ignore_ascii_case(b"application/json")
    });
    if json || headers.contains_key(OWN_HEADER) {
        return Ok(());
    }
    Err(RestError::new(
        403,
        "a change needs Content-Type: application/json or the field X-Tidewire-Admin",
    ))
}

/// Credentials of everything but the page.
async fn known_credentials(State(rest): State<Rest>, request: Request, next: Next) -> Response {
    let peer = peer_of(&request);
    let is_closed = !rest.access.auth.is_open();
    match rest::identified(&rest, request).await {
        Ok(request) => {
            if is_closed {
                peer.trust();
            }
            next.run(request).await
        }
        Err(refusal) => *refusal,
    }
}

/// Credentials of the page's files, where a browser can ask for them. Elsewhere the page must come first, so that it can
/// ask.
async fn page_credentials(State(rest): State<Rest>, request: Request, next: Next) -> Response {
    if rest.access.auth.challenge().is_some() {
        return known_credentials(State(rest), request, next).await;
    }
    next.run(request).await
}

/// Whoever is bound to a user, and is no administrator, has no business here.
async fn operators_only(rights: Rights, request: Request, next: Next) -> Response {
    match rights.everything() {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}
