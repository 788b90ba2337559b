//! The ledger: users of all kinds talk through bad networks and a server that dies, and their
//! own books tell whether the promise was kept: *accepted = received + pending + expired*.
//!
//! In: a running `tidewire serve`, started here. Out: counts, and an error if anything that was
//! accepted is missing, came again after its proof, or came out of order. `docs/ledger.md` says
//! what is counted and what a failure means.

mod random; // choices that a seed repeats
mod pace; // how fast time runs
mod kind; // how clients behave
mod plan; // what happens to a connection
mod proxy; // who does it
mod frames; // bare frames
mod socket; // a connection, and what it proves
mod rest; // the REST API
mod book; // what was promised and what came
mod world; // what all clients share
mod user; // a user with a WebSocket
mod rest_user; // a user with REST
mod drain; // what is pending at the end
mod round; // all of it, once
mod report; // in a few lines

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use clap::ValueEnum as _;

use self::{kind::Kind, pace::Pace, plan::Fault};

/// Options of `ledger`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long users talk per seed.
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// Seeds; a round each. The instants at which things happen repeat, as far as the machine is as fast.
    #[arg(
        long = "seed",
        value_name = "SEED",
        value_delimiter = ',',
        default_value = "1"
    )]
    seeds: Vec<u64>,
    /// Users, in turn over the kinds of clients.
    #[arg(long, default_value_t = 48, value_parser = clap::value_parser!(u64).range(2..=10_000))]
    users: u64,
    /// Messages per second of a user who talks, to one to three others, at speed 1.
    #[arg(long, default_value_t = 4.0, value_parser = positive)]
    rate: f64,
    /// Kills the server (SIGKILL) at random instants and starts it again on the same data.
    #[arg(long)]
    kill: bool,
    /// Faults that the network has; all if not stated.
    #[arg(long, value_enum, value_delimiter = ',')]
    faults: Option<Vec<Fault>>,
    /// Leaves the network alone.
    #[arg(long, conflicts_with = "faults")]
    no_faults: bool,
    /// Kinds of clients; all if not stated.
    #[arg(long, value_enum, value_delimiter = ',')]
    clients: Option<Vec<Kind>>,
    /// How long stalls last, in seconds at speed 1.
    #[arg(long, value_name = "MIN-MAX", default_value = "1-20", value_parser = seconds)]
    stall: RangeInclusive<u64>,
    /// Messages that a mailbox may hold; more are refused. As good as no limit if not stated.
    #[arg(long, value_name = "MESSAGES", value_parser = clap::value_parser!(u32).range(10..))]
    mailbox: Option<u32>,
    /// Divides the times of the server (10 s for a pong), the network and the clients.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10))]
    speed: u32,
    /// The server's program.
    #[arg(long, value_name = "FILE", default_value = "target/release/tidewire")]
    server: PathBuf,
}

/// Runs a round per seed and fails if a promise was broken in any of them.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut broken = Vec::new();
    for &seed in &options.seeds {
        let killed = if options.kill { ", with kills" } else { "" };
        println!(
            "seed {seed}: {} users, {} messages/s each, {} s at speed {}{killed}",
            options.users, options.rate, options.seconds, options.speed
        );
        let round = runtime.block_on(round::run(options, seed))?;
        report::print(&round);
        if !round.balance.is_clean() {
            broken.push(seed);
        }
    }
    anyhow::ensure!(
        broken.is_empty(),
        "promises were broken with seeds {broken:?}; the same options and --seed repeat it"
    );
    Ok(())
}

impl Options {
    fn faults(&self) -> Vec<Fault> {
        match &self.faults {
            Some(faults) => faults.clone(),
            None if self.no_faults => Vec::new(),
            None => Fault::value_variants().to_vec(),
        }
    }

    /// From message to message of a user who talks.
    fn interval(&self) -> Duration {
        Pace::new(self.speed).of(Duration::from_secs_f64(1.0 / self.rate))
    }

    fn clients(&self) -> Vec<Kind> {
        let all = || Kind::value_variants().to_vec();
        self.clients.clone().unwrap_or_else(all)
    }
}

/// `MIN-MAX` in seconds, as milliseconds.
fn seconds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let expected = || format!("{text:?} is no range of seconds, expected one like 1-20");
    let (low, high) = text.split_once('-').ok_or_else(expected)?;
    let (low, high): (u64, u64) = match (low.parse(), high.parse()) {
        (Ok(low), Ok(high)) if low <= high && high <= 3600 => (low, high),
        _ => return Err(expected()),
    };
    Ok(low * 1000..=high * 1000)
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && rate <= 1000.0 => Ok(rate),
        _ => Err(format!(
            "{text:?} is no rate, expected a number above 0 and up to 1000"
        )),
    }
}
