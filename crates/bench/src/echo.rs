//! Echo throughput: `connections` × `in_flight` messages of `size` bytes, closed loop.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    child::{self, EchoServer},
    servers::Library,
};

/// Options of `echo`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Connections.
    #[arg(long, default_value_t = 100)]
    connections: usize,
    /// Messages under way per connection.
    #[arg(long, default_value_t = 1)]
    in_flight: usize,
    /// Payload bytes per message.
    #[arg(long, default_value_t = 32)]
    size: usize,
    /// Seconds per round.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Rounds; libraries take turns, the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// One round's result.
#[derive(Clone, Copy)]
struct Figure {
    per_second: f64,
    per_cpu_second: f64,
}

/// Runs all rounds and prints a table.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    child::pin_self(1)?;
    println!(
        "echo: {} connections x {} in flight, {} B binary, median of {} rounds of {} s",
        options.connections, options.in_flight, options.size, options.rounds, options.seconds
    );
    let libraries = [
        Library::Tidewire,
        Library::Handler,
        Library::Tungstenite,
        Library::Floor,
    ];
    // The floor assumes a frame per read.
    let libraries = if options.in_flight == 1 {
        &libraries[..]
    } else {
        &libraries[..3]
    };
    let mut figures = [const { Vec::new() }; 4];
    for _ in 0..options.rounds {
        for (library, figures) in libraries.iter().zip(&mut figures) {
            figures.push(round(*library, options)?);
        }
    }
    let medians = figures.map(|figures| Figure {
        per_second: median(figures.iter().map(|figure| figure.per_second)),
        per_cpu_second: median(figures.iter().map(|figure| figure.per_cpu_second)),
    });
    println!(
        "{:<14} {:>14} {:>14} {:>10}",
        "library", "msg/s", "msg/CPU s", "us CPU/msg"
    );
    for (library, figure) in libraries.iter().zip(&medians) {
        let name = format!("{library:?}").to_lowercase();
        println!(
            "{name:<14} {:>14.0} {:>14.0} {:>10.3}",
            figure.per_second,
            figure.per_cpu_second,
            1e6 / figure.per_cpu_second
        );
    }
    let [ours, _, theirs, _] = medians;
    println!(
        "ratio          {:>13.2}x {:>13.2}x",
        ours.per_second / theirs.per_second,
        ours.per_cpu_second / theirs.per_cpu_second
    );
    Ok(())
}

fn round(library: Library, options: &Options) -> anyhow::Result<Figure> {
    let server = EchoServer::start(library)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut sockets = Vec::new();
        for _ in 0..options.connections {
            sockets.push(open(server.port).await?);
        }
        let end = Instant::now() + Duration::from_secs(options.seconds);
        let before = (server.cpu_seconds()?, Instant::now());
        let mut tasks = Vec::new();
        for socket in sockets {
            tasks.push(tokio::spawn(exchange(
                socket,
                options.in_flight,
                options.size,
                end,
            )));
        }
        let mut messages = 0;
        for task in tasks {
            messages += task.await??;
        }
        let elapsed = before.1.elapsed().as_secs_f64();
        let cpu = server.cpu_seconds()? - before.0;
        #[expect(clippy::cast_precision_loss, reason = "a count for people")]
        let messages = messages as f64;
        Ok(Figure {
            per_second: messages / elapsed,
            per_cpu_second: messages / cpu,
        })
    })
}

/// Shakes hands by hand: the generator must cost less than a library would.
async fn open(port: u16) -> anyhow::Result<TcpStream> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
    socket.set_nodelay(true)?;
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    socket.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(socket.read_u8().await?);
    }
    anyhow::ensure!(answer.starts_with(b"HTTP/1.1 101"), "handshake failed");
    Ok(socket)
}

/// Keeps `in_flight` messages under way until `end`; returns how many came back.
async fn exchange(
    mut socket: TcpStream,
    in_flight: usize,
    size: usize,
    end: Instant,
) -> anyhow::Result<u64> {
    let key = [0x12, 0x34, 0x56, 0x78];
    let mut frame = vec![0x82];
    let mut reply_len = size + 2;
    match u8::try_from(size) {
        Ok(short) if short < 126 => frame.push(0x80 | short),
        _ => {
            frame.push(0x80 | 0x7e);
            frame.extend_from_slice(&u16::try_from(size)?.to_be_bytes());
            reply_len += 2;
        }
    }
    frame.extend_from_slice(&key);
    frame.extend((0..size).map(|i| b'x' ^ key[i % 4]));
    let all = frame.repeat(in_flight);
    socket.write_all(&all).await?;
    let mut buffer = vec![0; 256 << 10];
    let (mut received, mut returned) = (0_usize, 0_usize);
    while Instant::now() < end {
        let count = socket.read(&mut buffer).await?;
        anyhow::ensure!(count > 0, "the server closed the connection");
        received += count;
        // As many new messages as whole replies have come.
        let replies = received / reply_len - returned;
        if replies > 0 {
            returned += replies;
            socket.write_all(&all[..replies * frame.len()]).await?;
        }
    }
    Ok(returned as u64)
}

/// The middle value.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
