//! Ours, twice: the plain loop, and handlers that borrow. Both batch by themselves; broadcast is a
//! topic in both.

use std::{net::Ipv4Addr, num::NonZeroUsize};

use tidewire::{
    service::Workers,
    tls::ServerTls,
    ws::{
        Handler, Handlers, MessageRef, RunningServer, Server, ServerConfig, Session, Topic,
        WebSocket,
    },
};

use super::Options;

/// The plain loop; serves until killed.
pub(super) fn run_loop(options: &Options) -> anyhow::Result<()> {
    let topic = Topic::default();
    let publications = topic.clone();
    let server = Server::new(config(options)?)
        .route("/", echo)
        .route("/publish", move |socket: WebSocket| {
            publish(socket, publications.clone())
        })
        .route("/broadcast", move |socket: WebSocket| {
            receive(socket, topic.clone())
        });
    forever(&server.start()?)
}

/// Handlers; serves until killed.
pub(super) fn run_handlers(options: &Options) -> anyhow::Result<()> {
    let topic = Topic::default();
    let publications = topic.clone();
    let server = Server::new(config(options)?)
        .route("/", Handlers(|_: &_| Echo))
        .route(
            "/publish",
            Handlers(move |_: &_| Publish(publications.clone())),
        )
        .route("/broadcast", Handlers(move |_: &_| Receive(topic.clone())));
    forever(&server.start()?)
}

fn config(options: &Options) -> anyhow::Result<ServerConfig> {
    let mut config = ServerConfig::new((Ipv4Addr::LOCALHOST, options.port).into());
    config.workers = Workers::PerCore(NonZeroUsize::MIN);
    if let (Some(cert), Some(key)) = (&options.cert, &options.key) {
        config.tls = Some(ServerTls::from_pem(cert, key)?);
    }
    Ok(config)
}

/// The server has its own thread; this one lives as long as the process.
fn forever(server: &RunningServer) -> anyhow::Result<()> {
    loop {
        std::thread::park();
        anyhow::ensure!(server.local_addr().port() != 0, "it never ends by itself");
    }
}

async fn echo(mut socket: WebSocket) {
    while let Ok(Some(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            break;
        }
    }
}

async fn publish(mut socket: WebSocket, topic: Topic) {
    while let Ok(Some(message)) = socket.recv().await {
        topic.publish_binary(message.payload());
    }
}

async fn receive(mut socket: WebSocket, topic: Topic) {
    socket.join(&topic);
    while let Ok(Some(_)) = socket.recv().await {}
}

struct Echo;

impl Handler for Echo {
    fn message(&mut self, session: &mut Session<'_>, message: MessageRef<'_>) {
        // An error ends the connection by itself.
        session.send(message.kind(), message.payload()).ok();
    }
}

struct Publish(Topic);

impl Handler for Publish {
    fn message(&mut self, _: &mut Session<'_>, message: MessageRef<'_>) {
        self.0.publish_binary(message.payload());
    }
}

struct Receive(Topic);

impl Handler for Receive {
    fn opened(&mut self, session: &mut Session<'_>) {
        session.join(&self.0);
    }

    fn message(&mut self, _: &mut Session<'_>, _: MessageRef<'_>) {}
}
