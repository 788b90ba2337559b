//! The admin listener: page, API and metrics for the operator.
//!
//! In: HTTP requests on an address of its own. Out: how the gateway stands, as JSON, metrics or a page, and what
//! the operator wants done. Invariants: nothing but `/health` and the page's own files is told without
//! credentials where some are demanded; nothing is changed by a request that a foreign page could have made;
//! no payload, query or header of a client is ever shown.

mod owner; // who owns the gateway
mod access; // who may come in
mod page; // the page's files
mod state; // what the handlers need
mod status; // the gateway as a whole
mod endpoints; // endpoints and their upstreams
mod drain; // end the sessions of one of them
mod sessions; // what is connected
mod metrics; // counters for Prometheus
mod error; // the error body
mod description; // OpenAPI

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{MethodRouter, get, post},
};
use tidewire::{
    http::{self, Http},
    service::{Config, RunningServer, Server, Workers},
};
use tokio::time::Instant;

pub use self::owner::{NobodyOwns, Outcome, Owner};
use self::{
    access::Access,
    error::AdminError,
    metrics::Metrics,
    state::{AdminState, Shared},
};
use crate::{ambient::activated_or, error::StartError, gateway::Gateway, settings};

/// Largest request body: a close reason fits many times.
const BODY_BYTES_MAX: usize = 16 << 10;

/// Most connections to the admin listener: a few operators, a few scrapers. Few enough for the descriptors that the
/// limits of clients and backends leave.
const CONNECTIONS_MAX: usize = 64;

/// Of these, such that have shown no credentials. One more ends the one that has asked for nothing for longest.
const GUESTS_MAX: usize = 48;

/// How long a connection may be idle.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A request must be complete and answered within; a reload reads files meanwhile.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The admin listener at work.
pub(crate) type AdminServer = RunningServer<Http<Router>>;

/// Begins to serve the admin listener; on `sockets` that are bound already, if
/// there are such.
///
/// # Errors
/// [`StartError`]: the address is reachable from elsewhere and asks for no credentials, or cannot be
/// bound.
pub(crate) fn start(
    settings: &settings::Admin,
    gateway: Arc<Gateway>,
    owner: Arc<dyn Owner>,
    sockets: Option<Vec<tidewire::net::Listener>>,
) -> Result<AdminServer, StartError> {
    let access =
        Access::new(settings).ok_or_else(|| StartError::AdminOpen(settings.address.clone()))?;
    let write_timeout = gateway.table().settings.limits.write_timeout;
    let state = Arc::new(AdminState {
        metrics: Metrics::new(&gateway, &owner),
        gateway,
        owner,
        started: Instant::now(),
        draining: Mutex::default(),
    });
    let port = Arc::clone(&access.port);
    let mut config = Config::new(settings.address.clone());
    config.unix.clone_from(&settings.unix);
    config.workers = Workers::Pool;
    config.trusted_proxies = settings.proxies.clone();
    config.limits.connections_max = CONNECTIONS_MAX;
    config.limits.guests_max = GUESTS_MAX;
    let mut http = http::Config::default();
    http.idle_timeout = IDLE_TIMEOUT;
    http.answer_timeout = write_timeout;
    let server = Server::new(config, Http::new(router(state, access), http));
    let sockets = match sockets {
        Some(sockets) => sockets,
        None => activated_or(&settings.address, || server.bind())?,
    };
    let server = server.start_on(sockets)?;
    port.get_or_init(|| server.address().socket_addr().map(|address| address.port()));
    Ok(server)
}

/// All that needs credentials, by path.
fn routes() -> Vec<(&'static str, MethodRouter<Shared>)> {
    vec![
        ("/api/v1/status", get(status::status)),
        ("/api/v1/reload", post(status::reload)),
        ("/api/v1/drain", post(status::drain)),
        ("/api/v1/endpoints", get(endpoints::list)),
        ("/api/v1/endpoints/{name}/drain", post(drain::endpoint)),
        ("/api/v1/endpoints/{name}/restart", post(endpoints::restart)),
        (
            "/api/v1/endpoints/{name}/upstreams/{id}/drain",
            post(drain::upstream),
        ),
        (
            "/api/v1/endpoints/{name}/upstreams/{id}/disable",
            post(endpoints::disable),
        ),
        (
            "/api/v1/endpoints/{name}/upstreams/{id}/enable",
            post(endpoints::enable),
        ),
        ("/api/v1/sessions", get(sessions::list)),
        ("/api/v1/sessions/{id}/close", post(sessions::close)),
        ("/metrics", get(status::metrics)),
        ("/openapi.json", get(description::openapi)),
    ]
}

fn router(state: Shared, access: Access) -> Router {
    let guarded = routes()
        .into_iter()
        .fold(Router::new(), |router, (path, handler)| {
            router.route(path, handler)
        })
        .layer(middleware::from_fn_with_state(
            access.clone(),
            access::credentials,
        ));
    let page = page::router().layer(middleware::from_fn_with_state(
        access.clone(),
        access::page_credentials,
    ));
    guarded
        .merge(page)
        .route(access::HEALTH, get(status::health))
        .fallback(|| async { AdminError::new(404, "there is nothing here") })
        .method_not_allowed_fallback(|| async { AdminError::new(405, "not by this method") })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(in_time))
        .layer(middleware::from_fn_with_state(access, access::origin))
        .with_state(state)
}

/// Ends a request whose body drips in.
async fn in_time(request: Request, next: Next) -> Response {
    tokio::time::timeout(ANSWER_TIMEOUT, next.run(request))
        .await
        .unwrap_or_else(|_elapsed| AdminError::new(408, "this took too long").into_response())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_description_lists_every_route_and_no_other() {
        let described = serde_json::to_value(description::api()).unwrap();
        let described: BTreeSet<_> = described["paths"].as_object().unwrap().keys().collect();
        let health = "/health".to_owned();
        let served: Vec<_> = routes()
            .into_iter()
            .map(|(path, _)| path.to_owned())
            .collect();
        // The description need not describe itself.
        let served = served.iter().filter(|path| *path != "/openapi.json");
        let served: BTreeSet<_> = served.chain([&health]).collect();
        assert_eq!(described, served);
    }
}
