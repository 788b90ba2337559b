//! Backends that are killed again and again, and what clients notice: no client's socket may be lost, no message come twice
//! or to somebody else, and only messages that a killed backend had taken may be missing.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{interval, sleep},
};

use super::{
    channel::{Connector, DIALECTS},
    client::Client,
    site::{self, Site},
    tally::Tally,
    wild::Behaviour,
};

/// Options of the kills.
#[derive(clap::Args)]
#[group(skip)]
pub(super) struct Options {
    /// How long backends are killed.
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// Clients: a third each over mux, `SMHandshake` and plain sockets.
    #[arg(long, default_value_t = 1000)]
    clients: usize,
    /// Endpoints, each with a backend.
    #[arg(long, default_value_t = 20)]
    endpoints: usize,
    /// From kill to kill.
    #[arg(long, default_value_t = 1.0)]
    kill_every: f64,
    /// From a kill to the start of the next backend at the same address.
    #[arg(long, default_value_t = 0.5)]
    down: f64,
    /// The wait of a client between an echo and its next message.
    #[arg(long, default_value_t = 0.1)]
    think: f64,
}

/// Runs everything and fails if anything was lost that must not be.
pub(super) async fn run(options: &Options, program: &Path) -> anyhow::Result<()> {
    let (sites, gateway) = site::start(program, options.endpoints)?;
    let (stop, stopped) = watch::channel(false);
    let mut clients = JoinSet::new();
    let mut counts = [0; DIALECTS.len()];
    for (dialect, client) in open(options, &gateway.url, &sites).await? {
        counts[dialect] += 1;
        let (think, stopped) = (Duration::from_secs_f64(options.think), stopped.clone());
        clients.spawn(async move { (dialect, client.run(think, stopped).await) });
    }
    let (cpu_before, _) = gateway.cost()?;
    let begun = Instant::now();
    let kills = kill(options, &sites).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let (cpu_after, resident) = gateway.cost()?;
    stop.send_replace(true);
    let mut tallies = DIALECTS.map(|_| Tally::default());
    while let Some(ended) = clients.join_next().await {
        let (dialect, tally) = ended?;
        tallies[dialect].add(tally);
    }
    println!("{kills} kills in {seconds:.1} s, {} endpoints", sites.len());
    let mut is_clean = true;
    for ((name, tally), count) in DIALECTS.iter().zip(&tallies).zip(counts) {
        tally.print(name, count);
        is_clean &= tally.is_clean();
    }
    println!(
        "the gateway: {:.1} % of a core, {} MiB resident",
        (cpu_after - cpu_before) / seconds * 100.0,
        resident >> 20
    );
    anyhow::ensure!(is_clean, "the gateway has lost or mixed up something");
    Ok(())
}

/// Clients in turn over the endpoints. A mux connection carries a socket to each endpoint, so that what happens to one backend
/// would show at all others.
async fn open(
    options: &Options,
    url: &str,
    sites: &[Site],
) -> anyhow::Result<Vec<(usize, Client)>> {
    let mut clients = Vec::new();
    let mut mux = None;
    for number in 0..options.clients {
        let index = number % sites.len();
        let endpoint = format!("e{index}");
        let dialect = number / sites.len() % DIALECTS.len();
        let connector = match (dialect, &mux) {
            (0, Some(connector)) if index > 0 => Connector::clone(connector),
            _ => Connector::new(dialect, url).await?,
        };
        let channel = connector.open(&endpoint).await?;
        if dialect == 0 {
            mux = Some(connector);
        }
        let outage = Arc::clone(&sites[index].outage);
        let mark = format!("{endpoint} c{number}");
        clients.push((dialect, Client::new(channel, outage, mark)));
    }
    Ok(clients)
}

/// Kills one backend after the other, and starts each again after a while. All are back at the end.
async fn kill(options: &Options, sites: &[Site]) -> anyhow::Result<u32> {
    let down = Duration::from_secs_f64(options.down);
    let mut ticks = interval(Duration::from_secs_f64(options.kill_every));
    let mut restarts = JoinSet::new();
    let begun = Instant::now();
    let mut kills = 0;
    for site in sites.iter().cycle() {
        ticks.tick().await;
        if begun.elapsed().as_secs_f64() >= options.seconds {
            break;
        }
        kills += 1;
        let site = site.clone();
        restarts.spawn(async move {
            let dying = site.clone();
            tokio::task::spawn_blocking(move || dying.kill()).await?;
            sleep(down).await;
            tokio::task::spawn_blocking(move || site.start_again(Behaviour::Echo)).await?
        });
    }
    while let Some(restarted) = restarts.join_next().await {
        restarted??;
    }
    Ok(kills)
}
