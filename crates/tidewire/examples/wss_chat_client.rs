//! As `ws_chat_client`, over TLS, to a server whose certificate is signed by the `ca.crt` that `tidewire certs` makes.
//!
//! ```sh
//! cargo run -p tidewire --features http --example wss_chat_client -- [ADDRESS] [PORT] [FOLDER OF CERTIFICATES]
//! ```

mod authority;
mod console;
mod ws_chat_line;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tls = authority::client_tls()?;
    ws_chat_line::run(("WebSocket secure", "wss", 8443), |client| {
        Ok(client.tls(tls.clone()))
    })
    .await
}
