//! wss, mutual TLS and unverified TLS with certificates made for the test.

pub(crate) mod authority; // a CA and what it signs
mod verified; // usual TLS: names, hosts, what the peers know of each other
mod mutual; // both sides verify
mod danger; // nobody verifies
mod keys; // private keys: passphrases, forms, file modes
mod reload; // files that change
mod handshake; // versions, ALPN, slow hellos
mod bad_certificates; // what is shown where both sides verify, wrong in one thing each
mod changed_hello; // hellos that were changed on their way
mod ending; // connections that end without a close frame

use std::time::Duration;

use tidewire::{
    tls::{ClientTls, ServerTls},
    ws::{Client, ConnectError, Message, Peer, RunningServer, Server, ServerConfig, WebSocket},
};
use tokio::sync::mpsc;

use crate::server::{config, echo};
pub(crate) use authority::Authority;
use authority::{clients_usage, servers_usage};
pub(crate) use handshake::connect_raw;

/// Only so that a test that hangs ends.
const HANG_GUARD: Duration = Duration::from_mins(1);

/// An echo server that tells who came.
struct Served {
    server: RunningServer,
    peers: mpsc::Receiver<Peer>,
}

impl Served {
    fn start(tls: ServerTls) -> Self {
        Self::start_with(tls, |_config| {})
    }

    fn start_with(tls: ServerTls, change: impl FnOnce(&mut ServerConfig)) -> Self {
        let mut config = config();
        config.tls = Some(tls);
        change(&mut config);
        let (sender, peers) = mpsc::channel(16);
        let serve = move |socket: WebSocket| {
            let sender = sender.clone();
            async move {
                sender.send(socket.peer().clone()).await.ok();
                echo(socket).await;
            }
        };
        let server = Server::new(config).route("/", serve).start().unwrap();
        Self { server, peers }
    }

    fn port(&self) -> u16 {
        self.server.local_addr().port()
    }

    /// Connects and makes sure that messages go both ways.
    async fn connect(&self, host: &str, tls: &ClientTls) -> Result<WebSocket, ConnectError> {
        let url = format!("wss://{host}:{}/", self.port());
        let mut socket = Client::new(&url)?.tls(tls.clone()).connect().await?;
        echoes(&mut socket).await;
        Ok(socket)
    }

    /// The next one that came in.
    async fn peer(&mut self) -> Peer {
        let peer = tokio::time::timeout(HANG_GUARD, self.peers.recv()).await;
        peer.unwrap().unwrap()
    }

    /// Connecting to localhost fails, and nobody got in.
    async fn refuses(&self, tls: &ClientTls, why: &str) {
        let opened = self.server.stats().opened;
        let error = self.connect("localhost", tls).await.expect_err(why);
        // TLS 1.3 clients learn of the server's refusal with their first read.
        assert!(
            matches!(error, ConnectError::Tls { .. } | ConnectError::Lost(_)),
            "{why}: {error:?}"
        );
        assert_eq!(self.server.stats().opened, opened, "{why}");
    }

    /// Waits until all connections have ended.
    async fn empty(&self) {
        let empty = async {
            while self.server.stats().connections > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(HANG_GUARD, empty).await.unwrap();
    }
}

async fn echoes(socket: &mut WebSocket) {
    socket.send("hello").await.unwrap();
    assert_eq!(socket.recv().await.unwrap(), Some(Message::text("hello")));
}
