//! A server behind a balancer on this machine that speaks the PROXY protocol; connections of
//! anybody else are refused: `cargo run --example behind_proxy -- 127.0.0.1:9001`.
//! A matching line of `haproxy.cfg`: `server ws 127.0.0.1:9001 send-proxy-v2`.

#![expect(clippy::print_stdout, reason = "it says where it listens")]

mod arguments;

use tidewire::ws::{ProxyProtocol, Server, WebSocket};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = arguments::server_config()?;
    config.proxy_protocol = ProxyProtocol::Required {
        trusted: vec!["127.0.0.0/8".parse()?, "::1/128".parse()?],
    };
    let server = Server::new(config.clone()).route_any(tell).start()?;
    println!("ask at {}", arguments::url(&config, server.local_addr()));
    std::future::pending().await
}

/// Answers with the client's address, as the balancer told it.
async fn tell(mut socket: WebSocket) {
    while let Ok(Some(_question)) = socket.recv().await {
        let address = socket.peer().client_address();
        let answer = address.map_or_else(|| "unknown".to_owned(), |address| address.to_string());
        if socket.send(answer).await.is_err() {
            break;
        }
    }
}
