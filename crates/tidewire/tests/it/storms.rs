//! Many connections at once: handshakes that do not go on, and clients that all come back together.

use std::collections::BTreeSet;

use tidewire::{
    service::Rate,
    ws::{Message, RunningServer, Server, WebSocket, connect},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::server::config;

async fn echo(mut socket: WebSocket) {
    while let Ok(Some(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            break;
        }
    }
}

async fn echoes(server: &RunningServer) {
    let url = format!("ws://{}/", server.local_addr());
    let mut socket = connect(&url).await.unwrap();
    socket.send("hello").await.unwrap();
    let answer = socket.recv().await.unwrap();
    assert_eq!(answer, Some(Message::from("hello")));
}

/// Promise E4: silent, a byte of a head, half a head.
#[tokio::test]
async fn handshakes_that_do_not_go_on_make_room_and_good_clients_connect() {
    let mut config = config();
    config.limits.half_open_max = 16;
    let server = Server::new(config).route("/", echo).start().unwrap();
    let url = format!("ws://{}/", server.local_addr());
    let mut good = connect(&url).await.unwrap();
    let mut attackers = Vec::new();
    for number in 0..300 {
        let mut attacker = TcpStream::connect(server.local_addr()).await.unwrap();
        let begun = ["", "G", "GET / HTTP/1.1\r\nHost: a\r\n"][number % 3];
        // It may have been displaced already.
        attacker.write_all(begun.as_bytes()).await.ok();
        attackers.push(attacker);
        if number % 20 == 0 {
            echoes(&server).await;
        }
    }
    // The oldest were ended without a word, long before their deadline.
    for attacker in &mut attackers[..200] {
        let mut answer = Vec::new();
        attacker.read_to_end(&mut answer).await.ok();
        assert_eq!(answer, b"");
    }
    echoes(&server).await;
    // Who is open takes no part in this.
    good.send("still here").await.unwrap();
    assert_eq!(
        good.recv().await.unwrap(),
        Some(Message::from("still here"))
    );
    let displaced = server.turned_away().displaced;
    assert!((200..=300).contains(&displaced), "{displaced}");
}

#[tokio::test]
async fn clients_of_a_storm_are_told_to_come_back_at_different_times() {
    let mut config = config();
    config.limits.accept_rate = Some(Rate::new(1, 3));
    let server = Server::new(config).route("/", echo).start().unwrap();
    let mut held = Vec::new();
    let mut times = BTreeSet::new();
    for _ in 0..60 {
        let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
        let mut first = [0];
        let told = tokio::select! {
            read = stream.read(&mut first) => read.unwrap_or_default() > 0,
            // Who is admitted hears nothing before a request.
            () = admitted(&server, held.len()) => false,
        };
        if !told {
            held.push(stream);
            continue;
        }
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.ok();
        assert!(rest.starts_with("TTP/1.1 503 "), "{rest}");
        let after = rest
            .lines()
            .find_map(|line| line.strip_prefix("Retry-After: "));
        let seconds: u64 = after.expect("a time to come back").parse().unwrap();
        assert!((1..=10).contains(&seconds), "{seconds}");
        times.insert(seconds);
    }
    assert!(held.len() >= 3, "a burst is admitted");
    assert!(times.len() >= 3, "{times:?}");
    assert!(server.turned_away().rate >= 60 - held.len() as u64);
}

/// Waits until the server has more connections than these.
async fn admitted(server: &RunningServer, held: usize) {
    while server.stats().connections <= held {
        tokio::task::yield_now().await;
    }
}
