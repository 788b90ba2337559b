//! As `tcp_chat_server`, with TLS.
//!
//! ```sh
//! cargo run -p tidewire --example ssl_chat_server -- 2222 server.pem key.pem
//! ```
//!
//! Port, certificate chain and key are positional; the files are those that the certificates' recipe makes, with the
//! passphrase `qwerty` if the key has one.

mod console;
mod chat {
    pub(crate) mod server;
}

use std::error::Error;

use tidewire::{
    tcp::ServerConfig,
    tls::{Identity, ServerTls},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = console::argument(1, "port", 2222_u16);
    let certificate =
        console::argument(2, "certificate", "tools/certificates/server.pem".to_owned());
    let key = console::argument(3, "key", certificate.clone());
    console::say(format_args!("SSL server port: {port}\n"));
    let identity = Identity::from_files(certificate, key)
        .passphrase("qwerty")
        .danger_allow_exposed_key_file();
    let tls = ServerTls::builder(identity).alpn::<Vec<u8>>([]).build()?;
    let config = ServerConfig::new(([0, 0, 0, 0], port).into()).tls(tls);
    chat::server::serve(config, "SSL").await
}
