//! Hostile peers and bad days, each a test named after its identifier.

use std::time::Duration;

use tidewire::{
    proto::{CloseCode, Config, Connection},
    ws::{Message, RunningServer, Server, WebSocket, connect},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufStream, duplex},
    net::TcpStream,
    time::Instant,
};

use crate::{
    driver::{client, client_bytes, no_pings, pair},
    server::{config, echo},
};

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

#[tokio::test(start_paused = true)]
async fn e4_threat_11_half_open_connections_are_cut_at_the_deadline_and_disturb_nobody() {
    let server = start();
    let mut attackers = Vec::new();
    for number in 0..200_usize {
        let sent = &UPGRADE.as_bytes()[..number % UPGRADE.len()];
        attackers.push(raw(&server, sent).await);
    }
    let mut good = connect(&format!("ws://{}/", server.local_addr()))
        .await
        .unwrap();
    good.send("still here?").await.unwrap();
    assert_eq!(
        good.recv().await.unwrap(),
        Some(Message::text("still here?"))
    );
    for mut attacker in attackers {
        let mut answer = Vec::new();
        attacker.read_to_end(&mut answer).await.unwrap();
        assert!(answer.is_empty(), "no answer to half a request");
    }
    assert_eq!(server.stats().refused, 200);
    good.send("and now?").await.unwrap();
    assert_eq!(good.recv().await.unwrap(), Some(Message::text("and now?")));
}

#[tokio::test(start_paused = true)]
async fn e4_half_a_frame_is_no_sign_of_life_for_ever() {
    let (a, mut b) = duplex(1024);
    let start = Instant::now();
    let mut socket = crate::driver::server(a, Config::default());
    let receiving = tokio::spawn(async move { socket.recv().await });
    b.write_all(&client_bytes(&["hello"])[..7]).await.unwrap();
    let mut sink = Vec::new();
    b.read_to_end(&mut sink).await.unwrap();
    receiving.await.unwrap().unwrap_err();
    assert_eq!(
        start.elapsed().as_secs(),
        35,
        "ping after 25 s, pong within 10 s"
    );
}

#[tokio::test]
async fn item_15_a_drain_of_many_sockets_tells_them_all() {
    let server = start();
    let url = format!("ws://{}/", server.local_addr());
    let mut clients = Vec::new();
    for _ in 0..400 {
        clients.push(connect(&url).await.unwrap());
    }
    let told = tokio::spawn(async move {
        let mut told = 0;
        for mut client in clients {
            assert_eq!(client.recv().await.unwrap(), None);
            told += usize::from(client.close_frame().unwrap().code == CloseCode::GOING_AWAY);
        }
        told
    });
    assert!(
        server.drain(Duration::from_mins(1)).await,
        "within its budget"
    );
    assert_eq!(told.await.unwrap(), 400);
}

#[tokio::test(start_paused = true)]
async fn item_16_a_message_of_100_mb_arrives() {
    let (a, b) = duplex(256 << 10);
    let mut roomy = no_pings();
    roomy.message_bytes_max = 128 << 20;
    roomy.frame_bytes_max = 128 << 20;
    let (mut receiver, mut sender) = (crate::driver::server(a, roomy), client(b));
    let sending = tokio::spawn(async move {
        sender.send(vec![9; 100 << 20]).await.unwrap();
        sender.flush().await.unwrap();
        sender
    });
    let message = receiver.recv().await.unwrap().unwrap();
    assert_eq!(message.payload().len(), 100 << 20);
    drop(sending.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn item_18_a_transport_that_buffers_is_flushed() {
    let (a, b) = duplex(1024);
    let core = Connection::server(no_pings().into(), Instant::now().into_std());
    let mut server = WebSocket::new(BufStream::new(a), core, Vec::new());
    let mut client = client(b);
    client.send("question").await.unwrap();
    let question = server.recv().await.unwrap().unwrap();
    server.send(question).await.unwrap();
    assert_eq!(
        client.recv().await.unwrap(),
        Some(Message::text("question"))
    );
}

#[tokio::test(start_paused = true)]
async fn item_13_data_behind_a_close_frame_is_ignored() {
    let (mut server, mut client) = pair(1024);
    client.start_close(CloseCode::NORMAL, "");
    let refused = client.send("late").await;
    assert!(refused.is_err(), "nothing follows a close frame");
    let closing = tokio::spawn(async move { client.recv().await });
    assert_eq!(server.recv().await.unwrap(), None);
    assert_eq!(closing.await.unwrap().unwrap(), None);
}

#[tokio::test]
async fn threat_08_nothing_is_compressed_unless_asked_for() {
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
async fn threat_15_requests_that_others_may_read_differently_are_refused() {
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

#[tokio::test(start_paused = true)]
async fn threat_10_a_flood_of_pings_from_a_peer_that_does_not_read_ends_with_it() {
    let (a, mut b) = duplex(4096);
    let mut socket = crate::driver::server(a, no_pings());
    let sender = socket.sender();
    let receiving = tokio::spawn(async move { socket.recv().await });
    let ping = b"\x89\x84\0\0\0\0ping".repeat(400);
    for _ in 0..250 {
        b.write_all(&ping).await.unwrap();
    }
    assert!(sender.queued() <= 17 << 10, "{} queued", sender.queued());
    // The stream takes nothing: the write deadline ends it.
    receiving.await.unwrap().unwrap_err();
}
