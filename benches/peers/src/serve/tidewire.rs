//! Ours: the plain loop, in every scenario; it batches by itself.

use std::{net::Ipv4Addr, num::NonZeroUsize};

use tidewire::{
    runtime::Workers,
    tls::ServerTls,
    ws::{Prepared, Server, ServerConfig, WebSocket},
};
use tokio::sync::broadcast;

use super::{Options, ROOM_CAPACITY};

/// Serves until killed.
pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let mut config = ServerConfig::new((Ipv4Addr::LOCALHOST, options.port).into());
    config.workers = Workers::PerCore(NonZeroUsize::MIN);
    if let (Some(cert), Some(key)) = (&options.cert, &options.key) {
        config.tls = Some(ServerTls::from_pem(cert, key)?);
    }
    let room = broadcast::Sender::new(ROOM_CAPACITY);
    let publishers = room.clone();
    let running = Server::new(config)
        .route("/", echo)
        .route("/publish", move |socket| {
            publish(socket, publishers.clone())
        })
        .route("/broadcast", move |socket| {
            receive(socket, room.subscribe())
        })
        .start()?;
    loop {
        // The server has its own thread; this one lives as long as the process.
        std::thread::park();
        debug_assert!(running.local_addr().port() != 0);
    }
}

async fn echo(mut socket: WebSocket) {
    while let Ok(Some(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            break;
        }
    }
}

async fn publish(mut socket: WebSocket, room: broadcast::Sender<Prepared>) {
    while let Ok(Some(message)) = socket.recv().await {
        // No receiver yet is no error.
        room.send(Prepared::binary(message.payload())).ok();
    }
}

async fn receive(mut socket: WebSocket, mut room: broadcast::Receiver<Prepared>) {
    loop {
        tokio::select! {
            biased;
            prepared = room.recv() => {
                let Ok(prepared) = prepared else { return };
                if socket.try_send_prepared(&prepared).is_err() {
                    return;
                }
                while let Ok(prepared) = room.try_recv() {
                    if socket.try_send_prepared(&prepared).is_err() {
                        return;
                    }
                }
                if socket.flush().await.is_err() {
                    return;
                }
            }
            message = socket.recv() => if !matches!(message, Ok(Some(_))) {
                return;
            },
        }
    }
}
