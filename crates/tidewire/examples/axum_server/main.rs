//! An axum router on a server of Tidewire: its limits, deadlines, TLS, reload and drain, and WebSockets on the same port.
//!
//! ```sh
//! cargo run -p tidewire --features http --example axum_server -- 127.0.0.1:8080
//! curl http://127.0.0.1:8080/hello/you
//! ```
//!
//! Requests for a WebSocket go to the routes of the WebSocket server, all others to the router, as it is.
#![forbid(unsafe_code)]

mod server;

use tidewire::ws::ServerConfig;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1);
    let address = address.unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let running = server::server(ServerConfig::new(address.parse()?)).start()?;
    #[expect(clippy::print_stdout, reason = "a program tells where it listens")]
    {
        let address = running.local_addr();
        println!("http://{address}/hello/you and ws://{address}/echo");
    }
    // A program that is asked to stop lets requests under way have their answers: `running.drain(within)`.
    std::future::pending().await
}
