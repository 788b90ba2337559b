//! Backends that do not do what a backend should, written to the bytes.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use tidewire::proto::handshake::accept_key;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// Largest request of the gateway.
const HEAD_MAX: usize = 16 << 10;

/// Bytes of a message of the flood.
const FLOOD: u16 = 16 << 10;

/// Messages of the flood: more than fits between a backend and a client who takes nothing, and so few that what is thrown
/// away when that client leaves does not show for long.
const FLOOD_MESSAGES: usize = 2048;

/// How long a connection of the flood is kept.
const FLOOD_KEPT: Duration = Duration::from_mins(10);

/// The behaviour of a backend towards its connections: a scenario picks it, the command line carries it to the child process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Behaviour {
    /// Sends every message back.
    Echo,
    /// Speaks neither HTTP nor WebSocket.
    Garbage,
    /// Sends far more than is taken, and reads nothing.
    Flood,
}

/// Serves until it is killed. Its port is the first line it prints.
pub(super) async fn serve(address: SocketAddr, behaviour: Behaviour) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await?;
    println!("{}", listener.local_addr()?.port());
    let mut count = 0_u64;
    loop {
        let (stream, _) = listener.accept().await?;
        count += 1;
        let speaks_http = behaviour == Behaviour::Flood || count.is_multiple_of(2);
        tokio::spawn(async move {
            // It ends when the gateway has had enough, which is what is wanted.
            drop(connection(stream, behaviour, speaks_http).await);
        });
    }
}

async fn connection(
    mut stream: TcpStream,
    behaviour: Behaviour,
    speaks_http: bool,
) -> anyhow::Result<()> {
    let head = head(&mut stream).await?;
    if !speaks_http {
        stream.write_all(&[0xa5; 4096]).await?;
        stream.read_to_end(&mut Vec::new()).await?;
        return Ok(());
    }
    stream.write_all(switching(&head)?.as_bytes()).await?;
    if behaviour == Behaviour::Flood {
        let [high, low] = FLOOD.to_be_bytes();
        let mut frame = vec![0x82, 126, high, low];
        frame.resize(frame.len() + usize::from(FLOOD), b'x');
        for _ in 0..FLOOD_MESSAGES {
            stream.write_all(&frame).await?;
        }
        // Reads nothing; the system tells that the other end has gone only to who asks.
        tokio::time::sleep(FLOOD_KEPT).await;
        return Ok(());
    }
    // Reserved bits, a reserved opcode, a mask where none may be.
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).await? > 0 {
        stream.write_all(&[0xfb; 512]).await?;
    }
    Ok(())
}

async fn head(stream: &mut TcpStream) -> anyhow::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_MAX {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8(head)?)
}

fn switching(head: &str) -> anyhow::Result<String> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let mut keys = fields.filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let (_, key) = keys.next().context("a request without a key")?;
    let accept = accept_key(key.trim().as_bytes());
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    ))
}
