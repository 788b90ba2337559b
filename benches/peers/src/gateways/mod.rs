//! Our gateway against other proxies: one core, one thread, in front of one echo server.
//!
//! In: the programs, and the scenarios below. Out: tables in Markdown: work per second of the
//! proxy's CPU, memory, added latency, and what multiplexing saves. Each round starts a fresh
//! backend and a fresh proxy, the rivals in turn; generator and backend share the other core, so
//! that only costs mean something, never rates.

mod proxy; // the rivals, and one in front of a backend
mod tables; // what is printed

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use self::proxy::{Kind, Proxy};
use crate::{
    child,
    load::{self, Latency, Times},
    report::Row,
    run::Pace,
    scenario::{Kind as Payload, Scenario, Work, echo},
};

/// Options of `gateways`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Our program, a release build.
    #[arg(long, value_name = "PATH")]
    tidewire: PathBuf,
    /// `HAProxy`.
    #[arg(long, value_name = "PROGRAM", default_value = "haproxy")]
    haproxy: PathBuf,
    /// nginx.
    #[arg(long, value_name = "PROGRAM", default_value = "nginx")]
    nginx: PathBuf,
    /// Proxies; default: all that are installed.
    #[arg(long, value_delimiter = ',')]
    rivals: Vec<Kind>,
    /// Only scenarios whose name contains one of these (see `list`).
    #[arg(long, value_delimiter = ';')]
    only: Vec<String>,
    #[command(flatten)]
    pace: Pace,
}

/// What every proxy does.
const SCENARIOS: &[Scenario] = &[
    echo("echo 32 B, 1 x 1", 1, 1, 32, Payload::Binary),
    echo("echo 32 B, 100 x 1", 100, 1, 32, Payload::Binary),
    echo("echo 32 B, 100 x 64", 100, 64, 32, Payload::Binary),
    echo("echo 16 KiB, 8 x 16", 8, 16, 16 << 10, Payload::Binary),
    echo("echo 16 KiB, 100 x 1", 100, 1, 16 << 10, Payload::Binary),
    Scenario {
        name: "handshakes, 64 at once",
        work: Work::Handshakes { at_once: 64 },
    },
    idle("idle after one echo, 5000 pairs", 5000),
    idle("idle after one echo, 7000 pairs", 7000),
];

/// Size of the message whose way is timed.
const LATENCY_SIZE: usize = 32;

/// Name of the scenario that times it.
const LATENCY: &str = "latency 32 B, 1 x 1";

/// The same sockets pinned, each a connection, and multiplexed: ours only.
const MULTIPLEXED: &[(&str, usize)] = &[
    ("multiplexed 32 B, 10 x 20", 32),
    ("multiplexed 16 KiB, 10 x 20", 16 << 10),
];

/// Connections, and logical sockets on each.
const CARRIERS: (usize, usize) = (10, 20);

const fn idle(name: &'static str, connections: usize) -> Scenario {
    let work = Work::Idle {
        connections,
        echoes: 1,
    };
    Scenario { name, work }
}

/// Names of all scenarios.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    let shared = SCENARIOS.iter().map(|scenario| scenario.name);
    let ours = MULTIPLEXED.iter().map(|(name, _)| *name);
    shared.chain([LATENCY]).chain(ours)
}

/// Measures and prints.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    child::pin_self()?;
    let proxies = proxies(options)?;
    for proxy in &proxies {
        println!("{}: {}", proxy.kind.name(), proxy.version);
    }
    println!();
    let folder = Folder::create()?;
    let (rounds, times) = options.pace.rounds();
    let bench = Bench {
        options,
        folder: &folder.0,
        rounds,
        times,
    };
    let rows = bench.shared(&proxies)?;
    let latencies = bench.latencies(&proxies);
    let multiplexed = bench.multiplexed(&proxies);
    let names: Vec<_> = proxies.iter().map(|proxy| proxy.kind.name()).collect();
    print!("{}", tables::work(&names, &rows));
    print!("{}", tables::memory(&names, &rows));
    print!("{}", tables::resident(&names, &rows));
    print!("{}", tables::latency(&latencies));
    print!("{}", tables::multiplexed(&multiplexed));
    Ok(())
}

/// Those that are wanted and installed.
fn proxies(options: &Options) -> anyhow::Result<Vec<Proxy>> {
    let mut found = Vec::new();
    for kind in [Kind::Tidewire, Kind::Haproxy, Kind::Nginx] {
        if !options.rivals.is_empty() && !options.rivals.contains(&kind) {
            continue;
        }
        let program = match kind {
            Kind::Tidewire => &options.tidewire,
            Kind::Haproxy => &options.haproxy,
            Kind::Nginx => &options.nginx,
        };
        match Proxy::find(kind, program)? {
            Some(proxy) => found.push(proxy),
            None if kind == Kind::Tidewire => {
                anyhow::bail!("there is no program {}", program.display())
            }
            None => eprintln!("{} is not installed: left out", kind.name()),
        }
    }
    Ok(found)
}

/// Where configurations are written; removed on drop.
struct Folder(PathBuf);

impl Folder {
    fn create() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("peers-gateways-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{} is left behind: {error}", self.0.display());
        }
    }
}

/// Whose latencies were measured, round by round; `None` is the backend without any proxy.
type Latencies = Vec<(Option<Kind>, Vec<Latency>)>;

/// What the rounds have in common.
struct Bench<'a> {
    options: &'a Options,
    folder: &'a Path,
    rounds: usize,
    times: Times,
}

impl Bench<'_> {
    fn wanted(&self, name: &str) -> bool {
        let mut parts = self.options.only.iter();
        self.options.only.is_empty() || parts.any(|part| name.contains(part.as_str()))
    }

    /// The scenarios of all proxies.
    fn shared(&self, proxies: &[Proxy]) -> anyhow::Result<Vec<(Scenario, Row)>> {
        let pairs_max = proxy::pairs_max()?;
        let mut rows = Vec::new();
        for scenario in SCENARIOS.iter().filter(|it| self.wanted(it.name)) {
            if let Work::Idle { connections, .. } = scenario.work
                && (connections + load::IDLE_FIRST) as u64 > pairs_max
            {
                eprintln!(
                    "{}: descriptors suffice for {pairs_max} pairs only: left out",
                    scenario.name
                );
                continue;
            }
            let cases = proxies.iter().map(|proxy| Case {
                name: proxy.kind.name(),
                proxy,
                work: scenario.work,
            });
            let row = self.rounds(scenario.name, &cases.collect::<Vec<_>>());
            rows.push((*scenario, row));
        }
        Ok(rows)
    }

    /// Our logical sockets against as many pinned connections.
    fn multiplexed(&self, proxies: &[Proxy]) -> Vec<Row> {
        let ours = proxies.iter().find(|proxy| proxy.kind == Kind::Tidewire);
        let Some(proxy) = ours else {
            return Vec::new();
        };
        let (connections, streams) = CARRIERS;
        let wanted = MULTIPLEXED.iter().filter(|(name, _)| self.wanted(name));
        let rows = wanted.map(|(name, size)| {
            let pinned = Case {
                name: tables::PINNED,
                proxy,
                work: Work::Echo {
                    connections: connections * streams,
                    in_flight: 1,
                    size: *size,
                    kind: Payload::Binary,
                },
            };
            let multiplexed = Case {
                name: tables::MULTIPLEXED,
                proxy,
                work: Work::Multiplexed {
                    connections,
                    streams,
                    size: *size,
                },
            };
            self.rounds(name, &[pinned, multiplexed])
        });
        rows.collect()
    }

    /// All rounds of a scenario; a round that fails is told and does not count.
    fn rounds(&self, name: &'static str, cases: &[Case<'_>]) -> Row {
        let mut row = Row::new(name, cases.iter().map(|case| case.name.to_owned()));
        for index in turns(self.rounds, cases.len()) {
            let case = &cases[index];
            let figure = case
                .proxy
                .start(self.folder)
                .and_then(|pair| load::round(&pair.proxy, case.work, self.times, None));
            match figure {
                Ok(figure) => row.add(index, figure),
                Err(error) => eprintln!("{name}: {}: {error:#}", case.name),
            }
        }
        println!("{row}");
        row
    }

    /// One message at a time, with and without each proxy.
    fn latencies(&self, proxies: &[Proxy]) -> Latencies {
        if !self.wanted(LATENCY) {
            return Vec::new();
        }
        let ways = std::iter::once(None).chain(proxies.iter().map(Some));
        let ways: Vec<_> = ways.collect();
        let mut measured: Latencies = ways
            .iter()
            .map(|way| (way.map(|proxy| proxy.kind), Vec::new()))
            .collect();
        for index in turns(self.rounds, ways.len()) {
            let latency = match ways[index] {
                None => proxy::backend()
                    .and_then(|server| load::latency(server.address, LATENCY_SIZE, self.times)),
                Some(proxy) => proxy
                    .start(self.folder)
                    .and_then(|pair| load::latency(pair.proxy.address, LATENCY_SIZE, self.times)),
            };
            match latency {
                Ok(latency) => measured[index].1.push(latency),
                Err(error) => eprintln!("{LATENCY}: {}: {error:#}", tables::way(measured[index].0)),
            }
        }
        measured
    }
}

/// A proxy with its work.
struct Case<'a> {
    name: &'static str,
    proxy: &'a Proxy,
    work: Work,
}

/// Whose turn it is: all in each round, another one first each time, so that none always follows the
/// same neighbour.
fn turns(rounds: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..rounds).flat_map(move |round| (0..count).map(move |turn| (turn + round) % count))
}
