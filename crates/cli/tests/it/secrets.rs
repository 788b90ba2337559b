//! A canary in every slot of the configuration and of requests, looked for in everything that the program says.

use std::fs;

use tempfile::tempdir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    program::{end, tidewire},
    server::Home,
};

const CANARY: &str = "canary7261";

/// Every kind, with a canary wherever something secret may stand.
fn auth(table: &str) -> String {
    format!(
        r#"
[{table}.auth]
type = "oneOf"
types = [
    {{ type = "basic", user = "u", password = "{CANARY}" }},
    {{ type = "bearer", value = "{CANARY}", query = "access_token" }},
    {{ type = "header", name = "X-Key", value = "{CANARY}" }},
    {{ type = "cookie", name = "c", value = "{CANARY}" }},
    {{ type = "jwt", algorithms = ["HS256"], secret = "{CANARY}{CANARY}{CANARY}{CANARY}", cookie = "j", query = "token", first_message = true }},
    {{ type = "remote", source = {{ type = "header", name = "X-Asked" }}, url = "http://127.0.0.1:1/{CANARY}?k={{0}}", headers = [{{ Authorization = "Bearer {CANARY}" }}], data = {{ k = "{CANARY}", c = "{{0}}" }} }},
]
"#
    )
}

async fn answer(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address)
        .await
        .expect("the server listens");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    // A WebSocket's end, or that of the answer.
    stream.read_to_end(&mut answer).await.expect("read");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn no_secret_shows_in_logs_metrics_answers_and_errors() {
    let log = "access_log = \"access.log\"\n[log]\nlevel = \"trace\"\n[server]\nallowed_origins = [\"https://a.example\"]\n";
    let home = Home::new(&format!("{log}{}{}", auth("server"), auth("rest")));
    let server = home.start().await;
    let messaging = server.url("messaging").trim_start_matches("ws://");
    let messaging = messaging.split('/').next().expect("an address").to_owned();
    let rest = server.url("rest").trim_start_matches("http://");
    let rest = rest.trim_end_matches('/').to_owned();
    let mut said = String::new();
    let wrong = format!("wrong{CANARY}");
    let basic = "Authorization: Basic dTpjYW5hcnk3MjYx\r\n"; // u and the canary
    let fields = [
        format!("Authorization: Bearer {CANARY}\r\n"),
        format!("Authorization: Bearer {wrong}\r\n"),
        format!("Authorization: Bearer {wrong}.{wrong}.{wrong}\r\n"),
        format!("Cookie: c={CANARY}; j={wrong}; c={wrong}\r\n"),
        format!("X-Key: {wrong}\r\nX-Asked: {wrong}\r\n"),
        format!("Sec-WebSocket-Protocol: tidewire.bearer.{wrong}\r\n"),
        basic.to_owned(),
        String::new(),
    ];
    for field in &fields {
        for query in [
            "?id=1".to_owned(),
            format!("?id=1&access_token={wrong}&token={wrong}"),
        ] {
            let request = format!(
                "GET /chat{query} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{field}\r\n"
            );
            // Behind it a frame that closes, and one that is no message.
            let mut stream = TcpStream::connect(&messaging)
                .await
                .expect("the server listens");
            stream.write_all(request.as_bytes()).await.expect("sent");
            stream
                .write_all(&[0x88, 0x80, 0, 0, 0, 0])
                .await
                .expect("sent");
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.ok();
            let answer = String::from_utf8_lossy(&answer).into_owned();
            // The one subprotocol that was offered is told to who has offered it.
            if !field.starts_with("Sec-WebSocket-Protocol") {
                said.push_str(&answer);
            }
            for path in ["stats", "nothing", "metrics"] {
                let path = format!("/{path}{query}");
                let request = format!(
                    "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{field}\r\n"
                );
                said.push_str(&self::answer(&rest, &request).await);
                said.push_str(&self::answer(&messaging, &request).await);
            }
        }
    }
    assert!(
        said.contains("tidewire_logins_denied"),
        "the metrics were read"
    );
    said.push_str(&server.log());
    assert!(
        said.contains("connection without valid credentials"),
        "the log was read"
    );
    let access = home.path().join("access.log");
    let lines = || fs::read_to_string(&access).expect("readable");
    // It is written behind the answers.
    while lines().matches("GET /metrics").count() < fields.len() * 4 {
        tokio::task::yield_now().await;
    }
    said.push_str(&lines());
    let found = said.lines().find(|line| line.contains(CANARY));
    assert_eq!(found, None);
}

#[test]
fn no_secret_shows_when_a_configuration_is_checked() {
    let directory = tempdir().expect("a temporary directory");
    let check = |text: &str| {
        fs::write(directory.path().join("t.toml"), text).expect("writable");
        let ended = end(
            tidewire(directory.path(), &["check-config", "--config", "t.toml"]),
            "",
        );
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!said.contains(CANARY), "{said}");
        (ended.code, said)
    };
    assert_eq!(check(&auth("server")).0, Some(0));
    // One mistake beside every secret.
    for (good, bad) in [
        ("type = \"basic\"", "type = \"basick\""),
        ("user = \"u\"", "users = \"u\""),
        ("[\"HS256\"]", "[\"HS512\"]"),
        ("http://127.0.0.1:1/", "http://192.0.2.1/"),
        ("cookie = \"j\"", "cookie = 7"),
        ("X-Key", "X Key"),
        ("types = [", "types = [ 7,"),
    ] {
        let (code, said) = check(&auth("server").replacen(good, bad, 1));
        assert_eq!(code, Some(2), "{bad}: {said}");
        assert!(said.contains("server.auth"), "{said}");
    }
}
