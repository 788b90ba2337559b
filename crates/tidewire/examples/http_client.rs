//! Requests over HTTP that somebody types: `GET /api/cache?key=a`, `PUT /api/cache?key=a hello`.
//!
//! ```sh
//! cargo run -p tidewire --features http --example http_client -- [ADDRESS] [PORT]
//! ```
//!
//! `!` takes new connections, an empty line stops it.

mod console;
mod http_requests;

use tidewire::http::ClientConfig;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    http_requests::run(("HTTP", "http", 8080), ClientConfig::default()).await
}
