//! The web chat: files inside the binary, who is online, what a message may be, and tickets for the page's WebSocket.
//!
//! In: GET requests on the messaging listener. Out: the server's health; and the page and what it loads, under a content
//! security policy that lets it talk to its own server only.

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use rust_embed::RustEmbed;
use serde::Serialize;
use tidewire::http::{File, challenge, file_response, protect_page};
use tidewire_auth::{Denied, Identity};
use tidewire_engine::Mailbox;
use tidewire_hub::{Hub, UserId};
use tokio::sync::oneshot;

use crate::{
    access::{Access, peer_of},
    access_log::{self, Recorded},
    config::ServerConfig,
    cors,
    credentials::CANNOT_TELL,
    health,
    shaping::{NotIdentified, Shaping, TOO_MANY_LOGINS, retry_after},
    tickets::Tickets,
};

/// Users named by one answer at most.
const ONLINE_MAX: usize = 1000;

/// Everything from this server, nothing from elsewhere, no frame around the page.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; \
    object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../../web/chat/"]
struct Files;

#[derive(Clone)]
struct Web {
    hub: Arc<Hub>,
    mailbox: Arc<dyn Mailbox>,
    access: Access,
    tickets: Arc<Tickets>,
    shaping: Arc<Shaping>,
    /// Path of the messaging endpoint.
    endpoint: Arc<str>,
    message_bytes_max: usize,
}

/// The endpoint that a page connects to, and the bounds it keeps to before it sends.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Limits {
    /// Path of the messaging endpoint, below where the page lies.
    endpoint: Arc<str>,
    message_bytes_max: usize,
}

/// A ticket for one WebSocket; none where none is needed.
#[derive(Serialize)]
struct Ticket {
    ticket: Option<Arc<str>>,
}

#[derive(Serialize)]
struct Online {
    data: Vec<UserId>,
    success: bool,
}

/// The routes of the messaging listener that are no WebSocket.
pub(crate) fn router(
    hub: Arc<Hub>,
    mailbox: Arc<dyn Mailbox>,
    access: Access,
    tickets: Arc<Tickets>,
    shaping: Arc<Shaping>,
    config: &ServerConfig,
) -> Router {
    let web = Web {
        hub,
        mailbox,
        access,
        tickets,
        shaping,
        endpoint: config.endpoint.as_str().into(),
        message_bytes_max: config.limits.message_bytes_max,
    };
    let mut router = Router::new();
    if config.web_chat {
        router = router
            .route("/", get(file))
            .route("/{file}", get(file))
            .route("/webchat/online", get(online))
            .route("/webchat/limits", get(limits))
            .route("/webchat/ticket", post(ticket));
    }
    let guarded = router
        .fallback(nothing)
        .layer(middleware::from_fn_with_state(web.clone(), credentials))
        .with_state(web.clone());
    Router::new()
        .route(health::PATH, get(health))
        .fallback_service(guarded)
        .layer(cors::layer(&web.access.allowed_origins))
        .layer(middleware::from_fn_with_state(web.clone(), origin))
        .layer(middleware::from_fn_with_state(
            Recorded {
                listener: "messaging",
                access: web.access.clone(),
                shaping: Arc::clone(&web.shaping),
            },
            access_log::record,
        ))
        .with_state(web)
}

/// Origin and host before anything else, but for balancers that ask for the server's health, by whichever name.
async fn origin(State(web): State<Web>, request: Request, next: Next) -> Response {
    if health::is_probe(&request) {
        return next.run(request).await;
    }
    if let Err(refusal) = web
        .access
        .check_origin(request.headers(), &peer_of(&request))
    {
        web.shaping
            .reasons
            .refused_with(refusal.status, &peer_of(&request).client_address());
        let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::FORBIDDEN);
        return (status, [(header::VARY, "origin")], refusal.reason).into_response();
    }
    next.run(request).await
}

/// Then credentials, for all but balancers that ask for the server's health.
async fn credentials(State(web): State<Web>, mut request: Request, next: Next) -> Response {
    let checked = web.shaping.check_request(&web.access, &request).await;
    let identity = match checked {
        Ok(identity) => identity,
        Err(NotIdentified::Wait(wait)) => {
            let fields = [(header::RETRY_AFTER, retry_after(wait).to_string())];
            return (StatusCode::TOO_MANY_REQUESTS, fields, TOO_MANY_LOGINS).into_response();
        }
        Err(NotIdentified::Denied(Denied::Unavailable)) => {
            return (StatusCode::SERVICE_UNAVAILABLE, CANNOT_TELL).into_response();
        }
        Err(NotIdentified::Denied(_)) => {
            let response = (StatusCode::UNAUTHORIZED, "Unauthorized").into_response();
            return challenge(response, web.access.auth.challenge());
        }
    };
    request.extensions_mut().insert(identity);
    let mut response = next.run(request).await;
    protect_page(response.headers_mut(), CONTENT_SECURITY_POLICY);
    response
}

async fn health(State(web): State<Web>) -> Response {
    health::health(web.mailbox.as_ref())
}

/// Who looks here with a browser most often wants the WebSocket.
async fn nothing(State(web): State<Web>) -> Response {
    let text = format!(
        "there is nothing here; the WebSocket is at {}\n",
        web.endpoint
    );
    (StatusCode::NOT_FOUND, text).into_response()
}

async fn online(State(web): State<Web>) -> Response {
    let (send, receive) = oneshot::channel();
    // Who does not wait any more does not get the answer.
    let done = Box::new(|answer| drop(send.send(answer)));
    web.hub.online_users(ONLINE_MAX, done);
    let Ok(Ok(data)) = receive.await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let body = Json(Online {
        data,
        success: true,
    });
    (
        [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))],
        body,
    )
        .into_response()
}

async fn limits(State(web): State<Web>) -> impl IntoResponse {
    let body = Json(Limits {
        endpoint: Arc::clone(&web.endpoint),
        message_bytes_max: web.message_bytes_max,
    });
    (
        [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))],
        body,
    )
}

/// Whoever may load the page may open a WebSocket, also in a browser that sends no credentials with it.
async fn ticket(State(web): State<Web>, Extension(identity): Extension<Arc<Identity>>) -> Response {
    let ticket = if web.access.auth.is_open() {
        None
    } else {
        match web.tickets.issue(identity) {
            Ok(ticket) => Some(ticket),
            Err(error) => {
                tracing::error!(%error, "no ticket: the system gives no random bytes");
                return StatusCode::SERVICE_UNAVAILABLE.into_response();
            }
        }
    };
    let fields = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (fields, Json(Ticket { ticket })).into_response()
}

async fn file(State(web): State<Web>, uri: Uri, headers: HeaderMap) -> Response {
    let find = |name: &str| {
        let file = Files::get(name)?;
        Some(File {
            hash: file.metadata.sha256_hash(),
            bytes: file.data,
        })
    };
    match file_response(uri.path(), &headers, find) {
        Some(response) => response.into_response(),
        None => nothing(State(web)).await,
    }
}
