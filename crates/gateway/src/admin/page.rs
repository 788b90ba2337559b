//! The page: files inside the binary.
//!
//! In: GET requests. Out: the page and what it loads; all else it gets from the API as anybody does.

use axum::{
    Router,
    http::{HeaderMap, Uri},
    response::{IntoResponse, Response},
    routing::get,
};
use rust_embed::RustEmbed;
use tidewire::http::{File, file_response};

use super::error::AdminError;

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../../web/admin/"]
struct Files;

/// The parts that the pages of server and gateway share.
#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../../web/components/"]
struct Components;

/// `/` and the files.
pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(file))
        .route("/{file}", get(file))
}

async fn file(uri: Uri, headers: HeaderMap) -> Response {
    let find = |name: &str| {
        let file = Files::get(name).or_else(|| Components::get(name))?;
        Some(File {
            hash: file.metadata.sha256_hash(),
            bytes: file.data,
        })
    };
    file_response(uri.path(), &headers, find).map_or_else(
        || AdminError::new(404, "there is nothing here").into_response(),
        IntoResponse::into_response,
    )
}
