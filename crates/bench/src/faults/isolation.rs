//! One backend after the other in trouble, and what the clients of all others notice.
//!
//! Each backend is left alone for a while, then brought into trouble for as long, then mended. Round trips of the other
//! endpoints' clients are measured in both phases; the figures are told, not judged. That nothing is lost, comes twice or
//! to somebody else is judged: messages begin with their endpoint's name, and its backend sends no others back.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::ensure;
use tokio::{
    sync::watch,
    task::{JoinSet, spawn_blocking},
    time::sleep,
};

use super::{
    channel::{Connector, DIALECTS},
    latency,
    pacer::{Notes, Pacer, Pulse},
    site::{self, Site},
    stage::{Fault, Place, Stage},
    wild::Behaviour,
};

/// Options of `isolation`.
#[derive(clap::Args)]
pub(super) struct Options {
    /// Of measuring without and with each fault, in all.
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// Endpoints, each with a backend, a mux socket, an `SMHandshake` client and a plain one.
    #[arg(long, default_value_t = 20)]
    endpoints: u16,
    /// From message to message of a client.
    #[arg(long, default_value_t = 0.02)]
    every: f64,
}

/// Between phases, so that what a phase has begun is over.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a flapping backend is away, and there.
const FLAP: Duration = Duration::from_millis(50);

/// A mended backend's clients must have echoes again within.
const MENDED_WITHIN: Duration = Duration::from_secs(40);

/// Runs everything and fails if anything was lost that must not be, or went astray.
pub(super) async fn run(options: &Options, program: &Path) -> anyhow::Result<()> {
    ensure!(options.endpoints > 1, "no endpoint is left untouched");
    let (sites, gateway) = site::start(program, options.endpoints.into())?;
    let stage = Arc::new(Stage::default());
    let mut clients = JoinSet::new();
    let (stop, stopped) = watch::channel(false);
    let mut pulses = vec![Vec::new(); sites.len()];
    let begun = Instant::now();
    let every = Duration::from_secs_f64(options.every);
    // Spread, so that they do not send all at once.
    let apart = every / 3 / u32::from(options.endpoints);
    let mut first = begun;
    for client in open(&gateway.url, &sites, &stage).await? {
        pulses[client.index].push(Arc::clone(&client.pulse));
        clients.spawn(client.run(first, every, stopped.clone()));
        first += apart;
    }
    sleep(Duration::from_secs(1)).await;
    let slot = Duration::from_secs_f64(options.seconds / 2.0) / u32::from(options.endpoints);
    for fault in Fault::ALL {
        for (victim, site) in sites.iter().enumerate() {
            let place = |is_bad| Place {
                fault,
                is_bad,
                victim,
            };
            stage.measure(place(false));
            sleep(slot).await;
            stage.pause();
            sleep(PAUSE).await;
            stage.measure(place(true));
            trouble(fault, site, slot).await?;
            stage.pause();
            mend(fault, site, &pulses[victim]).await?;
            sleep(PAUSE).await;
        }
    }
    let (cpu, resident) = gateway.cost()?;
    let share = cpu / begun.elapsed().as_secs_f64() * 100.0;
    stop.send_replace(true);
    let mut notes = DIALECTS.map(|_| Notes::new(sites.len()));
    while let Some(ended) = clients.join_next().await {
        let (dialect, more) = ended?;
        notes[dialect].add(more);
    }
    println!(
        "round trips of the {} untouched endpoints, ms; {:.1} s with each backend left alone and {:.1} s with it in trouble; p50 and p99 are the medians of the phases' own",
        sites.len() - 1,
        slot.as_secs_f64(),
        slot.as_secs_f64()
    );
    let is_clean = print(&notes, sites.len());
    println!(
        "the gateway: {share:.1} % of a core, {} MiB resident",
        resident >> 20
    );
    ensure!(is_clean, "a bad backend has hurt others");
    Ok(())
}

/// A mux connection with a socket to each endpoint, so that what happens to one would show at all others; and for each
/// endpoint an `SMHandshake` client and a plain one.
async fn open(url: &str, sites: &[Site], stage: &Arc<Stage>) -> anyhow::Result<Vec<Pacer>> {
    let mut clients = Vec::new();
    for dialect in 0..DIALECTS.len() {
        let connector = Connector::new(dialect, url).await?;
        for (index, site) in sites.iter().enumerate() {
            clients.push(Pacer {
                channel: connector.open(&format!("e{index}")).await?,
                connector: connector.clone(),
                dialect,
                index,
                outage: Arc::clone(&site.outage),
                stage: Arc::clone(stage),
                pulse: Arc::new(Pulse::default()),
                notes: Notes::new(sites.len()),
            });
        }
    }
    Ok(clients)
}

/// Lasts `slot`.
async fn trouble(fault: Fault, site: &Site, slot: Duration) -> anyhow::Result<()> {
    let until = Instant::now() + slot;
    let hurt = site.clone();
    match fault {
        Fault::Nothing => {}
        Fault::Kill => spawn_blocking(move || hurt.kill()).await?,
        Fault::Freeze => spawn_blocking(move || hurt.freeze()).await??,
        Fault::Flap => {
            while Instant::now() + 2 * FLAP < until {
                let site = hurt.clone();
                spawn_blocking(move || site.kill()).await?;
                sleep(FLAP).await;
                let site = hurt.clone();
                spawn_blocking(move || site.start_again(Behaviour::Echo)).await??;
                sleep(FLAP).await;
            }
        }
        Fault::Garbage => {
            spawn_blocking(move || {
                hurt.kill();
                hurt.start_again(Behaviour::Garbage)
            })
            .await??;
        }
    }
    sleep(until.saturating_duration_since(Instant::now())).await;
    Ok(())
}

/// Ends the trouble, and waits until all clients of the endpoint have echoes again.
async fn mend(fault: Fault, site: &Site, pulses: &[Arc<Pulse>]) -> anyhow::Result<()> {
    let hurt = site.clone();
    match fault {
        Fault::Nothing | Fault::Flap => {}
        Fault::Freeze => spawn_blocking(move || hurt.thaw()).await??,
        Fault::Kill => spawn_blocking(move || hurt.start_again(Behaviour::Echo)).await??,
        Fault::Garbage => {
            spawn_blocking(move || {
                hurt.kill();
                hurt.start_again(Behaviour::Echo)
            })
            .await??;
        }
    }
    let mended = Instant::now();
    while !pulses.iter().all(|pulse| pulse.is_newer(mended)) {
        ensure!(
            mended.elapsed() < MENDED_WITHIN,
            "a {} backend was mended, and its clients are still without echo",
            fault.name()
        );
        sleep(PAUSE).await;
    }
    Ok(())
}

/// A row for each fault and dialect; whether nothing was lost.
fn print(notes: &[Notes], clients: usize) -> bool {
    println!(
        "{:<9} {:<8} {:>7}  quiet: p50     p99  longest  trouble: p50  p99  longest  ratio: p50   p99",
        "fault", "", "trips"
    );
    for fault in Fault::ALL {
        for (name, notes) in DIALECTS.iter().zip(notes) {
            let of = |is_bad| {
                let place = Place {
                    fault,
                    is_bad,
                    victim: 0,
                };
                latency::median(&notes.latencies[place.index()])
            };
            let (quiet, bad) = (of(false), of(true));
            let ratio = |bad: Duration, quiet: Duration| bad.as_secs_f64() / quiet.as_secs_f64();
            println!(
                "{:<9} {name:<8} {:>7}       {quiet}         {bad}       {:>5.2} {:>5.2}",
                fault.name(),
                quiet.count + bad.count,
                ratio(bad.p50, quiet.p50),
                ratio(bad.p99, quiet.p99),
            );
        }
    }
    let mut is_clean = true;
    for (name, notes) in DIALECTS.iter().zip(notes) {
        let tally = &notes.tally;
        println!(
            "{name:<8} {clients} clients: {} sent, {} echoed, {} in doubt; {} sockets ended with their backend",
            tally.sent, tally.echoed, tally.in_doubt, notes.reopened
        );
        tally.print_faults();
        is_clean &= tally.is_clean();
    }
    is_clean
}
