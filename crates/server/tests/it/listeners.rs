//! Several listeners, HTTP/2, and clients that speak something else than the listener.

use tidewire::ws::{Client, Config, DeflateConfig, WebSocket};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::desk::{Desk, envelope, text};

/// Returns the answer to a client that begins with these bytes; the connection has to end.
async fn answer(desk: &Desk, said: &[u8]) -> String {
    let url = desk.url("messaging");
    let address = url.trim_start_matches("ws://").trim_end_matches("/chat");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(said).await.unwrap();
    let mut told = Vec::new();
    // What is left of what was said may end the connection with a reset.
    stream.read_to_end(&mut told).await.ok();
    String::from_utf8_lossy(&told).into_owned()
}

#[tokio::test]
async fn further_listeners_serve_the_same_users() {
    let desk = Desk::start(
        "[[server.listeners]]\naddress = \"127.0.0.1:0\"\n[[server.listeners]]\naddress = \"127.0.0.1:0\"\nhttp2 = true",
    );
    let urls: Vec<String> = desk
        .running
        .urls()
        .iter()
        .filter(|(label, _)| *label == "messaging")
        .map(|(_, url)| url.clone())
        .collect();
    assert_eq!(urls.len(), 3, "{urls:?}");
    let mut first = desk.user_online("1").await;
    for (url, user) in urls.iter().zip(2_u64..) {
        let client = Client::new(&format!("{url}?id={user}")).unwrap();
        let mut socket = client.connect().await.unwrap();
        socket
            .send(envelope(&user.to_string(), "1", "from elsewhere"))
            .await
            .unwrap();
        assert!(text(&mut first).await.contains("from elsewhere"));
    }
    let client = Client::new(&format!("{}?id=9", urls[2])).unwrap();
    let mut socket = client.http2().connect().await.unwrap();
    socket
        .send(envelope("9", "1", "over HTTP/2"))
        .await
        .unwrap();
    assert!(text(&mut first).await.contains("over HTTP/2"));
    let client = Client::new(&format!("{}?id=9", urls[1])).unwrap();
    assert!(client.http2().connect().await.is_err(), "off by default");
}

#[tokio::test]
async fn other_protocols_and_requests_that_are_none_are_answered_at_once() {
    let desk = Desk::start("");
    let many = "A: b\r\n".repeat(65);
    let large = "x".repeat(17 << 10);
    for (said, expected) in [
        (
            "\x16\x03\x01\x02\x00\x01\x00\x01\u{3f}\x03\x03".to_owned(),
            "HTTP/1.1 400 ",
        ),
        ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(), "HTTP/1.1 400 "),
        ("EHLO example.org\r\n".to_owned(), "HTTP/1.1 400 "),
        (
            "GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            "HTTP/1.1 404 ",
        ),
        (
            "GET /chat HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            "HTTP/1.1 ",
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"),
            "HTTP/1.1 431 ",
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: localhost\r\nA: {large}\r\n\r\n"),
            "HTTP/1.1 431 ",
        ),
    ] {
        let told = answer(&desk, said.as_bytes()).await;
        let beginning: String = said.chars().take(40).collect();
        assert!(told.starts_with(expected), "{beginning:?}: {told:?}");
    }
}

#[tokio::test]
async fn who_waits_for_a_banner_is_cut_when_the_handshake_takes_too_long() {
    let desk = Desk::start("[server.limits]\nhandshake_timeout = \"1s\"");
    // As clients of SMTP, of SSH before they speak, and of other protocols in which the server begins.
    answer(&desk, b"").await;
    // One byte now and then is no better.
    answer(&desk, b"G").await;
    desk.user("1").await;
}

#[tokio::test]
async fn a_message_goes_out_compressed_to_those_who_agreed_and_plain_to_others() {
    let desk = Desk::start("[server.deflate]\nenabled = true\n");
    let mut config = Config::default();
    config.deflate = Some(DeflateConfig::default());
    let asking = |id: &str| desk.client(id).config(config.clone());
    let mut sender = asking("1").connect().await.unwrap();
    let mut plain = desk.user_online("2").await;
    let mut receivers = [
        asking("2").connect().await.unwrap(),
        asking("2").connect().await.unwrap(),
    ];
    assert!(receivers.iter().all(WebSocket::is_compressing) && !plain.is_compressing());
    while desk
        .call("GET", "/sessions?user=2", "", "")
        .await
        .2
        .matches("\"session\"")
        .count()
        < 3
    {
        tokio::task::yield_now().await;
    }
    let long = "the same again, ".repeat(1000);
    let before = receivers.each_ref().map(|socket| socket.bytes_moved().0);
    for text_sent in [&*long, "short"] {
        sender.send(envelope("1", "2", text_sent)).await.unwrap();
        assert!(text(&mut plain).await.contains(text_sent));
        for receiver in &mut receivers {
            assert!(text(receiver).await.contains(text_sent));
        }
    }
    for (receiver, before) in receivers.iter().zip(before) {
        let bytes = receiver.bytes_moved().0 - before;
        assert!(bytes < 1000, "{bytes} bytes for a text of {}", long.len());
    }
    assert!(plain.bytes_moved().0 > long.len() as u64);
}
