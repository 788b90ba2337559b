//! As `ws_chat_server`, over TLS, with the certificate that `tidewire certs` makes in `certificates`.
//!
//! ```sh
//! tidewire certs
//! cargo run -p tidewire --features http --example wss_chat_server -- [PORT] [WWW] [FOLDER OF CERTIFICATES]
//! ```

mod console;
mod server_certificate;
mod ws_chat_room;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    ws_chat_room::run(("WebSocket secure", "https", 8443), |config| {
        Ok(config.tls(server_certificate::server_tls()?))
    })
    .await
}
