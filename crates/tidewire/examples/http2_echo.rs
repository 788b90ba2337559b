//! An echo server that speaks HTTP/1.1 and HTTP/2 (RFC 8441) at one port.
//!
//! `cargo run -p tidewire --features http2 --example http2_echo -- 127.0.0.1:9001 [CERT KEY]`
//!
//! Prints the address of `/echo`; port 0 picks one. With a certificate and its key in PEM form it
//! speaks TLS and browsers choose HTTP/2; without, HTTP/2 is for clients that begin with it.

#[tokio::main]
#[expect(clippy::print_stdout, reason = "tells whoever started it the address")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    use std::path::Path;
    use tidewire::ws::{Server, ServerConfig, WebSocket};

    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let address = arguments.first().map_or("127.0.0.1:9001", String::as_str);
    let mut config = ServerConfig::new(address.parse()?);
    config.http2 = true;
    let mut scheme = "ws";
    if let [_, certificate, key] = arguments.as_slice() {
        let (certificate, key) = (Path::new(certificate), Path::new(key));
        config.tls = Some(tidewire::tls::ServerTls::from_pem(certificate, key)?);
        scheme = "wss";
    }
    let server = Server::new(config)
        .route("/echo", |mut socket: WebSocket| async move {
            while let Ok(Some(message)) = socket.recv().await {
                if socket.send(message).await.is_err() {
                    break;
                }
            }
        })
        .start()?;
    println!("{scheme}://{}/echo", server.local_addr());
    // Runs until the standard input ends, as a child does with its parent, or is typed on.
    let mut line = String::new();
    tokio::task::spawn_blocking(move || std::io::stdin().read_line(&mut line)).await??;
    server.drain(std::time::Duration::from_secs(10)).await;
    Ok(())
}
