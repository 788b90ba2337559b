//! A chat: what somebody sends goes to everybody; `!` alone, which everybody sees too, ends its sender. What is typed
//! here goes to all as "(admin) …"; `!` restarts the server, an empty line stops it.
//!
//! ```sh
//! cargo run -p tidewire --example tcp_chat_server -- 1111
//! ```

mod console;
mod chat {
    pub(crate) mod server;
}

use std::error::Error;

use tidewire::tcp::ServerConfig;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = console::argument(1, "port", 1111_u16);
    console::say(format_args!("TCP server port: {port}\n"));
    let config = ServerConfig::new(([0, 0, 0, 0], port).into());
    chat::server::serve(config, "TCP").await
}
