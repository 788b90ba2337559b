//! A canary in every slot of the configuration and of requests, looked for in everything that the program says.

use std::{fs, time::Duration};

use tempfile::tempdir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{
    peer::message,
    program::{end, tidewire},
    run_within,
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

/// Every target and the connect hook, with canaries, at `port`.
fn backends(port: u16) -> String {
    let service = |name: &str, more: &str| {
        format!(
            "[[targets]]\nname = \"{name}\"\nkinds = [\"message\", \"connected\"]\nattempts = 1\n\
             breaker_failures = 1000000\ntimeout = \"500ms\"\n[targets.{name}]\nport = {port}\n\
             password = \"{CANARY}\"\n{more}\n"
        )
    };
    format!(
        r#"
[server.connect_hook]
backend_url = "http://127.0.0.1:{port}/hook"
secrets = ["${{env:HOOK_SECRET}}"]
headers = ["x-told"]
if_unavailable = "accept"
[[targets]]
name = "postback"
kinds = ["message", "connected"]
attempts = 1
breaker_failures = 1000000
[targets.postback]
url = "http://127.0.0.1:{port}/{CANARY}?key={CANARY}"
signing_keys = ["${{env:HOOK_SECRET}}"]
headers = {{ X-Key = "{CANARY}" }}
auth = {{ type = "bearer", value = "{CANARY}" }}
[[targets]]
name = "nats"
kinds = ["message"]
attempts = 1
breaker_failures = 1000000
[targets.nats]
servers = ["127.0.0.1:{port}"]
user = "u"
password = "{CANARY}"
{}{}{}{}"#,
        service("redis", "user = \"u\""),
        service("postgres", "user = \"u\"\ndatabase = \"d\""),
        service("mysql", "user = \"u\"\ndatabase = \"d\""),
        service("amqp", "user = \"u\""),
    )
}

/// Whatever comes is sent back: what a service says may be what it was told.
async fn parrot() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await.ok();
            });
        }
    });
    port
}

#[test]
fn no_secret_shows_of_services_that_repeat_what_they_are_told() {
    run_within(Duration::from_mins(2), services_that_repeat());
}

async fn services_that_repeat() {
    let port = parrot().await;
    let home = Home::new(&format!("[log]\nlevel = \"trace\"\n{}", backends(port)));
    let mut command = home.command();
    command.env("HOOK_SECRET", CANARY.repeat(3));
    let mut server = home.spawn(command);
    server.wait_until_ready().await;
    let mut rest = server.rest().await;
    let sent = rest.send_message(&message(1, &[7], "hello")).await;
    assert_eq!(sent.expect("an answer").status, 202);
    let names = ["postback", "nats", "redis", "postgres", "mysql", "amqp"];
    // Each has failed once with an event, which lies with the dead letters now.
    let is_done = |metrics: &str| {
        names.iter().all(|name| {
            let failures = format!("tidewire_target_failures_total{{target=\"{name}\"}} ");
            let mut lines = metrics
                .lines()
                .filter_map(|line| line.strip_prefix(&*failures));
            lines.next().is_some_and(|count| count != "0")
        })
    };
    let mut said = rest.get("/metrics").await.expect("an answer").body;
    while !is_done(&said) {
        tokio::task::yield_now().await;
        said = rest.get("/metrics").await.expect("an answer").body;
    }
    for path in ["/v1/events", "/v1/events/dead-letters", "/health", "/stats"] {
        said.push_str(&rest.get(path).await.expect("an answer").body);
    }
    said.push_str(&server.log());
    let found = said.lines().find(|line| line.contains(CANARY));
    assert_eq!(found, None);
    server.stop().await;
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
