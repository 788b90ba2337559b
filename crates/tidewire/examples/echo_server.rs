//! Echo, as a plain loop: `cargo run --example echo_server -- 127.0.0.1:9001 --workers 2`.

#![expect(clippy::print_stdout, reason = "it says where it listens")]

mod arguments;

use tidewire::ws::{Server, WebSocket};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = arguments::server_config()?;
    let server = Server::new(config.clone()).route_any(echo).start()?;
    println!("echo at {}", arguments::url(&config, server.local_addr()));
    std::future::pending().await
}

/// All answers to one read leave in one write, without a word about it here.
async fn echo(mut socket: WebSocket) {
    while let Ok(Some(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            break;
        }
    }
}
