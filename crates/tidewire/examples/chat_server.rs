//! A chat room: whatever somebody says goes to everybody; `!` alone leaves. With a line typed
//! here the server itself speaks: `cargo run --example chat_server -- 127.0.0.1:8080`.

#![expect(clippy::print_stdout, reason = "it says where it listens")]

mod arguments;

use std::time::Duration;

use tidewire::ws::{CloseCode, Message, Server, Topic, WebSocket};
use tokio::io::{AsyncBufReadExt, BufReader};

const GREETING: &str =
    "Hello from WebSocket chat! Please send a message or '!' to disconnect the client!";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = arguments::server_config()?;
    let room = Topic::default();
    let server = Server::new(config.clone())
        .route_any({
            let room = room.clone();
            move |socket: WebSocket| visit(socket, room.clone())
        })
        .start()?;
    println!("chat at {}", arguments::url(&config, server.local_addr()));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        room.publish_text(&format!("(admin) {line}"));
    }
    // The end of the input is the end of the chat: everybody sees 1001.
    server.drain(Duration::from_secs(5)).await;
    Ok(())
}

async fn visit(mut socket: WebSocket, room: Topic) {
    if socket.send(GREETING).await.is_err() {
        return;
    }
    socket.join(&room);
    while let Ok(Some(message)) = socket.recv().await {
        let Message::Text(text) = message else {
            continue;
        };
        room.publish_text(&text);
        if &*text == "!" {
            socket.close(CloseCode::NORMAL, "").await.ok();
            return;
        }
    }
}
