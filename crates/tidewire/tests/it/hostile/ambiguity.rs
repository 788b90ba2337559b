//! Requests that others may read differently, offers nobody asked for, and what is printed.

use tidewire::{
    proto::Config,
    ws::{RunningServer, Server},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::server::{config, echo};

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

fn start() -> RunningServer {
    Server::new(config()).route("/", echo).start().unwrap()
}

async fn raw(server: &RunningServer, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// The answer's status line, and then the end of the connection.
async fn refusal(server: &RunningServer, request: &str) -> String {
    let mut answer = String::new();
    let mut stream = raw(server, request.as_bytes()).await;
    stream.read_to_string(&mut answer).await.unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn nothing_is_compressed_unless_asked_for() {
    assert!(Config::default().deflate.is_none());
    let server = start();
    let offer = UPGRADE.replace(
        "\r\n\r\n",
        "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
    );
    let mut stream = raw(&server, offer.as_bytes()).await;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap().to_lowercase();
    assert!(
        answer.starts_with("http/1.1 101") && !answer.contains("extensions"),
        "{answer}"
    );
}

#[tokio::test]
async fn requests_that_others_may_read_differently_are_refused() {
    let server = start();
    let with = |field: &str| UPGRADE.replacen("\r\n", &format!("\r\n{field}\r\n"), 1);
    for request in [
        with("Content-Length: 5"),
        with("Content-Length: 0\r\nContent-Length: 5"),
        with("Content-Length: +0"),
        with("Transfer-Encoding: chunked"),
        with("Transfer-Encoding: identity"),
        with("Host: other"),
        with("X : y"),
        with(" X: y"),
        with("X: y\r\n folded"),
        with("X: y\nZ: bare line feed"),
        with("X: y\rZ: bare carriage return"),
        with("X: \0"),
        with("\u{7f}: y"),
        with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
        with("Sec-WebSocket-Version: 13"),
        UPGRADE.replacen("GET / ", "GET  / ", 1),
        UPGRADE.replacen("GET / HTTP/1.1", "GET / HTTP/1.1 ", 1),
        UPGRADE.replacen("GET /", "GET /a b", 1),
        UPGRADE.replacen("HTTP/1.1", "HTTP/1.0", 1),
        UPGRADE.replacen("HTTP/1.1", "HTTP/2.0", 1),
        UPGRADE.replacen("GET", "G\u{e9}T", 1),
    ] {
        let status = refusal(&server, &request).await;
        let code: u16 = status
            .get(9..12)
            .and_then(|code| code.parse().ok())
            .unwrap_or(0);
        assert!((400..500).contains(&code), "{status}: {request:?}");
    }
    // What the C++ toolkit's client sends is no ambiguity.
    let mut stream = raw(&server, with("Content-Length: 0").as_bytes()).await;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
}

#[test]
fn a_client_is_printed_without_its_secrets() {
    let client = tidewire::ws::Client::new("ws://example.org/?token=hidden")
        .unwrap()
        .header("Authorization", "Bearer hidden");
    let printed = format!("{client:?}");
    assert!(
        printed.contains("Authorization") && !printed.contains("hidden"),
        "{printed}"
    );
}
