//! Rounds over rivals: each scenario, each round, every rival in turn, each on a fresh server.

use std::{
    fmt::Write as _, fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::PathBuf,
    sync::Arc, time::Duration,
};

use anyhow::Context as _;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::{
    child::{self, Identity, Server},
    load::{self, Times, Tls},
    report::{Row, Table},
    scenario::{self, Scenario, Unit},
    serve::Rival,
};

/// Options of `run`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only scenarios whose name contains one of these (see `list`).
    #[arg(long, value_delimiter = ';')]
    only: Vec<String>,
    /// Built-in rivals; default: all.
    #[arg(long, value_delimiter = ',')]
    rivals: Vec<Rival>,
    /// Another server: NAME='command with {port}', and {cert}, {key} under --tls. May be repeated.
    #[arg(long = "rival", value_name = "NAME=COMMAND", value_parser = foreign)]
    foreign: Vec<Foreign>,
    #[command(flatten)]
    pace: Pace,
    /// Speak TLS 1.3.
    #[arg(long)]
    tls: bool,
    /// When built-in rivals collect answers before they write.
    #[arg(long, value_enum, default_value_t = Style::Auto)]
    style: Style,
    /// Write every round's figures to this file, one line each, separated by tabs.
    #[arg(long)]
    raw: Option<PathBuf>,
}

/// How often and how long is measured.
#[derive(clap::Args)]
pub(crate) struct Pace {
    /// Rounds; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of a measurement.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Seconds of load before it.
    #[arg(long, default_value_t = 0.3)]
    warm_up: f64,
    /// One short round each: does everything work?
    #[arg(long)]
    quick: bool,
}

impl Pace {
    /// Rounds, and the times of each.
    pub(crate) fn rounds(&self) -> (usize, Times) {
        if self.quick {
            let times = Times {
                warm_up: Duration::from_millis(50),
                measure: Duration::from_millis(200),
            };
            return (1, times);
        }
        let times = Times {
            warm_up: Duration::from_secs_f64(self.warm_up),
            measure: Duration::from_secs_f64(self.seconds),
        };
        (self.rounds, times)
    }
}

/// When built-in rivals collect answers before they write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Style {
    /// When several messages are in flight per connection.
    Auto,
    /// Never: the loop of the examples.
    Plain,
    /// Always.
    Batch,
}

/// A server that is not built in.
#[derive(Clone, Debug)]
struct Foreign {
    name: String,
    command: Vec<String>,
}

fn foreign(text: &str) -> Result<Foreign, String> {
    let (name, command) = text
        .split_once('=')
        .ok_or("expected NAME=COMMAND, as in uws='/tmp/uws {port}'")?;
    if !command.contains("{port}") {
        return Err("the command must say where {port} goes".to_owned());
    }
    Ok(Foreign {
        name: name.to_owned(),
        command: command.split_whitespace().map(str::to_owned).collect(),
    })
}

/// Measures and prints.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    child::pin_self()?;
    let folder = std::env::temp_dir().join(format!("peers-{}", std::process::id()));
    let identity = options.tls.then(|| identity(&folder)).transpose()?;
    let tls = identity.as_ref().map(client).transpose()?;
    let (rounds, times) = options.pace.rounds();
    let wanted = |scenario: &&Scenario| {
        let mut parts = options.only.iter();
        options.only.is_empty() || parts.any(|part| scenario.name.contains(part.as_str()))
    };
    let mut raw = String::new();
    let mut tables = [
        Unit::Messages,
        Unit::Deliveries,
        Unit::Handshakes,
        Unit::Connections,
    ]
    .map(Table::new);
    for scenario in scenario::ALL.iter().filter(wanted) {
        let rivals = rivals(options, *scenario)?;
        let mut row = Row::new(scenario.name, rivals.iter().map(|rival| rival.name.clone()));
        for round in 0..rounds {
            for turn in 0..rivals.len() {
                // Another one begins each time, so that none always follows the same neighbour.
                let index = (turn + round) % rivals.len();
                let rival = &rivals[index];
                let figure = Server::start(&rival.command, identity.as_ref())
                    .and_then(|server| load::round(&server, scenario.work, times, tls.as_ref()));
                match figure {
                    Ok(figure) => {
                        writeln!(
                            raw,
                            "{}\t{}\t{round}\t{:.0}\t{:.1}\t{:.3}",
                            scenario.name, rival.name, figure.rate, figure.cost, figure.busy
                        )?;
                        row.add(index, figure);
                    }
                    Err(error) => eprintln!("{}: {}: {error:#}", scenario.name, rival.name),
                }
            }
        }
        println!("{row}");
        for table in &mut tables {
            if table.unit() == scenario.work.unit() {
                table.add(row.clone());
            }
        }
    }
    for table in tables.iter().filter(|table| !table.is_empty()) {
        println!("{table}");
    }
    if let Some(path) = &options.raw {
        fs::write(path, raw).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if identity.is_some() {
        fs::remove_dir_all(&folder)?;
    }
    Ok(())
}

/// Everybody's command for a scenario, ours first.
fn rivals(options: &Options, scenario: Scenario) -> anyhow::Result<Vec<Foreign>> {
    let batch = match options.style {
        Style::Auto => scenario.work.pipelined(),
        Style::Plain => false,
        Style::Batch => true,
    };
    let program = std::env::current_exe()?.to_string_lossy().into_owned();
    let chosen = if options.rivals.is_empty() {
        Rival::all()
    } else {
        &options.rivals
    };
    let built_in = chosen
        .iter()
        .filter(|rival| !(options.tls && **rival == Rival::Floor))
        .filter(|rival| rival.is_of_bytes() == scenario.work.is_of_bytes())
        .map(|rival| {
            let name = rival.name();
            let mut command = vec![program.clone(), "serve".to_owned(), name.clone()];
            command.extend(["--port".to_owned(), "{port}".to_owned()]);
            if batch {
                command.push("--batch".to_owned());
            }
            if options.tls {
                command.extend(["--cert", "{cert}", "--key", "{key}"].map(str::to_owned));
            }
            Foreign { name, command }
        });
    Ok(built_in.chain(options.foreign.iter().cloned()).collect())
}

/// Makes a certificate for `localhost`, valid for this run.
fn identity(folder: &std::path::Path) -> anyhow::Result<Identity> {
    fs::create_dir_all(folder)?;
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let identity = Identity {
        certificate: folder.join("certificate.pem"),
        key: folder.join("key.pem"),
    };
    fs::write(&identity.certificate, made.cert.pem())?;
    // Only for its owner: servers rightly refuse a key that others can read.
    let mut key = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&identity.key)?;
    key.write_all(made.signing_key.serialize_pem().as_bytes())?;
    Ok(identity)
}

fn client(identity: &Identity) -> anyhow::Result<Tls> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&identity.certificate)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // Each handshake is a full one.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}
