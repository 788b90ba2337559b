//! What can be asked for, in the flags of `CppServer`'s programs.

use std::{
    env,
    num::{NonZeroU64, NonZeroUsize},
    path::PathBuf,
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use clap::Subcommand;
use tidewire_bench::pairs::{
    self, Benchmark, ClientSettings, IdentityFiles, Pair, ServerSettings, Transport,
    table::TableSettings,
};

use super::cores::Cores;
use crate::exit_codes::exit_codes;

/// Measure servers and clients of every transport, alone or against other programs
#[derive(Debug, clap::Args)]
#[command(after_help = concat!(
    "Start a server in one terminal and its client in another; either may be CppServer's program instead. A server stops ",
    "at an empty line or the end of its input; `!` restarts it. Certificates that nobody can verify are made at every ",
    "start unless --certificate and --key name others.\n\n",
    "EXAMPLES\n",
    "  tidewire bench echo --transport tcp server\n",
    "  tidewire bench echo --transport tcp client --clients 1 --threads 1\n",
    "  tidewire bench echo --transport ws client -c 100 -m 1000 -s 32 -z 10\n",
    "  tidewire bench echo --transport wss client --rate 20000 --json     latency at a given load\n",
    "  tidewire bench multicast --transport udp server -m 100000\n",
    "  tidewire bench multicast --transport udp client -a 239.255.0.1\n",
    "  tidewire bench trace --transport http client -p 80\n",
    "  tidewire bench --table --seconds 3 --rounds 3 --only echo --json   all echo scenarios, beside CppServer's figures\n",
    "  tidewire bench --table --original ./cppserver                      and its programs in turn with ours\n",
    "  sleep 60 | tidewire bench echo --transport tls server --cores 0      on one core, for a minute\n\n",
    exit_codes!()
))]
pub(crate) struct BenchArguments {
    #[command(subcommand)]
    command: Option<BenchCommand>,
    /// Run all scenarios, server and client on a core each, beside the published figures
    #[arg(long)]
    table: bool,
    #[command(flatten)]
    options: TableArguments,
}

#[derive(Debug, clap::Args)]
struct TableArguments {
    /// With --table: measure the original programs (cppserver-performance-...) in this folder in turn with ours
    #[arg(long, value_name = "FOLDER", requires = "table")]
    original: Option<PathBuf>,
    /// With --table: only scenarios whose names hold this, for example "ws echo"; may be repeated
    #[arg(long, value_name = "NAME", requires = "table")]
    only: Vec<String>,
    /// With --table: how long to measure each scenario, in each round
    #[arg(long, value_name = "SECONDS", requires = "table", default_value = "10")]
    seconds: NonZeroU64,
    /// With --table: how often to measure each; medians are shown
    #[arg(long, value_name = "COUNT", requires = "table", default_value = "1")]
    rounds: NonZeroUsize,
    /// With --table: print it as JSON
    #[arg(long, requires = "table")]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Messages there and back: tcp, tls, udp, proto, ws, wss
    Echo {
        /// What to speak
        #[arg(long, global = true, value_name = "NAME", default_value = "tcp", value_parser = transport)]
        transport: Transport,
        #[command(subcommand)]
        side: EchoSide,
    },
    /// Messages from the server to all clients: tcp, tls, udp, ws, wss
    Multicast {
        /// What to speak
        #[arg(long, global = true, value_name = "NAME", default_value = "tcp", value_parser = transport)]
        transport: Transport,
        #[command(subcommand)]
        side: MulticastSide,
    },
    /// TRACE requests and their answers: http, https
    Trace {
        /// What to speak
        #[arg(long, global = true, value_name = "NAME", default_value = "http", value_parser = transport)]
        transport: Transport,
        #[command(subcommand)]
        side: TraceSide,
    },
}

#[derive(Debug, Subcommand)]
enum EchoSide {
    /// Sends back what clients send
    Server(ServerArguments),
    /// Sends messages, and the next for each that comes back
    Client {
        /// Messages that each client has under way
        #[arg(short, long, value_name = "COUNT", default_value = "1000")]
        messages: NonZeroUsize,
        /// Bytes of a message
        #[arg(short, long, value_name = "BYTES", default_value = "32")]
        size: NonZeroUsize,
        /// Messages per second of all clients together, answered or not, instead of -m
        #[arg(long, value_name = "RATE")]
        rate: Option<NonZeroU64>,
        #[command(flatten)]
        client: ClientArguments,
    },
}

#[derive(Debug, Subcommand)]
enum MulticastSide {
    /// Sends messages to all clients
    Server {
        /// Messages to send per second
        #[arg(short, long, value_name = "RATE", default_value = "1000000")]
        messages: NonZeroU64,
        /// Bytes of a message
        #[arg(short, long, value_name = "BYTES", default_value = "32")]
        size: NonZeroUsize,
        #[command(flatten)]
        server: ServerArguments,
    },
    /// Counts what comes
    Client {
        /// Bytes of a message
        #[arg(short, long, value_name = "BYTES", default_value = "32")]
        size: NonZeroUsize,
        #[command(flatten)]
        client: ClientArguments,
    },
}

#[derive(Debug, Subcommand)]
enum TraceSide {
    /// Answers requests with what it received
    Server(ServerArguments),
    /// Sends requests, and the next for each answer
    Client {
        /// Requests that each client has under way
        #[arg(short, long, value_name = "COUNT", default_value = "1")]
        messages: NonZeroUsize,
        /// Requests per second of all clients together, instead of -m
        #[arg(long, value_name = "RATE")]
        rate: Option<NonZeroU64>,
        #[command(flatten)]
        client: ClientArguments,
    },
}

#[derive(Debug, clap::Args)]
struct ServerArguments {
    /// The address to listen on, by default 127.0.0.1; for udp multicast the group, by default 239.255.0.1
    #[arg(short, long, value_name = "ADDRESS")]
    address: Option<String>,
    /// The port; 0 picks one. Default: tcp 1111, tls 2222, udp 3333, proto 4444, ws and http 8080, wss and https 8443
    #[arg(short, long, value_name = "PORT")]
    port: Option<u16>,
    /// Threads, by default one per physical core
    #[arg(short, long, value_name = "COUNT")]
    threads: Option<NonZeroUsize>,
    /// For udp multicast the interface, a name or an address that it has; by default nothing leaves the machine
    #[arg(long, value_name = "INTERFACE", default_value = "127.0.0.1")]
    interface: String,
    /// The certificate chain to show (PEM)
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// Opens an encrypted key; seen by all users of the machine, so for test certificates only
    #[arg(long, value_name = "TEXT", requires = "key")]
    passphrase: Option<String>,
    /// Run on these cores only, for example 0 or 0,2-3
    #[arg(long, value_name = "LIST")]
    cores: Option<Cores>,
}

#[derive(Debug, clap::Args)]
struct ClientArguments {
    /// Where the server is, by default 127.0.0.1; for udp multicast the group, by default 239.255.0.1
    #[arg(short, long, value_name = "ADDRESS")]
    address: Option<String>,
    /// The server's port. Default: tcp 1111, tls 2222, udp 3333, proto 4444, ws and http 8080, wss and https 8443
    #[arg(short, long, value_name = "PORT")]
    port: Option<u16>,
    /// Threads, by default one per physical core
    #[arg(short, long, value_name = "COUNT")]
    threads: Option<NonZeroUsize>,
    /// Clients
    #[arg(short, long, value_name = "COUNT", default_value = "100")]
    clients: NonZeroUsize,
    /// How long to measure
    #[arg(short = 'z', long, value_name = "SECONDS", default_value = "10")]
    seconds: NonZeroU64,
    /// End as soon as all clients together have received so many messages
    #[arg(long, value_name = "COUNT")]
    messages_total: Option<NonZeroU64>,
    /// Give up when the server cannot be reached, or sends nothing, for so many seconds
    #[arg(long, value_name = "SECONDS", default_value = "5")]
    timeout: NonZeroU64,
    /// For udp multicast the interface, a name or an address that it has; by default nothing leaves the machine
    #[arg(long, value_name = "INTERFACE", default_value = "127.0.0.1")]
    interface: String,
    /// Verify the server's certificate against the authorities in this PEM file; without it nobody verifies
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Run on these cores only, for example 0 or 0,2-3
    #[arg(long, value_name = "LIST")]
    cores: Option<Cores>,
    /// Print the result as JSON, and nothing else
    #[arg(long)]
    json: bool,
}

/// The form of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientOutput {
    /// For people, with the steps before it.
    Text,
    /// For programs.
    Json,
}

/// What was asked for.
#[derive(Debug)]
pub(super) enum Work {
    /// To serve.
    Server {
        settings: ServerSettings,
        cores: Cores,
    },
    /// To measure.
    Client {
        settings: ClientSettings,
        cores: Cores,
        output: ClientOutput,
    },
    /// To measure everything.
    Table {
        settings: TableSettings,
        output: ClientOutput,
    },
}

impl BenchArguments {
    /// What was asked for, checked.
    ///
    /// # Errors
    /// What does not go together.
    pub(super) fn work(&self) -> anyhow::Result<Work> {
        let Some(command) = &self.command else {
            ensure!(self.table, "expected echo, multicast, trace or --table");
            return self.options.work();
        };
        ensure!(
            !self.table,
            "--table runs all scenarios and takes no command"
        );
        match command {
            BenchCommand::Echo { transport, side } => {
                let pair = Pair::new(Benchmark::Echo, *transport)?;
                match side {
                    EchoSide::Server(server) => server.work(pair, None),
                    EchoSide::Client {
                        messages,
                        size,
                        rate,
                        client,
                    } => client.work(pair, Some(*messages), Some(*size), *rate),
                }
            }
            BenchCommand::Multicast { transport, side } => {
                let pair = Pair::new(Benchmark::Multicast, *transport)?;
                match side {
                    MulticastSide::Server {
                        messages,
                        size,
                        server,
                    } => server.work(pair, Some((*messages, *size))),
                    MulticastSide::Client { size, client } => {
                        client.work(pair, None, Some(*size), None)
                    }
                }
            }
            BenchCommand::Trace { transport, side } => {
                let pair = Pair::new(Benchmark::Trace, *transport)?;
                match side {
                    TraceSide::Server(server) => server.work(pair, None),
                    TraceSide::Client {
                        messages,
                        rate,
                        client,
                    } => client.work(pair, Some(*messages), None, *rate),
                }
            }
        }
    }
}

impl TableArguments {
    fn work(&self) -> anyhow::Result<Work> {
        // With a single core there is nothing to choose.
        let has_two = thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
        let original = match &self.original {
            // Its programs run in their folder.
            Some(folder) => Some(
                folder
                    .canonicalize()
                    .context("cannot find CppServer's programs")?,
            ),
            None => None,
        };
        Ok(Work::Table {
            settings: TableSettings {
                program: env::current_exe().context("cannot find this program")?,
                original,
                seconds: self.seconds.get(),
                rounds: self.rounds.get(),
                only: self.only.clone(),
                port: None,
                server_core: has_two.then_some(0),
                client_core: has_two.then_some(1),
            },
            output: output(self.json),
        })
    }
}

impl ServerArguments {
    fn work(&self, pair: Pair, load: Option<(NonZeroU64, NonZeroUsize)>) -> anyhow::Result<Work> {
        let (certificate, key) = (self.certificate.clone(), self.key.clone());
        let identity = certificate
            .zip(key)
            .map(|(certificate, key)| IdentityFiles {
                certificate,
                key,
                passphrase: self.passphrase.clone(),
            });
        let is_encrypted = pair.transport().is_encrypted();
        ensure!(
            is_encrypted || identity.is_none(),
            "--certificate has no meaning over {}",
            pair.transport().name()
        );
        let (rate, size) = load.unzip();
        Ok(Work::Server {
            settings: ServerSettings {
                pair,
                address: address(pair, self.address.as_ref()),
                port: port(pair, self.port),
                threads: threads(self.threads),
                rate: rate.map_or(0, NonZeroU64::get),
                size: size.map_or(0, NonZeroUsize::get),
                interface: self.interface.clone(),
                identity,
            },
            cores: self.cores.clone().unwrap_or_default(),
        })
    }
}

impl ClientArguments {
    fn work(
        &self,
        pair: Pair,
        messages: Option<NonZeroUsize>,
        size: Option<NonZeroUsize>,
        rate: Option<NonZeroU64>,
    ) -> anyhow::Result<Work> {
        let name = pair.transport().name();
        ensure!(
            pair.transport().is_encrypted() || self.ca.is_none(),
            "--ca has no meaning over {name}"
        );
        ensure!(self.port != Some(0), "--port 0 is no server's");
        Ok(Work::Client {
            settings: ClientSettings {
                pair,
                address: address(pair, self.address.as_ref()),
                port: port(pair, self.port),
                threads: threads(self.threads),
                clients: self.clients.get(),
                in_flight: messages.map_or(0, NonZeroUsize::get),
                size: size.map_or(0, NonZeroUsize::get),
                seconds: self.seconds.get(),
                messages_total: self.messages_total.map(NonZeroU64::get),
                rate: rate.map(NonZeroU64::get),
                timeout: Duration::from_secs(self.timeout.get()),
                interface: self.interface.clone(),
                ca: self.ca.clone(),
            },
            cores: self.cores.clone().unwrap_or_default(),
            output: output(self.json),
        })
    }
}

fn output(json: bool) -> ClientOutput {
    if json {
        ClientOutput::Json
    } else {
        ClientOutput::Text
    }
}

fn address(pair: Pair, given: Option<&String>) -> String {
    given.map_or_else(|| pair.default_address().to_owned(), Clone::clone)
}

fn port(pair: Pair, given: Option<u16>) -> u16 {
    given.unwrap_or_else(|| pair.transport().default_port())
}

fn threads(given: Option<NonZeroUsize>) -> usize {
    given.map_or_else(pairs::default_threads, NonZeroUsize::get)
}

fn transport(name: &str) -> Result<Transport, String> {
    let mut all = Transport::ALL.into_iter();
    all.find(|transport| transport.name() == name)
        .ok_or_else(|| {
            let names = Transport::ALL.map(Transport::name);
            format!("expected one of {}", names.join(", "))
        })
}
