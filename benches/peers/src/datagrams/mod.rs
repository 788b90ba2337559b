//! UDP: our servers against bare loops of system calls.
//!
//! A server sends every datagram back, or to a multicast group. The generator keeps a number of datagrams under way per
//! socket and counts what comes back; what is lost it sends again after a while. All sockets hold as much as the system
//! allows, so that losses are rare.

mod load; // the generator
mod serve; // the servers

use clap::ValueEnum as _;

pub(crate) use serve::{Options as ServeOptions, run as serve};

use crate::{
    child::{self, Server},
    report::{Row, Table},
    run::Pace,
    scenario::Unit,
};

/// Options of `datagrams`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only scenarios whose name contains one of these.
    #[arg(long, value_delimiter = ';')]
    only: Vec<String>,
    /// Servers; default: all.
    #[arg(long, value_delimiter = ',')]
    rivals: Vec<serve::Rival>,
    #[command(flatten)]
    pace: Pace,
}

/// The work of a scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// Each socket keeps `in_flight` datagrams under way.
    Echo {
        sockets: usize,
        in_flight: usize,
        size: usize,
    },
    /// One publisher; each of the receivers is a member of the group.
    Multicast {
        receivers: usize,
        in_flight: usize,
        size: usize,
    },
}

const fn echo(sockets: usize, in_flight: usize, size: usize) -> Work {
    Work::Echo {
        sockets,
        in_flight,
        size,
    }
}

const fn multicast(receivers: usize, in_flight: usize, size: usize) -> Work {
    Work::Multicast {
        receivers,
        in_flight,
        size,
    }
}

const ALL: &[(&str, Work)] = &[
    ("udp echo 32 B, 1 x 1", echo(1, 1, 32)),
    ("udp echo 32 B, 1 x 64", echo(1, 64, 32)),
    ("udp echo 32 B, 1 x 1000", echo(1, 1000, 32)),
    ("udp echo 32 B, 100 x 1", echo(100, 1, 32)),
    ("udp echo 32 B, 100 x 10", echo(100, 10, 32)),
    ("udp echo 1200 B, 1 x 100", echo(1, 100, 1200)),
    ("udp multicast 32 B to 1", multicast(1, 100, 32)),
    ("udp multicast 32 B to 100", multicast(100, 20, 32)),
];

/// Measures and prints.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    child::pin_self()?;
    let (rounds, times) = options.pace.rounds();
    let rivals = match &options.rivals[..] {
        [] => serve::Rival::value_variants(),
        some => some,
    };
    let program = std::env::current_exe()?.to_string_lossy().into_owned();
    let name = |rival: &serve::Rival| {
        let value = rival.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    };
    let mut tables = [Table::new(Unit::Messages), Table::new(Unit::Deliveries)];
    for (scenario, work) in ALL {
        let mut parts = options.only.iter();
        if !options.only.is_empty() && !parts.any(|part| scenario.contains(part.as_str())) {
            continue;
        }
        let group = matches!(work, Work::Multicast { .. }).then_some(load::GROUP);
        let mut row = Row::new(scenario, rivals.iter().map(name));
        for round in 0..rounds {
            for turn in 0..rivals.len() {
                // Another one begins each time, so that none always follows the same neighbour.
                let index = (turn + round) % rivals.len();
                let mut command: Vec<String> =
                    [&program, "serve-datagrams"].map(str::to_owned).into();
                command.push(name(&rivals[index]));
                command.extend(["--port", "{port}"].map(str::to_owned));
                if let Some(group) = group {
                    command.extend(["--multicast".to_owned(), group.to_string()]);
                }
                let figure = Server::start(&command, None)
                    .and_then(|server| load::round(&server, *work, times));
                match figure {
                    Ok(figure) => row.add(index, figure),
                    Err(error) => eprintln!("{scenario}: {}: {error:#}", name(&rivals[index])),
                }
            }
        }
        println!("{row}");
        tables[usize::from(group.is_some())].add(row);
    }
    for table in tables.iter().filter(|table| !table.is_empty()) {
        println!("{table}");
    }
    Ok(())
}
