//! The web chat: files inside the binary, who is online, and what a message may be.
//!
//! In: GET requests on the messaging listener. Out: the page and what it loads, under a content
//! security policy that lets it talk to its own server only.

use std::{borrow::Cow, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use rust_embed::RustEmbed;
use serde::Serialize;
use tidewire_hub::{Hub, UserId};

use crate::access::{Access, MapHeaders};

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
    access: Access,
    message_bytes_max: usize,
}

/// The bounds a page keeps to before it sends.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Limits {
    message_bytes_max: usize,
}

#[derive(Serialize)]
struct Online {
    data: Vec<UserId>,
    success: bool,
}

/// The routes of the messaging listener that are no WebSocket; a page hears that messages above `message_bytes_max` are
/// not taken.
pub(crate) fn router(
    hub: Arc<Hub>,
    access: Access,
    web_chat: bool,
    message_bytes_max: usize,
) -> Router {
    let web = Web {
        hub,
        access,
        message_bytes_max,
    };
    let mut router = Router::new();
    if web_chat {
        router = router
            .route("/", get(file))
            .route("/{file}", get(file))
            .route("/webchat/online", get(online))
            .route("/webchat/limits", get(limits));
    }
    router
        .layer(middleware::from_fn_with_state(web.clone(), guard))
        .with_state(web)
}

/// Origin, host and credentials before anything else.
async fn guard(State(web): State<Web>, request: Request, next: Next) -> Response {
    if let Err(refusal) = web.access.check_origin(request.headers()) {
        let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::FORBIDDEN);
        return (status, refusal.reason).into_response();
    }
    if web
        .access
        .auth
        .check(&MapHeaders(request.headers()))
        .is_err()
    {
        let mut response = (StatusCode::UNAUTHORIZED, "Unauthorized").into_response();
        if let Some(challenge) = web
            .access
            .auth
            .challenge()
            .and_then(|text| HeaderValue::from_str(text).ok())
        {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
        }
        return response;
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(CONTENT_SECURITY_POLICY),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    response
}

async fn online(State(web): State<Web>) -> impl IntoResponse {
    let body = Json(Online {
        data: web.hub.online_users(ONLINE_MAX),
        success: true,
    });
    (
        [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))],
        body,
    )
}

async fn limits(State(web): State<Web>) -> impl IntoResponse {
    let body = Json(Limits {
        message_bytes_max: web.message_bytes_max,
    });
    (
        [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))],
        body,
    )
}

async fn file(uri: Uri, headers: HeaderMap) -> Response {
    let name = match uri.path().trim_start_matches('/') {
        "" => "index.html",
        name => name,
    };
    let Some(file) = Files::get(name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let hash: String = file
        .metadata
        .sha256_hash()
        .iter()
        .take(8)
        .flat_map(|byte| hex(*byte))
        .collect();
    let etag = format!("\"{hash}\"");
    if headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|sent| sent.as_bytes() == etag.as_bytes())
    {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    // The browser asks again each time, and mostly hears 304: an upgrade shows at once.
    let fields = [
        (header::CONTENT_TYPE, content_type(name).to_owned()),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::ETAG, etag),
    ];
    // The bytes of the binary itself: an answer that nobody reads costs none.
    let bytes = match file.data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    (fields, bytes).into_response()
}

fn hex(byte: u8) -> [char; 2] {
    [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0'))
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}
