//! Compares the core with tungstenite on random and mutated frame streams, and prints every
//! case for `compare.py`, which compares it with wsproto.
//!
//! In: `CASES SEED`. Out: a line per case: receiver, stream, what the core saw; the verdict on
//! stderr and in the exit code. Invariant: equal arguments give equal cases.
#![forbid(unsafe_code)]

mod cases; // streams from a seed
mod transcript; // what an implementation makes of a stream, as one line
mod tungstenite_side; // the stream given to tungstenite
mod differences; // the table of known and explained differences

use std::{
    collections::BTreeMap,
    io::{BufWriter, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;

use crate::{differences::Differences, transcript::Transcript};

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |name: &str| -> anyhow::Result<u64> {
        let text = arguments.next().context("expected CASES SEED")?;
        text.parse()
            .with_context(|| format!("{name} `{text}` is no number"))
    };
    let (cases, seed) = (number("CASES")?, number("SEED")?);
    let known = Differences::read("tungstenite")?;
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    let mut unexplained = 0_u64;
    let mut out = BufWriter::new(std::io::stdout().lock());
    for index in 0..cases {
        let case = cases::case(seed, index);
        let ours = Transcript::of_core(&case);
        writeln!(out, "{} {} {ours}", case.receiver_name(), case.hex())?;
        let theirs = tungstenite_side::transcript(&case);
        let Some(difference) = ours.difference(&theirs) else {
            continue;
        };
        let explained = known.explain(&difference);
        let count = found.entry(difference.clone()).or_default();
        *count += 1;
        if !explained {
            unexplained += 1;
            // A few of each kind tell enough.
            if *count <= 3 {
                eprintln!(
                    "tungstenite, case {index} of seed {seed}: {difference}\n  {} {}\n  ours   \
                     {ours}\n  theirs {theirs}",
                    case.receiver_name(),
                    case.hex()
                );
            }
        }
    }
    out.flush()?;
    eprintln!("tungstenite: {cases} cases, {unexplained} unexplained differences");
    for (difference, count) in found {
        let known = if known.explain(&difference) {
            "known"
        } else {
            "UNEXPLAINED"
        };
        eprintln!("  {count:>7} {difference} ({known})");
    }
    Ok(ExitCode::from(u8::from(unexplained > 0)))
}
