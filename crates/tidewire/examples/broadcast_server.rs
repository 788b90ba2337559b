//! Every message goes to everybody, its sender too:
//! `cargo run --example broadcast_server -- 127.0.0.1:9001 --workers 2`.

#![expect(clippy::print_stdout, reason = "it says where it listens")]

mod arguments;

use tidewire::ws::{Handler, Handlers, Kind, MessageRef, Request, Server, Session, Topic};

struct Member {
    everybody: Topic,
}

impl Handler for Member {
    fn opened(&mut self, session: &mut Session<'_>) {
        session.join(&self.everybody);
    }

    fn message(&mut self, _session: &mut Session<'_>, message: MessageRef<'_>) {
        // Encoded once; all members send the same bytes.
        match message.kind() {
            Kind::Text => self
                .everybody
                .publish_text(message.as_text().unwrap_or_default()),
            Kind::Binary => self.everybody.publish_binary(message.payload()),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = arguments::server_config()?;
    let everybody = Topic::default();
    let server = Server::new(config.clone())
        .route_any(Handlers(move |_request: &Request| Member {
            everybody: everybody.clone(),
        }))
        .start()?;
    let url = arguments::url(&config, server.local_addr());
    println!("broadcast at {url}");
    std::future::pending().await
}
