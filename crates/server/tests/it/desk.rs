//! A server on free ports with a store of its own, users on it, and HTTP calls.

use std::path::Path;

use tempfile::TempDir;
use tidewire::ws::{Client, Message, WebSocket};
use tidewire_server::{
    Running,
    config::{Overrides, load},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

pub(crate) struct Desk {
    pub(crate) running: Running,
    pub(crate) dir: TempDir,
}

impl Desk {
    pub(crate) fn start(toml: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), toml)
    }

    /// Starts on the store of an earlier one.
    pub(crate) fn start_in(dir: TempDir, toml: &str) -> Self {
        let file = dir.path().join("tidewire.toml");
        std::fs::write(&file, toml).unwrap();
        let overrides = Overrides {
            listen: Some("127.0.0.1:0".into()),
            rest_listen: Some("127.0.0.1:0".into()),
            admin_listen: None,
            data_dir: Some(dir.path().join("data").display().to_string()),
            echo: None,
            log_level: None,
        };
        let settings = load(Some(Path::new(&file)), std::iter::empty(), &overrides).unwrap();
        Self {
            running: tidewire_server::start(&settings).unwrap(),
            dir,
        }
    }

    pub(crate) fn url(&self, label: &str) -> String {
        self.running
            .urls()
            .iter()
            .find(|(known, _)| *known == label)
            .unwrap()
            .1
            .clone()
    }

    pub(crate) fn client(&self, id: &str) -> Client {
        Client::new(&format!("{}?id={id}", self.url("messaging"))).unwrap()
    }

    pub(crate) async fn user(&self, id: &str) -> WebSocket {
        self.client(id).connect().await.unwrap()
    }

    /// A user whose session has begun, which it has not when the handshake is answered: from here on he gets what nobody
    /// keeps for him, and is counted.
    pub(crate) async fn user_online(&self, id: &str) -> WebSocket {
        let socket = self.user(id).await;
        self.until_online(id, true).await;
        socket
    }

    /// Waits until the user has a session, or until he has none any more.
    pub(crate) async fn until_online(&self, id: &str, expected: bool) {
        let path = format!("/check-online?id={id}");
        let expected = format!("\"isOnline\":{expected}");
        while !self.call("GET", &path, "", "").await.2.contains(&expected) {
            tokio::task::yield_now().await;
        }
    }

    /// Calls the REST API; `head` are further header lines. Gives status, head and body.
    /// Asks for the metrics until they contain `line`.
    pub(crate) async fn until_metrics_have(&self, line: &str) {
        while !self.call("GET", "/metrics", "", "").await.2.contains(line) {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        head: &str,
        body: &str,
    ) -> (u16, String, String) {
        let address = self.url("rest").replace("http://", "");
        http(address.trim_end_matches('/'), method, path, head, body).await
    }

    /// Sends over REST and expects that it is accepted.
    pub(crate) async fn post(&self, to: u64, text: &str) {
        let body = format!(r#"{{"type":"text","sender":0,"recipients":[{to}],"text":"{text}"}}"#);
        let (status, _, answer) = self
            .call(
                "POST",
                "/send-message",
                "Content-Type: application/json\r\n",
                &body,
            )
            .await;
        assert_eq!(status, 202, "{answer}");
        assert!(answer.contains("\"refused\":[]"), "{answer}");
    }
}

pub(crate) async fn http(
    address: &str,
    method: &str,
    path: &str,
    head: &str,
    body: &str,
) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n{head}\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (
        head.split(' ').nth(1).unwrap().parse().unwrap(),
        head.to_owned(),
        body.to_owned(),
    )
}

/// An upgraded connection by hand, for clients that misbehave.
pub(crate) async fn raw(desk: &Desk, id: u64) -> TcpStream {
    raw_with(desk, id, "").await
}

/// The same with further header lines.
pub(crate) async fn raw_with(desk: &Desk, id: u64, head: &str) -> TcpStream {
    raw_query(desk, &format!("?id={id}"), head).await
}

/// The same with a query of its own, `?` included.
pub(crate) async fn raw_query(desk: &Desk, query: &str, head: &str) -> TcpStream {
    let url = desk.url("messaging");
    let address = url.trim_start_matches("ws://").split('/').next().unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /chat{query} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{head}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"));
    stream
}

pub(crate) async fn text(socket: &mut WebSocket) -> String {
    match socket.recv().await.unwrap() {
        Some(Message::Text(text)) => text.to_string(),
        other => panic!(
            "expected a text message, got {other:?}, {:?}",
            socket.close_frame()
        ),
    }
}

pub(crate) fn envelope(from: &str, to: &str, text: &str) -> String {
    format!(r#"{{"type":"text","sender":{from},"recipients":[{to}],"text":"{text}"}}"#)
}
