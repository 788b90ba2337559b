//! A chat room with a page of its own: `http://localhost:8080/chat/index.html`.
//!
//! ```sh
//! cargo run -p tidewire --features http --example ws_chat_server -- [PORT] [WWW]
//! ```
//!
//! What is typed goes to everybody, `!` restarts the server, an empty line stops it.

mod console;
mod ws_chat_room;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    ws_chat_room::run(("WebSocket", "http", 8080), Ok).await
}
