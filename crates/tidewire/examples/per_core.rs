//! A runtime and a listener per core, joined by `SO_REUSEPORT`; every connection stays on its
//! core: `cargo run --example per_core -- 127.0.0.1:9001 --workers 4`.

#![expect(clippy::print_stdout, reason = "it says where it listens")]

mod arguments;

use std::thread;

use tidewire::ws::{Server, WebSocket};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = arguments::server_config()?;
    println!("{:?}", config.workers);
    let server = Server::new(config.clone()).route_any(tell).start()?;
    println!("ask at {}", arguments::url(&config, server.local_addr()));
    std::future::pending().await
}

/// Answers with the name of the thread that serves the connection.
async fn tell(mut socket: WebSocket) {
    while let Ok(Some(_question)) = socket.recv().await {
        let name = thread::current().name().unwrap_or("?").to_owned();
        if socket.send(name).await.is_err() {
            break;
        }
    }
}
