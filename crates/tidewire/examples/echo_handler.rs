//! Echo in handler style, without an allocation per message:
//! `cargo run --example echo_handler -- 127.0.0.1:9001 --workers 2`.

#![expect(clippy::print_stdout, reason = "it says where it listens")]

mod arguments;

use tidewire::ws::{Handler, Handlers, MessageRef, Request, Server, Session};

struct Echo;

impl Handler for Echo {
    fn message(&mut self, session: &mut Session<'_>, message: MessageRef<'_>) {
        // Refused only once the connection is closing.
        session.send(message.kind(), message.payload()).ok();
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = arguments::server_config()?;
    let server = Server::new(config.clone())
        .route_any(Handlers(|_request: &Request| Echo))
        .start()?;
    println!("echo at {}", arguments::url(&config, server.local_addr()));
    std::future::pending().await
}
