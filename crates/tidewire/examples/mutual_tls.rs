//! A server that lets in only clients with a certificate of its authority, and tells them who
//! they are: `cargo run --example mutual_tls -- 127.0.0.1:8443 server.pem server.key ca.pem`.
//! New certificates in the same files are taken up without a restart.

#![expect(clippy::print_stdout, reason = "it says where it listens")]

use std::{env, time::Duration};

use tidewire::{
    tls::{Identity, ServerTls},
    ws::{Server, ServerConfig, WebSocket},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, certificate, key, clients] = arguments.as_slice() else {
        return Err("expected ADDRESS CERTIFICATE KEY CLIENT-CA".into());
    };
    let identity = Identity::from_files(certificate, key);
    let mut config = ServerConfig::new(address.parse()?);
    config.tls = Some(
        ServerTls::builder(identity)
            .client_ca_file(clients)
            .reload_every(Duration::from_mins(1))
            .build()?,
    );
    let server = Server::new(config).route_any(welcome).start()?;
    println!("wss://{}/", server.local_addr());
    std::future::pending().await
}

async fn welcome(mut socket: WebSocket) {
    let tls = socket.peer().tls.as_ref();
    let name = tls.and_then(|tls| tls.names().ok()??.common_name);
    let greeting = format!(
        "hello {}",
        name.as_deref().unwrap_or("client without a name")
    );
    if socket.send(greeting).await.is_ok() {
        while let Ok(Some(_)) = socket.recv().await {}
    }
}
