//! Talks to `tcp_chat_server`: what is typed is sent, what comes is shown; `!` reconnects, an empty line stops. A lost
//! connection is made again after a second.
//!
//! ```sh
//! cargo run -p tidewire --example tcp_chat_client -- 127.0.0.1 1111
//! ```

mod console;
mod chat {
    pub(crate) mod client;
}

use tidewire::tcp::Client;

#[tokio::main]
async fn main() {
    let address = console::argument(1, "address", "127.0.0.1".to_owned());
    let port = console::argument(2, "port", 1111_u16);
    console::say(format_args!("TCP server address: {address}"));
    console::say(format_args!("TCP server port: {port}\n"));
    chat::client::talk(Client::new(format!("{address}:{port}")), "TCP").await;
}
