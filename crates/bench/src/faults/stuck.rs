//! One socket of a mux connection that is stuck both ways, and how fast the others go on.
//!
//! Its backend floods and reads nothing; its client sends and receives nothing. Phases with and without it take turns; the
//! figures are told, not judged. That the others' messages all come back, in order, is judged.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use tidewire::{
    mux::{self, LogicalSocket},
    ws::Message,
};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use super::{backend::Backend, gateway::Gateway, wild::Behaviour};

/// Options of `stuck`.
#[derive(clap::Args)]
pub(super) struct Options {
    /// Of measuring, half of it with the stuck socket.
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// Sockets that are not stuck.
    #[arg(long, default_value_t = 8)]
    others: usize,
    /// Messages each of them has under way.
    #[arg(long, default_value_t = 8)]
    under_way: usize,
    /// Bytes of a message.
    #[arg(long, default_value_t = 1024)]
    size: usize,
    /// Sockets that get stuck at the end, for the memory they take.
    #[arg(long, default_value_t = 100)]
    stuck: u32,
}

/// Pairs of phases.
const PAIRS: u32 = 10;

/// Until a stuck socket has filled its windows, and until one that was given up is forgotten.
const SETTLED: Duration = Duration::from_millis(200);

/// Bytes of a message to the stuck backend.
const LOAD: usize = 16 << 10;

/// The endpoints: one that echoes, one that is stuck.
const ECHO: &str = "e0";
const STUCK: &str = "e1";

/// Runs everything and fails if an echo was lost or out of order.
pub(super) async fn run(options: &Options, program: &Path) -> anyhow::Result<()> {
    let echo = Backend::start(ECHO, 0, Behaviour::Echo)?;
    let flood = Backend::start(STUCK, 0, Behaviour::Flood)?;
    let process = Gateway::start(program, &[echo.port, flood.port], "")?;
    let connection = mux::connect(&process.url).await?;
    let (stop, stopped) = watch::channel(false);
    let echoes = Arc::new(AtomicU64::new(0));
    let mut others = JoinSet::new();
    for number in 0..options.others {
        let socket = connection.endpoint(ECHO).await?;
        let talk = Talk {
            socket,
            mark: format!("{ECHO} c{number}"),
            size: options.size,
            echoes: Arc::clone(&echoes),
        };
        others.spawn(talk.run(options.under_way, stopped.clone()));
    }
    let slot = Duration::from_secs_f64(options.seconds / f64::from(2 * PAIRS));
    measure(&echoes, Duration::from_secs(1)).await; // warm
    let (_, before) = process.cost()?;
    let mut pairs = Vec::new();
    for number in 0..PAIRS {
        // Each comes first in every other pair, so that a drift of the machine favours neither.
        let (mut free, mut held) = (0.0, 0.0);
        for is_held in [number % 2 == 0, number % 2 != 0] {
            if is_held {
                let stuck = Stuck::open(&connection).await?;
                sleep(SETTLED).await;
                held = measure(&echoes, slot).await;
                drop(stuck);
            } else {
                free = measure(&echoes, slot).await;
            }
            sleep(SETTLED).await;
        }
        ensure!(others.try_join_next().is_none(), "a socket has ended");
        pairs.push((free, held));
    }
    print(&mut pairs, options);
    let (_, one) = process.cost()?;
    let mut stuck = Vec::new();
    for _ in 0..options.stuck {
        stuck.push(Stuck::open(&connection).await?);
    }
    sleep(10 * SETTLED).await;
    let (_, many) = process.cost()?;
    println!(
        "the gateway: {} KiB resident before, {} KiB after these phases; with {} stuck sockets {} KiB, {} KiB each",
        before >> 10,
        one >> 10,
        options.stuck,
        many >> 10,
        (many.saturating_sub(one) >> 10) / u64::from(options.stuck.max(1))
    );
    stop.send_replace(true);
    while let Some(ended) = others.join_next().await {
        ended??;
    }
    Ok(())
}

/// Echoes per second.
async fn measure(echoes: &AtomicU64, slot: Duration) -> f64 {
    let (begun, before) = (Instant::now(), echoes.load(Ordering::Relaxed));
    sleep(slot).await;
    let count = u32::try_from(echoes.load(Ordering::Relaxed) - before).unwrap_or(u32::MAX);
    f64::from(count) / begun.elapsed().as_secs_f64()
}

fn print(pairs: &mut [(f64, f64)], options: &Options) {
    let middle = |values: &mut dyn Iterator<Item = f64>| {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or_default();
        (at(values.len() / 2), at(0), at(values.len() - 1))
    };
    let (free, ..) = middle(&mut pairs.iter().map(|pair| pair.0));
    let (held, ..) = middle(&mut pairs.iter().map(|pair| pair.1));
    let (ratio, least, most) = middle(&mut pairs.iter().map(|pair| pair.1 / pair.0));
    println!(
        "{} sockets of one connection, {} messages of {} B under way on each: {free:.0} echoes/s, beside a stuck socket {held:.0} \
         (medians of {PAIRS}); ratio {ratio:.3}, from {least:.3} to {most:.3}",
        options.others, options.under_way, options.size
    );
}

/// A socket that is stuck both ways. Dropping it gives it up.
struct Stuck {
    _socket: LogicalSocket,
    sending: JoinHandle<()>,
}

impl Stuck {
    async fn open(connection: &mux::Gateway) -> anyhow::Result<Self> {
        let socket = connection.endpoint(STUCK).await?;
        let sender = socket.sender();
        let load = Message::binary(vec![0; LOAD]);
        let sending = tokio::spawn(async move { while sender.send(load.clone()).await.is_ok() {} });
        Ok(Self {
            _socket: socket,
            sending,
        })
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        self.sending.abort();
    }
}

/// One that keeps some messages under way and checks what comes back.
struct Talk {
    socket: LogicalSocket,
    mark: String,
    size: usize,
    echoes: Arc<AtomicU64>,
}

impl Talk {
    async fn run(mut self, under_way: usize, stop: watch::Receiver<bool>) -> anyhow::Result<()> {
        let (mut sent, mut echoed) = (0, 0);
        loop {
            let is_over = *stop.borrow();
            while !is_over && sent < echoed + under_way {
                self.socket.send(self.text(sent)).await?;
                sent += 1;
            }
            if echoed == sent {
                return Ok(());
            }
            let message = self.socket.recv().await?.context("the socket was closed")?;
            let expected = self.text(echoed);
            ensure!(
                message.as_text() == Some(&expected),
                "{} {echoed} is missing or out of order",
                self.mark
            );
            echoed += 1;
            self.echoes.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn text(&self, number: usize) -> String {
        let mut text = format!("{} {number} ", self.mark);
        let missing = self.size.saturating_sub(text.len());
        text.extend(std::iter::repeat_n('x', missing));
        text
    }
}
