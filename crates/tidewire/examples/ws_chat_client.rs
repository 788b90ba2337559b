//! A client of `ws_chat_server`, or of any server that sends and takes plain text.
//!
//! ```sh
//! cargo run -p tidewire --features http --example ws_chat_client -- [ADDRESS] [PORT]
//! ```
//!
//! What is typed is sent, `!` reconnects, an empty line stops it.

mod console;
mod ws_chat_line;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    ws_chat_line::run(("WebSocket", "ws", 8080), Ok).await
}
