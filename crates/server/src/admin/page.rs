//! The page: files inside the binary.
//!
//! In: GET requests. Out: the page and what it loads; all else it gets from the API as anybody does.

use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use rust_embed::RustEmbed;
use tidewire::http::{File, file_response};

use crate::rest::{Rest, RestError};

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../../web/server-admin/"]
struct Files;

/// The parts that the pages of server and gateway share.
#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../../web/components/"]
struct Components;

/// `/admin/` and the files. Addresses are relative, so that they hold behind a proxy that serves this under a path of its
/// own.
pub(super) fn router() -> Router<Rest> {
    let to = |place: &'static str| {
        move || async move { (StatusCode::SEE_OTHER, [(header::LOCATION, place)]) }
    };
    Router::new()
        .route("/", get(to("admin/")))
        .route("/admin", get(to("admin/")))
        .route("/admin/", get(index))
        .route("/admin/{file}", get(file))
}

async fn index(headers: HeaderMap) -> Response {
    answer("", &headers)
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    answer(&name, &headers)
}

fn answer(name: &str, headers: &HeaderMap) -> Response {
    let find = |name: &str| {
        let file = Files::get(name).or_else(|| Components::get(name))?;
        Some(File {
            hash: file.metadata.sha256_hash(),
            bytes: file.data,
        })
    };
    file_response(name, headers, find).map_or_else(
        || RestError::not_found().into_response(),
        IntoResponse::into_response,
    )
}
