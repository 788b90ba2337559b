//! Events as lines and datagrams of sockets.

use serde_json::Value;
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, BufReader},
    net::{TcpListener, UdpSocket},
};

use crate::feed::Feed;

async fn text(lines: &mut (impl AsyncBufRead + Unpin)) -> String {
    let mut line = String::new();
    lines.read_line(&mut line).await.unwrap();
    let event: Value = serde_json::from_str(&line).unwrap();
    event["message"].as_str().unwrap().to_owned()
}

fn target(address: &str) -> String {
    format!(
        r#"{{"retry_interval": "1ms", "attempts": 1000, "socket": {{"address": "{address}"}}}}"#
    )
}

#[tokio::test]
async fn a_tcp_connection_gets_lines_and_a_new_one_goes_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let feed = Feed::start(&target(&format!("tcp://{address}")));
    feed.say("1", "a").await;
    feed.say("1", "b").await;
    let mut lines = BufReader::new(listener.accept().await.unwrap().0);
    assert_eq!(text(&mut lines).await, "a");
    assert_eq!(text(&mut lines).await, "b");
    feed.delivered(2).await;
    drop(lines);
    feed.say("1", "c").await;
    let mut lines = BufReader::new(listener.accept().await.unwrap().0);
    assert_eq!(text(&mut lines).await, "c");
}

#[tokio::test]
async fn a_udp_socket_gets_a_datagram_per_event_and_what_is_too_large_is_a_dead_letter() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let feed = Feed::start(&target(&format!("udp://{address}")));
    feed.say("1", "a").await;
    feed.say("1", &"x".repeat(70_000)).await;
    feed.say("1", "b").await;
    let mut buffer = vec![0; 70_000];
    for expected in ["a", "b"] {
        let len = socket.recv(&mut buffer).await.unwrap();
        let event: Value = serde_json::from_slice(&buffer[..len]).unwrap();
        assert_eq!(event["message"], expected);
    }
    feed.delivered(2).await;
    let targets = feed.notifier.targets();
    assert_eq!(targets.status()[0].counts.dead, 1);
    let letters = targets.dead_letters(0, 10).await.unwrap();
    assert_eq!(letters.len(), 1);
}

#[cfg(unix)]
#[tokio::test]
async fn unix_sockets_get_lines_or_datagrams() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("stream");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let feed = Feed::start(&target(&format!("unix:{}", path.display())));
    feed.say("1", "a").await;
    let mut lines = BufReader::new(listener.accept().await.unwrap().0);
    assert_eq!(text(&mut lines).await, "a");

    let path = dir.path().join("datagrams");
    let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
    let feed = Feed::start(&target(&format!("unixgram:{}", path.display())));
    feed.say("1", "a").await;
    let mut buffer = vec![0; 1000];
    let len = socket.recv(&mut buffer).await.unwrap();
    let event: Value = serde_json::from_slice(&buffer[..len]).unwrap();
    assert_eq!(event["message"], "a");
}
