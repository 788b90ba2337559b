//! A cache over HTTP, with a page that shows its API: `/api/index.html`.
//!
//! ```sh
//! cargo run -p tidewire --features http,http2 --example http_server -- [PORT] [WWW]
//! curl -X PUT --data hello 'http://localhost:8080/api/cache?key=a'
//! curl 'http://localhost:8080/api/cache?key=a'
//! ```
//!
//! `!` restarts the server, an empty line stops it.

mod cache_service;
mod console;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    cache_service::run(("HTTP", "http", 8080), Ok).await
}
