//! The echo servers, each as its users write it: the plain receive/send loop.

use std::{io::Write as _, num::NonZeroUsize};

use clap::ValueEnum;
use futures_util::{SinkExt as _, StreamExt as _};
use tidewire::{
    runtime::Workers,
    ws::{Handler, Handlers, MessageRef, Request, Server, ServerConfig, Session, WebSocket},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Which library serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Library {
    /// Ours.
    Tidewire,
    /// Ours, in handler style.
    Handler,
    /// tokio-tungstenite: `next`, then `send` (which flushes), default settings.
    Tungstenite,
    /// No WebSocket at all: bytes read are written back as a fitting server frame would be.
    /// The floor under every library on tokio.
    Floor,
}

/// Options of `serve`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The library.
    library: Library,
}

/// Serves on a free port, printed as the first line, until killed.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match options.library {
        Library::Tidewire => {
            let mut config = ServerConfig::new(([127, 0, 0, 1], 0).into());
            config.workers = Workers::PerCore(NonZeroUsize::MIN);
            let server = Server::new(config).route("/", |mut socket: WebSocket| async move {
                while let Ok(Some(message)) = socket.recv().await {
                    if socket.send(message).await.is_err() {
                        break;
                    }
                }
            });
            let running = server.start()?;
            announce(running.local_addr().port())?;
            runtime.block_on(std::future::pending::<()>());
        }
        Library::Handler => {
            let mut config = ServerConfig::new(([127, 0, 0, 1], 0).into());
            config.workers = Workers::PerCore(NonZeroUsize::MIN);
            let server = Server::new(config).route("/", Handlers(|_: &Request| Echo));
            let running = server.start()?;
            announce(running.local_addr().port())?;
            runtime.block_on(std::future::pending::<()>());
        }
        Library::Tungstenite => runtime.block_on(tungstenite())?,
        Library::Floor => runtime.block_on(floor())?,
    }
    Ok(())
}

struct Echo;

impl Handler for Echo {
    fn message(&mut self, session: &mut Session<'_>, message: MessageRef<'_>) {
        session.send(message.kind(), message.payload()).ok();
    }
}

async fn tungstenite() -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    announce(listener.local_addr()?.port())?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
                return;
            };
            while let Some(Ok(message)) = socket.next().await {
                if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err()
                {
                    break;
                }
            }
        });
    }
}

async fn floor() -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    announce(listener.local_addr()?.port())?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let mut buffer = vec![0; 64 << 10];
            let mut request = stream.read(&mut buffer).await.unwrap_or(0) > 0;
            if request
                && stream
                    .write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
                    .await
                    .is_err()
            {
                request = false;
            }
            while request {
                let Ok(count @ 1..) = stream.read(&mut buffer).await else {
                    return;
                };
                // A server frame is four bytes shorter than the client frame it echoes; only the
                // number of bytes matters to the generator, and one frame per read is assumed.
                request = stream.write_all(&buffer[..count - 4]).await.is_ok();
            }
        });
    }
}

fn announce(port: u16) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{port}")?;
    out.flush()
}
