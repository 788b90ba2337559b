//! User-to-user messages through a real `tidewire serve`, durable and acknowledged.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tidewire::ws::{Message, WebSocket, connect};
use tokio::sync::Semaphore;

use crate::child::MessagingServer;

/// Options of `chat`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Pairs of users; one sends, the other receives.
    #[arg(long, default_value_t = 100)]
    pairs: u64,
    /// Messages under way per pair.
    #[arg(long, default_value_t = 1)]
    in_flight: usize,
    /// Bytes of text per message.
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// Seconds per round.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Rounds; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The receivers are away: messages are stored. Each counts when its sender was told that
    /// it is on disk.
    #[arg(long)]
    offline: bool,
    /// The server's program.
    #[arg(long, default_value = "target/release/tidewire")]
    program: PathBuf,
}

/// Quotas out of the way; acceptance is told by the send-back copy.
const CONFIG: &str = "[server]\nworkers = 1\n[log]\nlevel = \"warn\"\n[mailbox]\nuser_messages_max = 10000000\n\
    user_bytes_max = \"4G\"\nmessages_max = 10000000\nbytes_max = \"16G\"\n";

/// Runs the rounds and prints the medians.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let mut figures = Vec::new();
    for _ in 0..options.rounds {
        figures.push(round(options)?);
    }
    let what = if options.offline {
        "stored, each fsynced before its sender is told"
    } else {
        "delivered"
    };
    println!(
        "{} pairs x {} in flight, {} B: median of {} rounds of {} s",
        options.pairs, options.in_flight, options.size, options.rounds, options.seconds
    );
    println!(
        "{:.0} msg/s {what}",
        median(figures.iter().map(|(rate, _)| *rate))
    );
    println!(
        "{:.1} us of the server's CPU per message",
        median(figures.iter().map(|(_, cpu)| *cpu))
    );
    Ok(())
}

fn round(options: &Options) -> anyhow::Result<(f64, f64)> {
    let config = format!("{CONFIG}[chat]\nsend_back = {}\n", options.offline);
    let server = MessagingServer::start(&options.program, "0", &config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut pairs = Vec::new();
        for pair in 0..options.pairs {
            let (from, to) = (2 * pair + 1, 2 * pair + 2);
            let sender = connect(&format!("ws://127.0.0.1:{}/chat?id={from}", server.port)).await?;
            let receiver = if options.offline {
                None
            } else {
                Some(connect(&format!("ws://127.0.0.1:{}/chat?id={to}", server.port)).await?)
            };
            pairs.push((sender, receiver, envelope(from, to, options.size)));
        }
        let (cpu, start) = (server.cpu_seconds()?, Instant::now());
        let end = start + Duration::from_secs(options.seconds);
        let mut tasks = Vec::new();
        for (sender, receiver, message) in pairs {
            tasks.push(match receiver {
                Some(receiver) => {
                    tokio::spawn(online(sender, receiver, message, options.in_flight, end))
                }
                None => tokio::spawn(offline(sender, message, options.in_flight, end)),
            });
        }
        let mut messages = 0.0;
        for task in tasks {
            messages += task.await??;
        }
        let elapsed = start.elapsed().as_secs_f64();
        Ok((
            messages / elapsed,
            (server.cpu_seconds()? - cpu) * 1e6 / messages,
        ))
    })
}

fn envelope(from: u64, to: u64, size: usize) -> Message {
    let text = "x".repeat(size);
    format!(r#"{{"type":"text","sender":{from},"recipients":[{to}],"text":"{text}"}}"#).into()
}

/// The receiver's arrival lets the sender go on.
async fn online(
    mut sender: WebSocket,
    mut receiver: WebSocket,
    message: Message,
    in_flight: usize,
    end: Instant,
) -> anyhow::Result<f64> {
    let room = Arc::new(Semaphore::new(in_flight));
    let arrivals = Arc::clone(&room);
    let counting = tokio::spawn(async move {
        let mut count = 0.0;
        while Instant::now() < end {
            anyhow::ensure!(
                receiver.recv().await?.is_some(),
                "the server closed the connection"
            );
            count += 1.0;
            arrivals.add_permits(1);
        }
        arrivals.close();
        Ok(count)
    });
    while let Ok(permit) = room.acquire().await {
        permit.forget();
        sender.send(message.clone()).await?;
    }
    counting.await?
}

/// The send-back copy lets the sender go on.
async fn offline(
    mut sender: WebSocket,
    message: Message,
    in_flight: usize,
    end: Instant,
) -> anyhow::Result<f64> {
    for _ in 0..in_flight {
        sender.send(message.clone()).await?;
    }
    let mut count = 0.0;
    while Instant::now() < end {
        let Some(Message::Text(text)) = sender.recv().await? else {
            anyhow::bail!("expected the copy")
        };
        anyhow::ensure!(!text.contains("notification_refused"), "refused: {text}");
        count += 1.0;
        sender.send(message.clone()).await?;
    }
    Ok(count)
}

/// The middle value.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
