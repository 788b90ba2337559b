//! Memory per idle messaging session of a real `tidewire serve`.

use std::path::PathBuf;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::child::MessagingServer;

/// Options of `idle`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Sessions, each of a user of its own. A process may hold 20 000 descriptors.
    #[arg(long, default_value_t = 15_000)]
    sessions: usize,
    /// The server's program.
    #[arg(long, default_value = "target/release/tidewire")]
    program: PathBuf,
}

/// Opens the sessions and prints what the server's resident memory grew by.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let config = "[server.keep_alive]\nping_interval = \"1h\"\n[log]\nlevel = \"warn\"\n";
    let server = MessagingServer::start(&options.program, "0,1", config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // The first sessions pay for what is shared: pools, shards, threads' caches.
        let mut sockets = Vec::with_capacity(options.sessions + 100);
        for id in 0..100 {
            sockets.push(open(server.port, id + 1_000_000).await?);
        }
        let before = server.resident_bytes()?;
        for id in 0..options.sessions {
            sockets.push(open(server.port, id + 1).await?);
        }
        let grown = server.resident_bytes()?.saturating_sub(before);
        println!(
            "{} idle messaging sessions: {} KiB resident before",
            options.sessions,
            before / 1024
        );
        println!(
            "{} bytes of resident memory per session",
            grown / options.sessions as u64
        );
        Ok(())
    })
}

async fn open(port: u16, id: usize) -> anyhow::Result<TcpStream> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!(
        "GET /chat?id={id} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await?;
    let mut answer = vec![0; 512];
    let count = socket.read(&mut answer).await?;
    anyhow::ensure!(
        answer[..count].starts_with(b"HTTP/1.1 101"),
        "handshake refused"
    );
    Ok(socket)
}
