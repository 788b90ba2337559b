//! D6: a server that runs out of file descriptors goes on serving those it has.
//!
//! The server is this program again, as a child with few descriptors, so that the peers that
//! exhaust it do not run out themselves.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use tidewire::ws::{Message, Server, ServerConfig, WebSocket, connect};

const CHILD: &str = "TIDEWIRE_TEST_FEW_DESCRIPTORS";
const DESCRIPTORS: u64 = 64;

struct Few(Child);

impl Drop for Few {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// What the child does instead of the test.
async fn serve() {
    rlimit::setrlimit(rlimit::Resource::NOFILE, DESCRIPTORS, DESCRIPTORS).unwrap();
    let server = Server::new(ServerConfig::new(([127, 0, 0, 1], 0).into()))
        .route_any(|mut socket: WebSocket| async move {
            while let Ok(Some(message)) = socket.recv().await {
                if socket.send(message).await.is_err() {
                    break;
                }
            }
        })
        .start()
        .unwrap();
    let mut out = std::io::stderr();
    writeln!(out, "port {}", server.local_addr().port()).unwrap();
    std::future::pending::<()>().await;
}

async fn is_echoed(socket: &mut WebSocket, text: &str) {
    socket.send(text).await.unwrap();
    assert_eq!(socket.recv().await.unwrap(), Some(Message::text(text)));
}

#[tokio::test]
async fn d6_threat_12_without_descriptors_those_connected_are_served_and_others_come_later() {
    if env::var_os(CHILD).is_some() {
        return serve().await;
    }
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("d6_threat_12_without_descriptors_those_connected_are_served_and_others_come_later")
        .env(CHILD, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let child = Few(child);
    let port = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("port ")?.parse::<u16>().ok())
        .unwrap();
    let url = format!("ws://127.0.0.1:{port}/");
    let mut early = connect(&url).await.unwrap();
    is_echoed(&mut early, "before").await;

    // More than it can accept; the system keeps the rest waiting.
    let crowd: Vec<TcpStream> = (0..200)
        .map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap())
        .collect();
    for number in 0..100 {
        is_echoed(&mut early, &format!("while it is full {number}")).await;
    }
    drop(crowd);
    // As soon as it has noticed that they left, there is room again.
    let mut late = loop {
        if let Ok(late) = connect(&url).await {
            break late;
        }
    };
    is_echoed(&mut late, "after").await;
    is_echoed(&mut early, "after").await;
    drop(child);
}
