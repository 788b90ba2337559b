//! Requests that attack the server before it is a WebSocket, over real sockets.

use std::time::Duration;

use tidewire::ws::{RunningServer, Server, connect};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::server::{UPGRADE, config, echo};

/// Only against a hang.
const HANG: Duration = Duration::from_mins(1);

fn start() -> RunningServer {
    Server::new(config()).route("/echo", echo).start().unwrap()
}

/// Writes until the server takes no more, in pieces; gives what it answered.
async fn answer(server: &RunningServer, bytes: &[u8], step: usize) -> String {
    let stream = TcpStream::connect(server.local_addr()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut read, mut write) = stream.into_split();
    let writing = async {
        for piece in bytes.chunks(step) {
            if write.write_all(piece).await.is_err() {
                break; // it has heard enough
            }
        }
    };
    let mut got = Vec::new();
    let reading = async {
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = read.read(&mut buffer).await {
            got.extend_from_slice(&buffer[..count]);
            if got.ends_with(b"\x81\x05Hello") {
                break;
            }
        }
    };
    timeout(HANG, async { tokio::join!(writing, reading) })
        .await
        .expect("no hang");
    String::from_utf8_lossy(&got).into_owned()
}

/// "Hello", masked as in RFC 6455 section 5.7.
const HELLO: &[u8] = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";

async fn still_serves(server: &RunningServer) {
    let mut socket = connect(&format!("ws://{}/echo", server.local_addr()))
        .await
        .unwrap();
    socket.send("hi").await.unwrap();
    assert_eq!(socket.recv().await.unwrap().unwrap().as_text(), Some("hi"));
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused_and_others_are_served() {
    let server = start();
    let endless = [
        b"GET /echo HTTP/1.1\r\nX: ".as_slice(),
        &vec![b'a'; 20 << 20],
    ]
    .concat();
    let many = format!("GET /echo HTTP/1.1\r\n{}\r\n", "X: a\r\n".repeat(10_000));
    for bytes in [&endless[..], many.as_bytes()] {
        let answer = answer(&server, bytes, 64 << 10).await;
        // The refusal, or nothing when the system has reset the connection before it was read.
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
            "{answer}"
        );
        still_serves(&server).await;
    }
    while server.stats().refused < 2 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_upgrade_in_segments_of_one_byte_is_served() {
    let server = start();
    let bytes = [UPGRADE.as_bytes(), HELLO].concat();
    let answer = answer(&server, &bytes, 1).await;
    assert!(
        answer.starts_with("HTTP/1.1 101 ") && answer.ends_with("Hello"),
        "{answer}"
    );
}

/// A body is no frame: what a proxy in front takes for the body of a request is not run here.
#[tokio::test]
async fn the_body_of_an_upgrade_request_is_never_taken_for_frames() {
    let server = start();
    for field in [
        "Content-Length: 11",
        "Transfer-Encoding: chunked",
        "Content-Length: 0\r\nContent-Length: 11",
    ] {
        let head = UPGRADE.replace("Host:", &format!("{field}\r\nHost:"));
        let answer = answer(&server, &[head.as_bytes(), HELLO].concat(), 1000).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{field}: {answer}");
        assert!(!answer.contains("Hello"), "{field}: {answer}");
    }
}
