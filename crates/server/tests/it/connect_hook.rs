//! A backend that decides who may connect.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use parking_lot::Mutex;
use ring::hmac;
use serde_json::{Value, json};

use crate::desk::{Desk, envelope, text};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "another secret of enough bytes";

/// A backend, and the requests that it has got.
pub(crate) struct Backend {
    running: tidewire::service::RunningServer<tidewire::http::Http<Router>>,
    pub(crate) seen: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
}

#[derive(Clone)]
struct Shared {
    seen: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    answer: fn(&Value) -> Response,
}

impl Backend {
    pub(crate) fn start(answer: fn(&Value) -> Response) -> Self {
        let seen = Arc::default();
        let shared = Shared {
            seen: Arc::clone(&seen),
            answer,
        };
        let router = Router::new()
            .route("/connect", post(asked))
            .with_state(shared);
        let server = tidewire::http::Http::new(router, tidewire::http::Config::default());
        let config = tidewire::service::Config::new("127.0.0.1:0".parse().unwrap());
        let running = tidewire::service::Server::new(config, server)
            .start()
            .unwrap();
        Self { running, seen }
    }

    pub(crate) fn desk(&self, further: &str) -> Desk {
        let dir = tempfile::tempdir().unwrap();
        let [first, second] = [("first", SECRET), ("second", OTHER)].map(|(name, secret)| {
            let path = dir.path().join(name);
            std::fs::write(&path, secret).unwrap();
            format!("\"${{file:{}}}\"", path.display())
        });
        Desk::start_in(
            dir,
            &format!(
                "{further}\n[server.connect_hook]\nbackend_url = \"http://{}/connect\"\nsecrets = [{first}, {second}]\n\
                 headers = [\"x-app\"]\nquery = [\"room\"]\n",
                self.running.local_addr()
            ),
        )
    }
}

async fn asked(State(shared): State<Shared>, head: HeaderMap, body: Bytes) -> Response {
    let question = serde_json::from_slice(&body).unwrap();
    shared.seen.lock().push((head, body));
    (shared.answer)(&question)
}

fn by_id(question: &Value) -> Response {
    let answer = match question["id"].as_str() {
        Some("7") => json!({"allow": true, "attributes": {"tier": "gold"}}),
        Some("8") => json!({"allow": true, "user": "9"}),
        Some("10") => json!({"allow": false, "code": 4123, "reason": "no seat"}),
        Some("11") => return StatusCode::FORBIDDEN.into_response(),
        _ => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    Json(answer).into_response()
}

async fn closed(desk: &Desk, id: &str) -> (u16, String) {
    let mut socket = desk.user(id).await;
    while let Ok(Some(_)) = socket.recv().await {}
    let close = socket.close_frame().expect("a close frame");
    (close.code.0, close.reason.as_str().to_owned())
}

#[tokio::test]
async fn the_backend_decides_and_its_words_reach_the_client() {
    let backend = Backend::start(by_id);
    let desk = backend.desk("");
    let mut seven = desk.user("7").await;
    seven.send(envelope("7", "7", "let in")).await.unwrap();
    assert!(text(&mut seven).await.contains("let in"));
    assert_eq!(closed(&desk, "10").await, (4123, "no seat".to_owned()));
    assert_eq!(closed(&desk, "11").await, (4403, "Forbidden".to_owned()));
    // It says that the client is somebody else.
    assert_eq!(closed(&desk, "8").await.0, 4050);
    let (code, reason) = closed(&desk, "12").await;
    assert_eq!(code, 1013);
    assert!(reason.contains("try again in"), "{reason}");
}

#[tokio::test]
async fn the_backend_hears_what_the_configuration_names_signed_and_nothing_else() {
    let backend = Backend::start(by_id);
    let auth = "[server.auth]\ntype = \"bearer\"\nvalue = \"canary-token-1\"\nquery = \"token\"\n";
    let desk = backend.desk(auth);
    let query = "7&room=a%20b&room=c&token=canary-token-1&secret=canary-2";
    let client = desk.client(query).header("X-App", "3.1");
    let client = client.header("Cookie", "sid=canary-3");
    let mut seven = client.connect().await.unwrap();
    seven.send(envelope("7", "7", "in")).await.unwrap();
    assert!(text(&mut seven).await.contains("in"));
    // Of strangers the backend hears nothing.
    assert_eq!(closed(&desk, "7").await.0, 4050);
    let seen = std::mem::take(&mut *backend.seen.lock());
    let [(head, body)] = &seen[..] else {
        panic!("expected one request, got {}", seen.len());
    };
    let question: Value = serde_json::from_slice(body).unwrap();
    let expected = json!({
        "version": 1, "event": "connect", "user": null, "id": "7", "address": "127.0.0.1",
        "secure": false, "path": "/chat", "headers": {"x-app": ["3.1"]},
        "query": {"room": ["a b", "c"]},
    });
    assert_eq!(question, expected);
    let everything = format!("{head:?} {}", String::from_utf8_lossy(body));
    assert!(!everything.contains("canary"), "{everything}");
    let field = |name: &str| head[name].to_str().unwrap();
    let signed = [
        field("webhook-id").as_bytes(),
        b".",
        field("webhook-timestamp").as_bytes(),
        b".",
        body,
    ]
    .concat();
    let signatures = [SECRET, OTHER].map(|secret| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        format!("v1,{}", STANDARD.encode(hmac::sign(&key, &signed)))
    });
    assert_eq!(field("webhook-signature"), signatures.join(" "));
}

#[tokio::test]
async fn without_an_answer_the_operators_choice_counts() {
    let backend = Backend::start(|_| {
        let to = [("location", "http://127.0.0.1/elsewhere")];
        (StatusCode::TEMPORARY_REDIRECT, to).into_response()
    });
    let desk = backend.desk("");
    for _ in 0..20 {
        assert_eq!(closed(&desk, "7").await.0, 1013);
    }
    let asked = backend.seen.lock().len();
    assert!(asked < 20, "a backend that fails is left alone: {asked}");
    let garbled = Backend::start(|_| "{\"allow\":\"yes\"}".into_response());
    let desk = garbled.desk("");
    assert_eq!(closed(&desk, "7").await.0, 1013);
}

#[tokio::test]
async fn a_hook_that_is_down_may_let_everybody_in() {
    // Nobody listens there.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    std::fs::write(&path, SECRET).unwrap();
    let toml = format!(
        "[server.connect_hook]\nbackend_url = \"http://127.0.0.1:1/\"\nsecrets = [\"${{file:{}}}\"]\nif_unavailable = \"accept\"\n",
        path.display()
    );
    let desk = Desk::start_in(dir, &toml);
    for _ in 0..8 {
        let mut seven = desk.user("7").await;
        seven.send(envelope("7", "7", "in")).await.unwrap();
        assert!(text(&mut seven).await.contains("in"));
        seven
            .close(tidewire::ws::CloseCode::NORMAL, "")
            .await
            .unwrap();
    }
}
