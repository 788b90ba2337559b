//! permessage-deflate between servers and clients over loopback sockets.

use std::{sync::Arc, time::Duration};

use tidewire::ws::{Client, Config, DeflateConfig, Message, Prepared, RunningServer, Server};
use tokio::time::timeout;

use crate::server::{config, echo};

fn compressing(change: impl FnOnce(&mut DeflateConfig)) -> Config {
    let mut deflate = DeflateConfig::default();
    change(&mut deflate);
    let mut config = Config::default();
    config.deflate = Some(deflate);
    config
}

fn start(socket: Config) -> RunningServer {
    let mut config = config();
    config.socket = Arc::new(socket);
    Server::new(config).route("/", echo).start().unwrap()
}

fn json() -> String {
    (0..40)
        .map(|i| format!("{{\"id\":{i},\"text\":\"a message for the room\"}}"))
        .collect::<Vec<_>>()
        .join(",")
}

async fn guarded(test: impl Future<Output = ()>) {
    timeout(Duration::from_secs(30), test)
        .await
        .expect("it does not hang");
}

#[tokio::test]
async fn messages_are_compressed_both_ways_when_both_ends_want_it() {
    guarded(async {
        for takeover in [false, true] {
            let wish = || {
                compressing(|deflate| {
                    deflate.context_takeover = takeover;
                    deflate.peer_context_takeover = takeover;
                })
            };
            let server = start(wish());
            let url = format!("ws://{}/", server.local_addr());
            let mut socket = Client::new(&url)
                .unwrap()
                .config(wish())
                .connect()
                .await
                .unwrap();
            let text = json();
            for _ in 0..3 {
                socket.send(text.as_str()).await.unwrap();
                assert_eq!(
                    socket.recv().await.unwrap(),
                    Some(Message::from(text.as_str()))
                );
            }
            let stats = socket.stats();
            let plain = 3 * text.len() as u64;
            assert!(stats.bytes_sent < plain / 3, "{stats:?} of {plain}");
            assert!(stats.bytes_received < plain / 3, "{stats:?} of {plain}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_end_that_does_not_want_it_gets_plain_messages() {
    guarded(async {
        let deflate = DeflateConfig::default();
        let text = json();
        for (ours, theirs) in [
            (Config::default(), compressing(|_| ())),
            (compressing(|_| ()), Config::default()),
        ] {
            let server = start(theirs);
            let url = format!("ws://{}/", server.local_addr());
            let client = Client::new(&url).unwrap().config(ours);
            let mut socket = client.connect().await.unwrap();
            let prepared = Prepared::text(&text).compress(&deflate);
            socket.send_prepared(&prepared).await.unwrap();
            assert_eq!(
                socket.recv().await.unwrap(),
                Some(Message::from(text.as_str()))
            );
            assert!(socket.stats().bytes_sent > text.len() as u64);
        }
    })
    .await;
}

#[tokio::test]
async fn a_secret_is_sent_as_it_is() {
    guarded(async {
        let server = start(compressing(|_| ()));
        let url = format!("ws://{}/", server.local_addr());
        let client = Client::new(&url).unwrap().config(compressing(|_| ()));
        let mut socket = client.connect().await.unwrap();
        let text = json();
        socket.send_uncompressed(text.as_str()).await.unwrap();
        assert_eq!(
            socket.recv().await.unwrap(),
            Some(Message::from(text.as_str()))
        );
        let stats = socket.stats();
        assert!(stats.bytes_sent > text.len() as u64);
        assert!(stats.bytes_received < text.len() as u64 / 3);
    })
    .await;
}

/// Otherwise a message that is passed on in pieces would become a fragment per KiB that came.
#[tokio::test]
async fn pieces_of_a_compressed_message_that_came_together_come_out_as_one() {
    guarded(async {
        let server = start(compressing(|_| {}));
        let url = format!("ws://{}/", server.local_addr());
        let client = Client::new(&url).unwrap().config(compressing(|_| {}));
        let mut socket = client.connect().await.unwrap();
        // Digits of a recurrence: they compress to about half.
        let mut digit = 1_u32;
        let text: String = (0..500_000)
            .map(|_| {
                digit = digit.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                char::from_digit(digit >> 28, 16).unwrap()
            })
            .collect();
        socket.send(text.as_str()).await.unwrap();
        let mut received = Vec::new();
        let mut pieces = 0;
        loop {
            let chunk = socket.recv_chunk().await.unwrap().unwrap();
            received.extend_from_slice(&chunk.data);
            pieces += 1;
            if chunk.last {
                break;
            }
        }
        assert!(received == text.as_bytes(), "it came as it was");
        assert!(pieces < 100, "{pieces} pieces of half a MiB");
    })
    .await;
}
