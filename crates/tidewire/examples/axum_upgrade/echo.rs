//! The router: an ordinary page, and a route that becomes a WebSocket of Tidewire.

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, Response, StatusCode},
    routing::{any, get},
};
use hyper_util::rt::TokioIo;
use tidewire::ws::Acceptor;

pub(crate) fn router() -> Router {
    Router::new()
        .route("/", get(|| async { "a page of axum" }))
        .route("/echo", any(echo))
}

async fn echo(mut request: Request) -> Response<Body> {
    let fields = request.headers().iter();
    let fields = fields.map(|(name, value)| (name.as_str(), value.as_bytes()));
    let target = request.uri().to_string();
    let acceptor = Acceptor::new().subprotocol("echo");
    let accepted = match acceptor.answer(request.method().as_str(), &target, fields) {
        Ok(accepted) => accepted,
        Err(refusal) => return answer(refusal.status, refusal.reason),
    };

    let mut response = answer(101, Body::empty());
    for (name, value) in accepted.fields() {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            response.headers_mut().append(name, value);
        }
    }
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        // The connection, once hyper has sent the answer.
        let Ok(upgraded) = upgrade.await else { return };
        let mut socket = accepted.open(TokioIo::new(upgraded));
        while let Ok(Some(message)) = socket.recv().await {
            if socket.send(message).await.is_err() {
                break;
            }
        }
    });
    response
}

fn answer(status: u16, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}
