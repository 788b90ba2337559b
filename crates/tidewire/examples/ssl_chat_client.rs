//! As `tcp_chat_client`, with TLS.
//!
//! ```sh
//! cargo run -p tidewire --example ssl_chat_client -- 127.0.0.1 2222 ca.pem server.example.com
//! ```
//!
//! Address, port, the authority's certificate and the name that the server's certificate has are positional.

mod console;
mod chat {
    pub(crate) mod client;
}

use std::error::Error;

use tidewire::{tcp::Client, tls::ClientTls};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = console::argument(1, "address", "127.0.0.1".to_owned());
    let port = console::argument(2, "port", 2222_u16);
    let ca = console::argument(3, "ca", "tools/certificates/ca.pem".to_owned());
    let name = console::argument(4, "name", "server.example.com".to_owned());
    console::say(format_args!("SSL server address: {address}"));
    console::say(format_args!("SSL server port: {port}\n"));
    let tls = ClientTls::builder()
        .ca_file(ca)
        .server_name(name)
        .alpn::<Vec<u8>>([])
        .build()?;
    chat::client::talk(Client::new(format!("{address}:{port}")).tls(tls), "SSL").await;
    Ok(())
}
