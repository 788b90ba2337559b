//! Backends that are killed again and again behind a real `tidewire gateway`, and what its clients notice: no client's
//! socket may be lost, no message come twice or to somebody else, and only messages that a killed backend had taken may be
//! missing.

pub(crate) mod backend; // what is killed
mod gateway; // what is under test
mod channel; // a client's socket, in three dialects
mod weather; // what a client may know of its backend
mod client; // who sends and judges
mod tally; // what comes out

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{interval, sleep},
};

use self::{
    backend::Backend, channel::Channel, client::Client, gateway::Gateway, tally::Tally,
    weather::Weather,
};

/// Options of `faults`.
#[derive(clap::Args)]
pub(crate) struct Options {
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
    /// What a client waits between an echo and its next message.
    #[arg(long, default_value_t = 0.1)]
    think: f64,
    /// The gateway's program.
    #[arg(long, default_value = "target/release/tidewire")]
    program: PathBuf,
}

/// An endpoint's backend and what is known of it.
#[derive(Clone)]
struct Site {
    backend: Arc<Mutex<Backend>>,
    weather: Arc<Weather>,
}

/// The dialects, in the order of their tallies.
const DIALECTS: [&str; 3] = ["mux", "classic", "pinned"];

/// Runs everything and fails if anything was lost that must not be.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(kill_and_count(options))
}

async fn kill_and_count(options: &Options) -> anyhow::Result<()> {
    let mut sites = Vec::new();
    let mut ports = Vec::new();
    for _ in 0..options.endpoints {
        let backend = Backend::start(0)?;
        ports.push(backend.port);
        sites.push(Site {
            backend: Arc::new(Mutex::new(backend)),
            weather: Arc::default(),
        });
    }
    let gateway = Gateway::start(&options.program, &ports)?;
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
    for ((name, tally), count) in DIALECTS.iter().zip(&mut tallies).zip(counts) {
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
    let mut connection = None;
    for number in 0..options.clients {
        let index = number % sites.len();
        let endpoint = format!("e{index}");
        let dialect = number / sites.len() % DIALECTS.len();
        let channel = match dialect {
            0 => {
                if index == 0 || connection.is_none() {
                    connection = Some(tidewire::gateway::connect(url).await?);
                }
                let gateway = connection.as_ref().context("it was just opened")?;
                Channel::Mux(gateway.endpoint(endpoint.as_str()).await?)
            }
            1 => Channel::classic(url, &endpoint).await?,
            _ => Channel::pinned(url, &endpoint).await?,
        };
        let weather = Arc::clone(&sites[index].weather);
        let mark = format!("{endpoint} c{number}");
        clients.push((dialect, Client::new(channel, weather, mark)));
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
            tokio::task::spawn_blocking(move || site.start_again()).await?
        });
    }
    while let Some(restarted) = restarts.join_next().await {
        restarted??;
    }
    Ok(kills)
}

impl Site {
    fn kill(&self) {
        let mut backend = self.backend.lock().unwrap_or_else(PoisonError::into_inner);
        backend.kill();
        self.weather.killed();
    }

    fn start_again(&self) -> anyhow::Result<()> {
        let mut backend = self.backend.lock().unwrap_or_else(PoisonError::into_inner);
        *backend = Backend::start(backend.port)?;
        self.weather.back();
        Ok(())
    }
}
