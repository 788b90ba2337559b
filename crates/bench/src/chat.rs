//! User-to-user messages through a real `tidewire serve`, durable and acknowledged.

use std::{
    ops::RangeInclusive,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tidewire::ws::{Message, WebSocket, connect};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout_at},
};

use crate::child::MessagingServer;

/// Options of `chat`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Users who send, each to receivers of its own.
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
    /// Users who get each message of a sender.
    #[arg(long, default_value_t = 1)]
    recipients: u64,
    /// Connections of each of them.
    #[arg(long, default_value_t = 1)]
    sessions: u64,
    /// The receivers are away: messages are stored. Each counts when its sender was told that
    /// it is on disk.
    #[arg(long)]
    offline: bool,
    /// One user more sends to an absent one, a message at a time: tells how long he waits until
    /// he is told that it is on disk.
    #[arg(long)]
    bystander: bool,
    /// The server's program.
    #[arg(long, default_value = "target/release/tidewire")]
    program: PathBuf,
}

/// Quotas out of the way; acceptance is told by the send-back copy.
const CONFIG: &str = "[server]\nworkers = 1\n[log]\nlevel = \"warn\"\n[mailbox]\nuser_messages_max = 10000000\n\
    user_bytes_max = \"4G\"\nmessages_max = 100000000\nbytes_max = \"64G\"\n\
    sender_messages_max = 100000000\nsender_bytes_max = \"64G\"\nsender_share_percent = 100\n";

/// Above the ids of all pairs.
const BYSTANDER: u64 = 1 << 40;

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
        "{} senders x {} in flight, {} B, to {} users x {} connections: median of {} rounds of {} s",
        options.pairs,
        options.in_flight,
        options.size,
        options.recipients,
        options.sessions,
        options.rounds,
        options.seconds
    );
    println!(
        "{:.0} deliveries/s {what}",
        median(figures.iter().map(|round| round.rate))
    );
    println!(
        "{:.2} us of the server's CPU per delivery",
        median(figures.iter().map(|round| round.cpu_micros))
    );
    if options.bystander {
        let part = |part: f64| median(figures.iter().map(|round| round.bystander_waits(part)));
        println!(
            "a bystander's commit: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
            part(0.5),
            part(0.99),
            part(1.0)
        );
    }
    Ok(())
}

struct Round {
    /// Deliveries per second.
    rate: f64,
    /// Of the server, per delivery.
    cpu_micros: f64,
    /// Milliseconds, rising.
    bystander: Vec<f64>,
}

impl Round {
    fn bystander_waits(&self, part: f64) -> f64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index into a list that fits into memory"
        )]
        let at = (self.bystander.len().saturating_sub(1) as f64 * part) as usize;
        self.bystander.get(at).copied().unwrap_or(f64::NAN)
    }
}

fn round(options: &Options) -> anyhow::Result<Round> {
    let config = format!("{CONFIG}[chat]\nsend_back = {}\n", options.offline);
    let server = MessagingServer::start(&options.program, "0", &config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let url = |query: String| format!("ws://127.0.0.1:{}/chat?id={query}", server.port);
        let mut senders = Vec::new();
        for pair in 0..options.pairs {
            let from = pair * (options.recipients + 1) + 1;
            let to = from + 1..=from + options.recipients;
            let sender = connect(&url(from.to_string())).await?;
            let mut receivers = Vec::new();
            if !options.offline {
                for user in to.clone() {
                    for _ in 0..options.sessions {
                        receivers.push(connect(&url(user.to_string())).await?);
                    }
                }
            }
            senders.push((sender, receivers, envelope(from, to, options.size)));
        }
        let bystander = if options.bystander {
            Some(connect(&url(format!("{BYSTANDER}&receipts=1"))).await?)
        } else {
            None
        };
        let (cpu, start) = (server.cpu_seconds()?, Instant::now());
        let end = start + Duration::from_secs(options.seconds);
        let mut tasks = Vec::new();
        for (sender, receivers, message) in senders {
            tasks.push(if options.offline {
                let recipients = options.recipients;
                tokio::spawn(offline(sender, message, options.in_flight, recipients, end))
            } else {
                tokio::spawn(online(sender, receivers, message, options.in_flight, end))
            });
        }
        let bystander = bystander.map(|socket| tokio::spawn(stand_by(socket, end)));
        let mut deliveries = 0.0;
        for task in tasks {
            deliveries += task.await??;
        }
        let elapsed = start.elapsed().as_secs_f64();
        Ok(Round {
            rate: deliveries / elapsed,
            cpu_micros: (server.cpu_seconds()? - cpu) * 1e6 / deliveries,
            bystander: match bystander {
                Some(task) => task.await??,
                None => Vec::new(),
            },
        })
    })
}

fn envelope(from: u64, to: RangeInclusive<u64>, size: usize) -> Message {
    let text = "x".repeat(size);
    let to: Vec<String> = to.map(|user| user.to_string()).collect();
    let to = to.join(",");
    format!(r#"{{"type":"text","sender":{from},"recipients":[{to}],"text":"{text}"}}"#).into()
}

/// The last receiver's arrival lets the sender go on. Returns how many arrived.
async fn online(
    mut sender: WebSocket,
    receivers: Vec<WebSocket>,
    message: Message,
    in_flight: usize,
    end: Instant,
) -> anyhow::Result<f64> {
    let room = Arc::new(Semaphore::new(in_flight));
    let each = receivers.len();
    let arrived = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for mut receiver in receivers {
        let (room, arrived) = (Arc::clone(&room), Arc::clone(&arrived));
        tasks.push(tokio::spawn(async move {
            while let Ok(received) = timeout_at(end.into(), receiver.recv()).await {
                anyhow::ensure!(received?.is_some(), "the server closed the connection");
                if (arrived.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(each) {
                    room.add_permits(1);
                }
            }
            room.close();
            Ok(())
        }));
    }
    while let Ok(permit) = room.acquire().await {
        permit.forget();
        sender.send(message.clone()).await?;
    }
    for task in tasks {
        task.await??;
    }
    let arrived = arrived.load(Ordering::Relaxed);
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    Ok(arrived as f64)
}

/// Sends one message at a time; returns how many milliseconds each took to be on disk, rising.
async fn stand_by(mut socket: WebSocket, end: Instant) -> anyhow::Result<Vec<f64>> {
    let message = envelope(BYSTANDER, BYSTANDER + 1..=BYSTANDER + 1, 100);
    let mut waits = Vec::new();
    while Instant::now() < end {
        let sent = Instant::now();
        socket.send(message.clone()).await?;
        let Some(Message::Text(text)) = socket.recv().await? else {
            anyhow::bail!("expected a receipt")
        };
        anyhow::ensure!(text.contains("notification_accepted"), "got {text}");
        waits.push(sent.elapsed().as_secs_f64() * 1e3);
        sleep(Duration::from_millis(2)).await;
    }
    waits.sort_by(f64::total_cmp);
    Ok(waits)
}

/// The send-back copy lets the sender go on. Returns how many deliveries are stored.
async fn offline(
    mut sender: WebSocket,
    message: Message,
    in_flight: usize,
    recipients: u64,
    end: Instant,
) -> anyhow::Result<f64> {
    for _ in 0..in_flight {
        sender.send(message.clone()).await?;
    }
    let mut count = 0_u64;
    while Instant::now() < end {
        let Some(Message::Text(text)) = sender.recv().await? else {
            anyhow::bail!("expected the copy")
        };
        anyhow::ensure!(!text.contains("notification_refused"), "refused: {text}");
        count += recipients;
        sender.send(message.clone()).await?;
    }
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    Ok(count as f64)
}

/// The middle value.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
