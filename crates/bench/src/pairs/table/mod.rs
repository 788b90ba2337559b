//! All scenarios of `CppServer`'s published table, server and client as processes on a core each, beside its figures; and
//! its programs in the same run, if they are there.
//!
//! Rates of different machines tell little. With `CppServer`'s programs beside ours every server is measured under the
//! same client, ours and the original, and the ratio is that of the messages that the servers handled per second of
//! their processor time: what the client could not ask for does not count.

mod child; // processes
mod published; // figures of the documentation

use std::{fmt::Write as _, io, path::PathBuf, process::ExitStatus, time::Duration};

use serde_json::{Value, json};

use self::published::{PUBLISHED, Published};
use super::{progress::Progress, scenario::Pair};
use crate::process::Usage;

/// How the table is made.
#[derive(Clone, Debug)]
pub struct TableSettings {
    /// Our program, of which `bench` is a command.
    pub program: PathBuf,
    /// The folder with `CppServer`'s programs.
    pub original: Option<PathBuf>,
    /// How long each scenario is measured, in each round.
    pub seconds: u64,
    /// Rounds; medians are told.
    pub rounds: usize,
    /// Scenarios whose names hold one of these; none: all.
    pub only: Vec<String>,
    /// The port of all servers; without it a free one for each.
    pub port: Option<u16>,
    /// The server's core; `None`: any.
    pub server_core: Option<usize>,
    /// The client's core; `None`: any.
    pub client_core: Option<usize>,
}

/// A table that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// A program does not start.
    #[error("{program} does not start; binding to a core needs taskset (util-linux)")]
    Spawn {
        /// Which.
        program: String,
        /// The error of the system.
        source: io::Error,
    },
    /// A server ended before it was ready.
    #[error("the server of {pair} ended with {status}")]
    Server {
        /// Of which pair.
        pair: Pair,
        /// How it ended.
        status: ExitStatus,
    },
    /// A client failed.
    #[error("the client of {pair} ended with {status}")]
    Client {
        /// Of which pair.
        pair: Pair,
        /// How it ended.
        status: ExitStatus,
    },
    /// A client did not end; it was killed.
    #[error("the client of {pair} did not end in time")]
    Silent {
        /// Of which pair.
        pair: Pair,
    },
    /// A client's report cannot be read.
    #[error("the client's report cannot be read: {0:?}")]
    Report(String),
    /// No scenario has such a name.
    #[error("no scenario has a name with {0}")]
    NoSuchScenario(String),
    /// A pipe failed.
    #[error("cannot talk to a process")]
    Pipe(#[from] io::Error),
}

/// The table.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Row>,
    has_original: bool,
}

/// A scenario.
#[derive(Clone, Debug)]
struct Row {
    published: Published,
    /// Our server under our client.
    ours: Option<Figures>,
    /// `CppServer`'s server under our client.
    original: Option<Figures>,
    /// Our server under `CppServer`'s client.
    ours_under_original: Option<Figures>,
    /// `CppServer`'s server under `CppServer`'s client.
    original_under_original: Option<Figures>,
    /// Errors, in words.
    errors: Vec<String>,
}

/// Medians of the rounds.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    /// Messages per second.
    rate: u64,
    /// Messages per second of the server's processor time.
    per_cpu_second: u64,
    /// Half of the round trips were shorter, in nanoseconds.
    p50: Option<u64>,
    /// 99 of 100 were.
    p99: Option<u64>,
    /// The server's memory in bytes.
    resident: u64,
}

/// Measures every scenario.
///
/// # Errors
/// [`TableError::NoSuchScenario`]. A scenario that fails is told in its row.
pub fn measure(settings: &TableSettings, progress: &mut dyn Progress) -> Result<Table, TableError> {
    let name = |row: &Published| name(row.pair, row.clients);
    for part in &settings.only {
        if !PUBLISHED.iter().any(|row| name(row).contains(part)) {
            return Err(TableError::NoSuchScenario(part.clone()));
        }
    }
    let is_wanted = |row: &&Published| {
        settings.only.is_empty() || settings.only.iter().any(|part| name(row).contains(part))
    };
    let rows = PUBLISHED.iter().filter(is_wanted).map(|published| {
        progress.say(&name(published));
        row(settings, *published)
    });
    Ok(Table {
        rows: rows.collect(),
        has_original: settings.original.is_some(),
    })
}

fn name(pair: Pair, clients: usize) -> String {
    format!("{pair}, {clients}")
}

/// Measures a scenario, its programs in turn, so that what else the machine does meets all alike.
fn row(settings: &TableSettings, published: Published) -> Row {
    let mut errors = Vec::new();
    let mut rounds: [Vec<Figures>; 4] = Default::default();
    for _ in 0..settings.rounds {
        for (figures, (server, client)) in rounds.iter_mut().zip(Program::PAIRS) {
            if settings.original.is_none() && (server, client) != Program::PAIRS[0] {
                continue;
            }
            match round(settings, published, server, client) {
                Ok(round) => figures.push(round),
                Err(error) => errors.push(format!("{server:?} server, {client:?} client: {error}")),
            }
        }
    }
    errors.sort();
    errors.dedup();
    let [ours, original, ours_under_original, original_under_original] =
        rounds.map(|rounds| median(&rounds));
    Row {
        published,
        ours,
        original,
        ours_under_original,
        original_under_original,
        errors,
    }
}

/// Whose program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Our,
    Original,
}

impl Program {
    /// Server and client.
    const PAIRS: [(Self, Self); 4] = [
        (Self::Our, Self::Our),
        (Self::Original, Self::Our),
        (Self::Our, Self::Original),
        (Self::Original, Self::Original),
    ];
}

fn round(
    settings: &TableSettings,
    published: Published,
    server: Program,
    client: Program,
) -> Result<Figures, TableError> {
    let Published { pair, clients, .. } = published;
    let folder = settings.original.clone().unwrap_or_default();
    let server = match server {
        Program::Our => child::Server::ours(settings, pair)?,
        Program::Original => child::Server::original(settings, &folder, pair)?,
    };
    let before = Usage::of(server.pid()).unwrap_or_default();
    let text = match client {
        Program::Our => child::our_client(settings, pair, clients, server.port)?,
        Program::Original => child::original_client(settings, &folder, pair, clients, server.port)?,
    };
    let used = Usage::of(server.pid()).unwrap_or_default().since(before);
    let figures = match client {
        Program::Our => of_json(&text),
        Program::Original => of_text(pair, &text),
    };
    let (messages, mut figures) = figures.ok_or(TableError::Report(text))?;
    figures.per_cpu_second = per_cpu_second(messages, used.cpu);
    figures.resident = used.resident;
    Ok(figures)
}

fn per_cpu_second(messages: u64, cpu: Duration) -> u64 {
    let nanos = cpu.as_nanos().max(1);
    u64::try_from(u128::from(messages) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
}

/// The number of messages, and figures, in the report of our client.
fn of_json(text: &str) -> Option<(u64, Figures)> {
    let report: Value = serde_json::from_str(text).ok()?;
    let round_trip = |name: &str| report["round_trip"][name].as_u64();
    let figures = Figures {
        rate: report["messages_per_second"].as_u64()?,
        p50: round_trip("p50_ns"),
        p99: round_trip("p99_ns"),
        ..Figures::default()
    };
    Some((report["messages"].as_u64()?, figures))
}

/// The same in the report of `CppServer`'s client.
fn of_text(pair: Pair, text: &str) -> Option<(u64, Figures)> {
    let value = |label: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(label))?;
        line.trim().trim_end_matches(" msg/s").parse::<u64>().ok()
    };
    if value("Errors:")? > 0 {
        return None;
    }
    // It divides bytes by 32, where an answer has 40.
    let true_count = |count: u64| {
        if pair.transport() == super::Transport::Proto {
            count * 32 / 40
        } else {
            count
        }
    };
    let figures = Figures {
        rate: value("Message throughput:")
            .map(true_count)
            .unwrap_or_default(),
        ..Figures::default()
    };
    Some((true_count(value("Total messages:")?), figures))
}

/// The middle of each figure.
fn median(rounds: &[Figures]) -> Option<Figures> {
    let middle = |value: &dyn Fn(&Figures) -> Option<u64>| {
        let mut values: Vec<u64> = rounds.iter().filter_map(value).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied()
    };
    Some(Figures {
        rate: middle(&|figures| Some(figures.rate))?,
        per_cpu_second: middle(&|figures| Some(figures.per_cpu_second))?,
        p50: middle(&|figures| figures.p50),
        p99: middle(&|figures| figures.p99),
        resident: middle(&|figures| Some(figures.resident))?,
    })
}

impl Table {
    /// As a table in Markdown.
    pub fn text(&self) -> String {
        let mut text = String::from(HEAD);
        for row in &self.rows {
            let Published {
                pair,
                clients,
                rate,
            } = row.published;
            let ours = row.ours.unwrap_or_default();
            let micros = |nanos: Option<u64>| nanos.map_or_else(|| "-".to_owned(), thousands);
            let line = format!(
                "| {} | {} | {} | {} | {} | {} | {} |\n",
                name(pair, clients),
                rate,
                ours.rate,
                ours.per_cpu_second,
                micros(ours.p50),
                micros(ours.p99),
                ours.resident / 1024,
            );
            text.push_str(&line);
        }
        if self.has_original {
            text.push_str(ORIGINAL_HEAD);
            for row in &self.rows {
                text.push_str(&row.beside_original());
            }
        }
        for row in &self.rows {
            for error in &row.errors {
                let name = name(row.published.pair, row.published.clients);
                writeln!(text, "\n{name}: {error}").expect("a string takes everything");
            }
        }
        text
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        let figures = |figures: Option<Figures>| {
            figures.map(|figures| {
                json!({
                    "messages_per_second": figures.rate,
                    "messages_per_cpu_second": figures.per_cpu_second,
                    "p50_ns": figures.p50,
                    "p99_ns": figures.p99,
                    "resident_bytes": figures.resident,
                })
            })
        };
        let rows = self.rows.iter().map(|row| {
            json!({
                "benchmark": row.published.pair.benchmark().name(),
                "transport": row.published.pair.transport().name(),
                "clients": row.published.clients,
                "published_messages_per_second": row.published.rate,
                "ours": figures(row.ours),
                "original": figures(row.original),
                "ours_under_original_client": figures(row.ours_under_original),
                "original_under_original_client": figures(row.original_under_original),
                "errors": row.errors,
            })
        });
        Value::Array(rows.collect())
    }

    /// Returns whether something failed.
    pub fn has_errors(&self) -> bool {
        self.rows.iter().any(|row| !row.errors.is_empty())
    }
}

impl Row {
    fn beside_original(&self) -> String {
        let per_cpu_second =
            |figures: Option<Figures>| figures.map(|figures| figures.per_cpu_second);
        let rate = |figures: Option<Figures>| figures.map(|figures| figures.rate);
        let shown =
            |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        let (ours, original) = (per_cpu_second(self.ours), per_cpu_second(self.original));
        let (ours_under, original_under) = (
            per_cpu_second(self.ours_under_original),
            per_cpu_second(self.original_under_original),
        );
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |\n",
            name(self.published.pair, self.published.clients),
            shown(ours),
            shown(original),
            ratio(ours, original),
            shown(ours_under),
            shown(original_under),
            ratio(ours_under, original_under),
            ratio(rate(self.ours), rate(self.original_under_original)),
        )
    }
}

const HEAD: &str = "| scenario, clients | CppServer's documentation, msg/s | here, msg/s | per CPU second of the server | p50, µs | p99, µs | server, KiB |\n\
                    |---|---:|---:|---:|---:|---:|---:|\n";

const ORIGINAL_HEAD: &str = "\nMessages per second of the server's processor time; the last column compares the rates of our two programs and \
     of the original's two.\n\n\
     | scenario, clients | ours, our client | original, our client | ratio | ours, its client | original, its client | ratio | both ends |\n\
     |---|---:|---:|---:|---:|---:|---:|---:|\n";

/// Nanoseconds as microseconds, to a tenth.
fn thousands(nanos: u64) -> String {
    format!("{}.{}", nanos / 1_000, nanos / 100 % 10)
}

/// To two digits.
fn ratio(ours: Option<u64>, original: Option<u64>) -> String {
    let hundredths = ours
        .zip(original)
        .and_then(|(ours, original)| (u128::from(ours) * 100).checked_div(original.into()));
    match hundredths {
        Some(hundredths) => format!("{}.{:02}", hundredths / 100, hundredths % 100),
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairs::{Benchmark, Transport};

    const TCP: Pair = Pair::of(Benchmark::Echo, Transport::Tcp);

    #[test]
    fn the_originals_report_is_read() {
        let text = "Errors: 0\n\nTotal time: 10.001 s\nTotal data: 1.692 GiB\nTotal messages: 56261685\n\
                    Data throughput: 171.693 MiB/s\nMessage latency: 177 ns\nMessage throughput: 5625528 msg/s\n";
        let (messages, figures) = of_text(TCP, text).expect("a report");
        assert_eq!((messages, figures.rate), (56_261_685, 5_625_528));
        let proto = Pair::of(Benchmark::Echo, Transport::Proto);
        let (messages, _) = of_text(proto, text).expect("a report");
        assert_eq!(messages, 45_009_348, "an answer has 40 bytes");
        assert!(of_text(TCP, "Killed").is_none());
    }

    #[test]
    fn a_median_is_the_middle_of_each_figure() {
        let round = |rate, p50| Figures {
            rate,
            p50,
            ..Figures::default()
        };
        let rounds = [round(3, Some(7)), round(1, None), round(2, Some(9))];
        let median = median(&rounds).expect("there are rounds");
        assert_eq!((median.rate, median.p50), (2, Some(9)));
    }

    #[test]
    fn a_row_shows_ratios_and_what_is_missing() {
        let figures = |per_cpu_second| Figures {
            rate: per_cpu_second / 2,
            per_cpu_second,
            ..Figures::default()
        };
        let table = Table {
            rows: vec![Row {
                published: PUBLISHED[0],
                ours: Some(figures(300)),
                original: Some(figures(200)),
                ours_under_original: None,
                original_under_original: Some(figures(100)),
                errors: vec!["no".to_owned()],
            }],
            has_original: true,
        };
        let text = table.text();
        assert!(
            text.contains("| tcp echo, 1 | 5625528 | 150 | 300 | - | - | 0 |\n"),
            "{text}"
        );
        assert!(
            text.contains("| tcp echo, 1 | 300 | 200 | 1.50 | - | 100 | - | 3.00 |\n"),
            "{text}"
        );
        assert!(text.ends_with("tcp echo, 1: no\n"), "{text}");
        assert!(table.has_errors());
    }
}
