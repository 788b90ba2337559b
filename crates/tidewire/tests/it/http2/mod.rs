//! WebSockets over HTTP/2 (RFC 8441) over loopback sockets.

mod sockets; // our client against our server
mod limits; // streams, sessions, idle connections, slow readers
mod floods; // frames that carry nothing
mod server; // our server against a bare HTTP/2 client
mod client; // our client against a bare HTTP/2 server
#[cfg(feature = "tls")]
mod tls; // ALPN

use std::time::Duration;

use tidewire::ws::{
    Client, Http2Connection, Message, RunningServer, Server, ServerConfig, WebSocket,
};

use crate::server::{config, echo};

/// Only so that a test that hangs ends.
const HANG_GUARD: Duration = Duration::from_mins(1);

fn start_with(change: impl FnOnce(&mut ServerConfig)) -> RunningServer {
    let mut config = config();
    config.http2 = true;
    change(&mut config);
    server(config).start().unwrap()
}

/// Echoes at one path, never listens at another, leaves at once at a third.
fn server(config: ServerConfig) -> Server {
    Server::new(config)
        .route("/echo", echo)
        .route("/deaf", |socket: WebSocket| async move {
            std::future::pending::<()>().await;
            drop(socket);
        })
        .route("/abort", |socket: WebSocket| async move { drop(socket) })
}

fn start() -> RunningServer {
    start_with(|_config| {})
}

fn client(server: &RunningServer, path: &str) -> Client {
    Client::new(&format!("ws://{}{path}", server.local_addr())).unwrap()
}

async fn connect(server: &RunningServer) -> Http2Connection {
    client(server, "/").connect_http2().await.unwrap()
}

async fn echoes(socket: &mut WebSocket, message: impl Into<Message>) {
    let message = message.into();
    socket.send(message.clone()).await.unwrap();
    assert_eq!(within(socket.recv()).await.unwrap(), Some(message));
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG_GUARD, future)
        .await
        .expect("hangs")
}

async fn until(condition: impl Fn() -> bool) {
    within(async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
