//! Listeners of HTTP alone.

use std::{convert::Infallible, time::Duration};

use http::{Request, Response};
use http_body_util::Full;
use tidewire::{
    http::{self as web, AnswerBudget, Http, RequestBody},
    net::Peer,
    service::{Config, RunningServer, Server, Workers},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tower::{service_fn, util::BoxCloneSyncService};

/// Long enough for anything that happens at all.
const HANG: Duration = Duration::from_secs(30);

type Service = BoxCloneSyncService<Request<RequestBody>, Response<Full<bytes::Bytes>>, Infallible>;

/// Tells path and client of each request; `/large` has 100 KB.
fn service() -> Service {
    BoxCloneSyncService::new(service_fn(|request: Request<RequestBody>| async move {
        let peer = request.extensions().get::<std::sync::Arc<Peer>>();
        let known = peer.is_some_and(|peer| peer.client_address().is_some());
        let body = match request.uri().path() {
            "/large" => "x".repeat(100_000),
            path => format!("{path} {known}"),
        };
        Ok(Response::new(Full::from(body)))
    }))
}

fn start(change: impl FnOnce(&mut Config, &mut web::Config)) -> RunningServer<Http<Service>> {
    let mut config = Config::new("127.0.0.1:0".parse().unwrap());
    config.workers = Workers::Pool;
    let mut http = web::Config::default();
    change(&mut config, &mut http);
    Server::new(config, Http::new(service(), http))
        .start()
        .unwrap()
}

/// Sends bytes and gives all that comes until the end.
async fn answer(running: &RunningServer<Http<Service>>, request: &str) -> String {
    let mut tcp = TcpStream::connect(running.local_addr()).await.unwrap();
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = timeout(HANG, tcp.read_to_string(&mut answer)).await;
    read.expect("the connection ends").unwrap();
    answer
}

fn get(path: &str, field: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n{field}\r\n")
}

#[tokio::test]
async fn requests_of_a_connection_go_to_the_service_one_after_the_other() {
    let running = start(|_config, _http| {});
    let requests = get("/one", "") + &get("/two", "Connection: close\r\n");
    let answers = answer(&running, &requests).await;
    assert_eq!(answers.matches(" true").count(), 2, "{answers}");
    assert!(answers.contains("/one true") && answers.ends_with("/two true"));
}

#[tokio::test]
async fn an_upgrade_is_a_request_like_any_other() {
    let running = start(|_config, _http| {});
    let fields = "Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let answer = answer(&running, &get("/chat", fields)).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("/chat true"), "{answer}");
}

#[tokio::test]
async fn a_head_that_is_too_large_or_malformed_is_refused() {
    let running = start(|_config, http| http.head.bytes_max = 1000);
    let large = format!("X: {}\r\n", "x".repeat(1000));
    let large = answer(&running, &get("/", &large)).await;
    assert!(large.starts_with("HTTP/1.1 431 "), "{large}");
    let malformed = answer(&running, "nonsense\r\n\r\n").await;
    assert!(malformed.starts_with("HTTP/1.1 400 "), "{malformed}");
}

#[tokio::test]
async fn one_client_more_than_there_are_places_for_gets_503() {
    let running = start(|config, _http| config.limits.connections_max = 0);
    let busy = answer(&running, "").await;
    assert!(busy.starts_with("HTTP/1.1 503 "), "{busy}");
}

#[tokio::test]
async fn an_answer_without_room_in_memory_is_a_503() {
    let running = start(|_config, http| {
        http.answers = AnswerBudget::new(50_000).refuse_with("text/x-own", "too many");
    });
    let answer = answer(&running, &get("/large", "Connection: close\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("text/x-own") && answer.ends_with("too many"));
}

#[tokio::test]
async fn a_drain_ends_idle_connections() {
    let running = start(|_config, _http| {});
    let mut tcp = TcpStream::connect(running.local_addr()).await.unwrap();
    tcp.write_all(get("/", "").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"true") {
        assert_ne!(tcp.read_buf(&mut answer).await.unwrap(), 0);
    }
    assert!(running.drain(HANG).await);
    let ended = timeout(HANG, tcp.read(&mut [0])).await.expect("an end");
    assert_eq!(ended.unwrap_or(0), 0);
}

#[path = "../../examples/axum_server/server.rs"]
mod axum_server;

#[tokio::test]
async fn an_axum_router_answers_beside_websockets_on_one_port() {
    let config = crate::server::config();
    let server = axum_server::server(config).start().unwrap();
    let address = server.local_addr();
    let client = tidewire::http::Client::default().base(&format!("http://{address}"));
    let client = client.unwrap();
    let hello = client.get("/hello/you").await.unwrap();
    assert_eq!(hello.body(), "hello you at 127.0.0.1\n");
    let shout = client.post("/shout", "quiet").await.unwrap();
    assert_eq!(shout.body(), "QUIET");
    assert_eq!(client.get("/").await.unwrap().status(), 404);
    assert_eq!(client.get("/shout").await.unwrap().status(), 405);
    let url = format!("ws://{address}/echo");
    let mut socket = tidewire::ws::connect(&url).await.unwrap();
    socket.send("same port").await.unwrap();
    let echo = socket.recv().await.unwrap();
    assert_eq!(echo, Some(tidewire::ws::Message::text("same port")));
    drop((socket, client));
    assert!(server.drain(Duration::from_secs(30)).await);
}
