//! TCP and TLS servers and clients over loopback, connections over streams in memory in virtual time.

#[cfg(feature = "blocking")]
mod clients;
mod connection;
mod cost;
mod server;
#[cfg(feature = "tls")]
mod transports;

use std::time::Duration;

use tidewire::{
    service::Workers,
    tcp::{Client, Connection, RunningServer, Server, ServerConfig},
};
use tokio::time::timeout;

/// Long enough for anything that happens at all.
pub(crate) const HANG: Duration = Duration::from_secs(30);

pub(crate) fn config() -> ServerConfig {
    ServerConfig::new("127.0.0.1:0".parse().unwrap()).workers(Workers::Pool)
}

/// Echoes what comes.
pub(crate) async fn echo(mut connection: Connection) {
    while let Ok(Some(bytes)) = connection.recv().await {
        if connection.send(bytes).await.is_err() {
            break;
        }
    }
}

pub(crate) fn echo_server() -> RunningServer {
    Server::new(config(), echo).start().unwrap()
}

pub(crate) async fn connect(server: &RunningServer) -> Connection {
    let connected = Client::to(server.local_addr()).connect().await;
    connected.unwrap()
}

/// Waits for something that happens soon.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(HANG, what).await.expect("it happens")
}

/// Waits until `is_so`.
pub(crate) async fn until(mut is_so: impl FnMut() -> bool) {
    soon(async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Receives `len` bytes.
pub(crate) async fn receive(connection: &mut Connection, len: usize) -> Vec<u8> {
    let received = soon(connection.recv_exact(len)).await;
    received.unwrap().unwrap_or_default().to_vec()
}
