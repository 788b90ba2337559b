//! WebSockets of Tidewire on a route of axum: hyper reads the request and sends the answer, and the
//! connection behind it is ours.
//!
//! ```sh
//! cargo run -p tidewire --example axum_upgrade -- 127.0.0.1:9001
//! ```
#![forbid(unsafe_code)]

mod echo;

use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1);
    let address = address.unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = TcpListener::bind(address).await?;
    #[expect(clippy::print_stdout, reason = "a program tells where it listens")]
    {
        println!("ws://{}/echo", listener.local_addr()?);
    }
    axum::serve(listener, echo::router()).await
}
