//! Buffers are shared by the connections of a thread; their content is not.

use tidewire::{
    proto::{CloseCode, Prepared},
    ws::WebSocket,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use crate::driver::{client_bytes, no_pings, server};

const CANARY: &str = "CANARY-OF-ANOTHER-USER";

async fn echo(mut socket: WebSocket<DuplexStream>, messages: usize) {
    for _ in 0..messages {
        let message = socket.recv().await.unwrap().unwrap();
        socket.send(message).await.unwrap();
    }
    socket.flush().await.unwrap();
}

/// A peer whose messages of all sizes have been through every kind of buffer.
async fn fill_buffers() {
    for size in [1, 100, 1000, 4000, 70_000] {
        let (a, mut b) = duplex(1 << 20);
        let text = CANARY.repeat(size / CANARY.len() + 1);
        b.write_all(&client_bytes(&[&text, &text])).await.unwrap();
        echo(server(a, no_pings()), 2).await;
    }
}

/// ws gave memory of other connections away in close frames.
#[tokio::test(start_paused = true)]
async fn no_byte_of_another_connection_is_ever_sent() {
    for turn in 0..10 {
        fill_buffers().await;
        let (a, mut b) = duplex(1 << 20);
        let mut socket = server(a, no_pings());
        b.write_all(&client_bytes(&["x", ""])).await.unwrap();
        // A ping whose payload is empty, then a frame that is never completed.
        b.write_all(b"\x89\x80\x01\x02\x03\x04\x82\xfe\xff\xff\x01\x02")
            .await
            .unwrap();
        for _ in 0..2 {
            let message = socket.recv().await.unwrap().unwrap();
            socket.send(message).await.unwrap();
        }
        socket.ping(b"").await.unwrap();
        socket.send_prepared(&Prepared::text("y")).await.unwrap();
        socket.sender().send("z").await.unwrap();
        let reason = if turn % 2 == 0 { "" } else { "r" };
        socket.start_close(CloseCode(if turn % 3 == 0 { 1005 } else { 1000 }), reason);
        tokio::time::timeout(std::time::Duration::from_mins(1), socket.recv())
            .await
            .ok();
        drop(socket);
        let mut sent = Vec::new();
        b.read_to_end(&mut sent).await.unwrap();
        assert!(sent.len() < 60, "{} bytes for a few frames", sent.len());
        let leaked = sent
            .windows(6)
            .any(|bytes| CANARY.as_bytes().windows(6).any(|part| part == bytes));
        assert!(!leaked, "{:?}", String::from_utf8_lossy(&sent));
    }
}
