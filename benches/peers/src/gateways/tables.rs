//! The rounds as tables in Markdown. Ratios are of medians, ours over theirs.

use std::fmt::Write as _;

use super::{Kind, Latencies, Scenario};
use crate::{
    load::Latency,
    report::{Row, Summary, median},
    scenario::Unit,
};

/// Each socket has a connection of its own.
pub(super) const PINNED: &str = "pinned, 200 x 1";

/// The same number of logical sockets.
pub(super) const MULTIPLEXED: &str = "mux, 10 x 20";

/// Whose ratios are told, if it was measured.
const OURS: &str = "tidewire";

/// What is done for a second of the proxy's CPU: messages, handshakes.
pub(super) fn work(names: &[&str], rows: &[(Scenario, Row)]) -> String {
    let rows = rows_of(rows, |unit| unit != Unit::Connections);
    let title = "thousands per second of the proxy's CPU (spread)";
    table(
        title,
        names,
        names_but_ours(names),
        &rows,
        per_second,
        |one| cell(per_second(one) / 1e3, 1, one),
    )
}

/// What a pair of idle connections costs.
pub(super) fn memory(names: &[&str], rows: &[(Scenario, Row)]) -> String {
    let rows = rows_of(rows, |unit| unit == Unit::Connections);
    let title = "bytes of resident memory per pair (spread)";
    table(
        title,
        names,
        names_but_ours(names),
        &rows,
        |one| one.cost,
        |one| cell(one.cost, 0, one),
    )
}

/// What the proxy takes as a whole.
pub(super) fn resident(names: &[&str], rows: &[(Scenario, Row)]) -> String {
    let rows = rows_of(rows, |_| true);
    let title = "MiB of resident memory at the end, connections open";
    let mebibytes = |one: Summary| format!("{:.1}", one.resident / f64::from(1 << 20));
    table(
        title,
        names,
        names_but_ours(names),
        &rows,
        |one| one.resident,
        mebibytes,
    )
}

/// Logical sockets against connections: the same messages, ours only.
pub(super) fn multiplexed(rows: &[Row]) -> String {
    let rows: Vec<_> = rows.iter().collect();
    let names = [MULTIPLEXED, PINNED];
    let title = "thousands of messages per second of the gateway's CPU (spread)";
    table(title, &names, &[PINNED], &rows, per_second, |one| {
        cell(per_second(one) / 1e3, 1, one)
    })
}

/// How long a message takes, and how much of that is the proxy.
pub(super) fn latency(measured: &Latencies) -> String {
    let of = |way: Option<Kind>, part: fn(&Latency) -> f64| {
        let found = measured.iter().find(|(one, _)| *one == way);
        found.map_or(f64::NAN, |(_, rounds)| median(rounds.iter().map(part)))
    };
    let mut text = String::new();
    for (way_of, rounds) in measured {
        if rounds.is_empty() {
            continue;
        }
        if text.is_empty() {
            text += "\n| µs there and back, 32 B, 1 x 1 | p50 (spread) | p99 | added p50 | added p99 |\n";
            text += "|---|---:|---:|---:|---:|\n";
        }
        let p50 = of(*way_of, |one| one.p50);
        let p99 = of(*way_of, |one| one.p99);
        let added = match way_of {
            None => "- | -".to_owned(),
            Some(_) => format!(
                "{:.1} | {:.1}",
                p50 - of(None, |one| one.p50),
                p99 - of(None, |one| one.p99)
            ),
        };
        let medians = rounds.iter().map(|one| one.p50);
        let high = medians.clone().fold(f64::MIN, f64::max);
        let low = medians.fold(f64::MAX, f64::min);
        let spread = (high - low) / p50 * 100.0;
        let name = way(*way_of);
        writeln!(
            text,
            "| {name} | {p50:.1} ({spread:.0} %) | {p99:.1} | {added} |"
        )
        .expect("a String takes everything");
    }
    text
}

/// What leads to the backend, for people.
pub(super) fn way(way: Option<Kind>) -> &'static str {
    way.map_or("directly", Kind::name)
}

fn rows_of(rows: &[(Scenario, Row)], wanted: impl Fn(Unit) -> bool) -> Vec<&Row> {
    let rows = rows.iter();
    let rows = rows.filter(|(scenario, _)| wanted(scenario.work.unit()));
    rows.map(|(_, row)| row).collect()
}

/// Everybody a ratio is told of: nobody, if ours was not measured.
fn names_but_ours<'a>(names: &'a [&'a str]) -> &'a [&'a str] {
    match names {
        [OURS, others @ ..] => others,
        _ => &[],
    }
}

/// A line per row: a cell per name, then the ratio of the first name to each of `others`.
fn table(
    title: &str,
    names: &[&str],
    others: &[&str],
    rows: &[&Row],
    value: impl Fn(Summary) -> f64,
    cell: impl Fn(Summary) -> String,
) -> String {
    if rows.is_empty() || names.is_empty() {
        return String::new();
    }
    let mut heads: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    heads.extend(others.iter().map(|other| format!("{} / {other}", names[0])));
    let columns = "---:|".repeat(heads.len());
    let mut text = format!("\n| {title} | {} |\n|---|{columns}\n", heads.join(" | "));
    for row in rows {
        let summaries = names.iter().map(|name| row.summary(name));
        let mut cells: Vec<_> = summaries
            .map(|one| one.map_or_else(|| "-".to_owned(), &cell))
            .collect();
        cells.extend(others.iter().map(|other| {
            match (row.summary(names[0]), row.summary(other)) {
                (Some(first), Some(second)) => format!("{:.2}", value(first) / value(second)),
                _ => "-".to_owned(),
            }
        }));
        writeln!(text, "| {} | {} |", row.scenario(), cells.join(" | "))
            .expect("a String takes everything");
    }
    text
}

/// Units per second of CPU.
fn per_second(one: Summary) -> f64 {
    1e9 / one.cost
}

fn cell(value: f64, digits: usize, one: Summary) -> String {
    format!("{value:.digits$} ({:.0} %)", one.spread * 100.0)
}
