//! A server behind proxies and balancers that it trusts, and pages from elsewhere.
//!
//! Both listeners; HTTP proxies and the PROXY protocol; WebSockets, the web chat and REST; limits per address; who is
//! not trusted. The forms of forwarded fields are tested in `tidewire_proto::proxy`, those of origins in
//! `tidewire::http`.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::desk::Desk;

const TRUSTING: &str = "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n\
    [rest]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";

/// `127.0.0.1:port` of a listener.
fn address(desk: &Desk, label: &str) -> String {
    let url = desk.url(label);
    let rest = url.split_once("://").unwrap().1;
    rest.split('/').next().unwrap().to_owned()
}

async fn send(desk: &Desk, label: &str, bytes: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address(desk, label)).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    if !answer.starts_with(b"HTTP/1.1 101 ") {
        stream.read_to_end(&mut answer).await.unwrap();
    }
    (stream, String::from_utf8(answer).unwrap())
}

fn upgrade(host: &str, fields: &str) -> String {
    format!(
        "GET /chat?id=7 HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n"
    )
}

async fn opened(desk: &Desk, host: &str, fields: &str) -> (TcpStream, String) {
    let (stream, answer) = send(desk, "messaging", &upgrade(host, fields)).await;
    (stream, answer)
}

/// TLS ends at the proxy, which passes `Host` as it came, without its port, or its own.
#[tokio::test]
async fn a_page_behind_a_proxy_that_does_tls_connects_and_calls() {
    let trusting = Desk::start(TRUSTING);
    let direct = Desk::start("");
    let told = "Origin: https://chat.example\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n";
    let named = format!("{told}X-Forwarded-Host: chat.example\r\n");
    for (host, fields) in [("chat.example", told), ("127.0.0.1:1", &named)] {
        let (_stream, answer) = opened(&trusting, host, fields).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{host}: {answer}");
        let (_stream, answer) = opened(&direct, host, fields).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{host}: {answer}");
        let request =
            format!("GET /stats HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}\r\n");
        let (_stream, answer) = send(&trusting, "rest", &request).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{host}: {answer}");
        let (_stream, answer) = send(&direct, "rest", &request).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{host}: {answer}");
        let request =
            format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}\r\n");
        let (_stream, answer) = send(&trusting, "messaging", &request).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{host}: {answer}");
    }
}

#[tokio::test]
async fn a_refused_page_is_told_which_keys_decide() {
    let desk = Desk::start("");
    for (fields, hints) in [
        (
            "Origin: https://evil.example\r\n",
            &["server.allowed_origins"][..],
        ),
        (
            "Origin: https://localhost\r\n",
            &["server.allowed_origins", "server.trusted_proxies"],
        ),
        (
            "Origin: http://localhost:8080\r\n",
            &["server.allowed_origins", "server.trusted_proxies"],
        ),
    ] {
        let (_stream, answer) = opened(&desk, "localhost", fields).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        for hint in hints {
            assert!(answer.contains(hint), "{fields}: {answer}");
        }
    }
    let (_stream, answer) = opened(&desk, "chat.example", "").await;
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    for hint in [
        "server.auth",
        "server.allowed_origins",
        "server.trusted_proxies",
    ] {
        assert!(answer.contains(hint), "{answer}");
    }
}

#[tokio::test]
async fn clients_of_a_trusted_proxy_are_counted_by_their_own_addresses() {
    let limit = "[server.limits]\nconnections_per_ip_max = 1\n";
    let desk = Desk::start(&format!("{TRUSTING}{limit}"));
    let direct = Desk::start(limit);
    let told = |last: u8| format!("X-Forwarded-For: 6.6.6.6, 203.0.113.{last}\r\n");
    let mut open = Vec::new();
    for last in 1..=3 {
        let (stream, answer) = opened(&desk, "chat.example", &told(last)).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        open.push(stream);
    }
    let (_stream, answer) = opened(&desk, "chat.example", &told(2)).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let (_first, answer) = opened(&direct, "localhost", &told(1)).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    // One address, whatever it would say.
    let mut second = TcpStream::connect(address(&direct, "messaging"))
        .await
        .unwrap();
    let mut answer = String::new();
    second.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    // A proxy keeps its connection for the requests of many.
    let mut proxy = TcpStream::connect(address(&desk, "rest")).await.unwrap();
    for last in [7, 8, 7] {
        let request = format!(
            "HEAD /status HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
            told(last)
        );
        proxy.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(proxy.read_u8().await.unwrap());
        }
        assert!(
            answer.starts_with(b"HTTP/1.1 200 "),
            "{}",
            answer.escape_ascii()
        );
    }
}

#[tokio::test]
async fn a_balancer_tells_who_connects_by_the_proxy_protocol() {
    let desk = Desk::start(
        "[server]\nproxy_protocol = [\"127.0.0.1\"]\n[rest]\nproxy_protocol = [\"127.0.0.1\"]\n\
         [server.limits]\nconnections_per_ip_max = 1\n",
    );
    let header = |last: u8| format!("PROXY TCP4 203.0.113.{last} 192.0.2.1 4000 443\r\n");
    // Nobody else can connect, so a name that is rebound to loopback leads nowhere.
    let first = format!("{}{}", header(1), upgrade("chat.example", ""));
    let (_first, answer) = send(&desk, "messaging", &first).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    let (_other, answer) = send(&desk, "messaging", &first.replace(".113.1 ", ".113.2 ")).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    let (_again, answer) = send(&desk, "messaging", &first).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let request = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let (_stream, answer) = send(&desk, "rest", &format!("{}{request}", header(9))).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let mut bare = TcpStream::connect(address(&desk, "rest")).await.unwrap();
    bare.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // An end or a reset, but no answer.
    bare.read_to_end(&mut answer).await.ok();
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
}
