//! The router, and the server that it is mounted on.

use axum::{
    Router,
    extract::{Extension, Path},
    http::StatusCode,
    routing::{get, post},
};
use std::sync::Arc;
use tidewire::{
    http as web,
    net::Peer,
    ws::{Server, ServerConfig, WebSocket},
};

/// As for any other server of axum. Who asks is an extension of the request.
fn router() -> Router {
    Router::new()
        .route("/hello/{name}", get(hello))
        .route("/shout", post(async |text: String| text.to_uppercase()))
        .fallback((StatusCode::NOT_FOUND, "there is /hello/{name}\n"))
}

async fn hello(Path(name): Path<String>, Extension(peer): Extension<Arc<Peer>>) -> String {
    let address = peer.address.map(|it| it.ip().to_string());
    format!("hello {name} at {}\n", address.unwrap_or_default())
}

/// Without WebSockets, `service::Server::new(config, http::Http::new(router(), web))` is all.
pub(crate) fn server(config: ServerConfig) -> Server {
    Server::new(config)
        .route("/echo", echo)
        .fallback(web::fallback(router(), web::Config::default()))
}

async fn echo(mut socket: WebSocket) {
    while let Ok(Some(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            break;
        }
    }
}
