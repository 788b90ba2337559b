//! As `http_client`, over TLS, to a server whose certificate is signed by the `ca.crt` that `tidewire certs` makes.
//!
//! ```sh
//! cargo run -p tidewire --features http --example https_client -- [ADDRESS] [PORT] [FOLDER OF CERTIFICATES]
//! ```

mod authority;
mod console;
mod http_requests;

use tidewire::http::ClientConfig;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = ClientConfig::default().tls(authority::client_tls()?);
    http_requests::run(("HTTPS", "https", 8443), config).await
}
