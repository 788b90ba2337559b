//! A message that is encoded and compressed once, for any number of connections:
//! `cargo run --example prepared_broadcast -- 127.0.0.1:9001`.

#![expect(clippy::print_stdout, reason = "it says where it listens")]

mod arguments;

use std::{sync::Arc, time::Duration};

use tidewire::ws::{Config, DeflateConfig, Prepared, Server, WebSocket};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = arguments::server_config()?;
    let deflate = DeflateConfig::default();
    let mut socket = Config::default();
    socket.deflate = Some(deflate.clone());
    config.socket = Arc::new(socket);
    let server = Server::new(config.clone()).route_any(listen).start()?;
    let url = arguments::url(&config, server.local_addr());
    println!("ticks at {url}");
    let mut second = tokio::time::interval(Duration::from_secs(1));
    for number in 0_u64.. {
        second.tick().await;
        let text = format!("tick {number} {}", "and so on, ".repeat(100));
        let tick = Prepared::text(&text).compress(&deflate);
        // Each takes the form that it agreed on with its client; nothing is copied for that.
        for session in server.sessions() {
            if session.try_send_prepared(&tick).is_err() {
                println!("session {} is too slow for tick {number}", session.id());
            }
        }
    }
    Ok(())
}

/// Only listens, so that pings are answered and the end is seen.
async fn listen(mut socket: WebSocket) {
    while let Ok(Some(_)) = socket.recv().await {}
}
