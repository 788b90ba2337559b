//! As `http_server`, over TLS, with the certificate that `tidewire certs`
//! makes in `certificates`.
//!
//! ```sh
//! tidewire certs
//! cargo run -p tidewire --features http,http2 --example https_server -- [PORT] [WWW] [FOLDER OF CERTIFICATES]
//! curl --cacert certificates/ca.crt https://localhost:8443/api/cache
//! ```

mod cache_service;
mod console;
mod server_certificate;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    cache_service::run(("HTTPS", "https", 8443), |config| {
        Ok(config.tls(server_certificate::server_tls()?))
    })
    .await
}
