//! Connections that never become one, beside good clients, on a real server in virtual time.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use allocation_counter::measure;
use tidewire::{
    service::Workers,
    ws::{RunningServer, Server, ServerConfig, WebSocket, connect},
};
use tokio::{runtime::Builder, time::Instant};

async fn echo(mut socket: WebSocket) {
    while let Ok(Some(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            break;
        }
    }
}

fn start() -> RunningServer {
    let mut config = ServerConfig::new(([127, 0, 0, 1], 0).into());
    config.workers = Workers::Pool;
    Server::new(config).route("/", echo).start().unwrap()
}

async fn good_client_is_served(server: &RunningServer) {
    let mut socket = connect(&format!("ws://{}/", server.local_addr()))
        .await
        .unwrap();
    socket.send("hello").await.unwrap();
    assert_eq!(
        socket.recv().await.unwrap().unwrap().as_text(),
        Some("hello")
    );
    socket
        .close(tidewire::proto::CloseCode::NORMAL, "")
        .await
        .unwrap();
}

/// What each of them sends and then stops: nothing, a byte, half a head, all but its end.
const BEGINNINGS: [&[u8]; 4] = [
    b"",
    b"G",
    b"GET / HTTP/1.1\r\nHost: a\r\nUpg",
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
];

fn half_open(server: &RunningServer, count: usize) -> Vec<TcpStream> {
    (0..count)
        .map(|i| {
            let mut stream = TcpStream::connect(server.local_addr()).unwrap();
            stream.write_all(BEGINNINGS[i % BEGINNINGS.len()]).unwrap();
            stream.set_nonblocking(true).unwrap();
            stream
        })
        .collect()
}

fn is_cut(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 16]) {
        Ok(count) => {
            assert_eq!(count, 0, "nothing is answered to half a request");
            true
        }
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[tokio::test(start_paused = true)]
async fn half_open_connections_hinder_nobody_and_are_cut_at_their_deadline() {
    const ATTACKERS: usize = 500;
    let server = start();
    let mut attackers = half_open(&server, ATTACKERS);
    // The clock stands still while anybody is busy: all begin now.
    let started = Instant::now();
    good_client_is_served(&server).await;
    while server.stats().connections < ATTACKERS {
        tokio::task::yield_now().await;
    }
    // One byte every five seconds gains nothing.
    tokio::time::sleep_until(started + Duration::from_secs(5)).await;
    for stream in &mut attackers {
        assert!(!is_cut(stream));
        stream.write_all(b"x").unwrap();
    }
    good_client_is_served(&server).await;
    tokio::time::sleep_until(started + Duration::from_millis(9_900)).await;
    assert_eq!(server.stats().refused, 0);
    good_client_is_served(&server).await;
    tokio::time::sleep_until(started + Duration::from_secs(11)).await;
    assert_eq!(
        server.stats().refused,
        ATTACKERS as u64,
        "all are cut within a second"
    );
    assert!(attackers.iter_mut().all(is_cut));
    good_client_is_served(&server).await;
}

#[test]
fn a_half_open_connection_costs_at_most_eight_kib() {
    const ATTACKERS: usize = 400;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let server = runtime.block_on(async {
        let server = start();
        good_client_is_served(&server).await; // what is made once is there
        server
    });
    let attackers = half_open(&server, ATTACKERS);
    let info = measure(|| {
        runtime.block_on(async {
            while server.stats().connections < ATTACKERS {
                tokio::task::yield_now().await;
            }
            // What they have sent is read: time passes only when nobody has anything to do.
            tokio::time::sleep(Duration::from_secs(1)).await;
        });
    });
    assert_eq!(server.stats().refused, 0, "they are still there");
    let each = info.bytes_current / i64::try_from(ATTACKERS).unwrap();
    assert!(each <= 8 << 10, "{each} bytes each");
    drop(attackers);
}
