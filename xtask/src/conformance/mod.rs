//! `cargo xtask conformance`: the Autobahn suite against our server and our client, compared
//! case by case with the committed expectation.
//!
//! [`suite`] installs the suite, [`fuzzer`] is a process of it; [`mod@run`] brings fuzzers and
//! [`subject`], the program under test, together, with or without [`gateway`] between them; [`verdict`]
//! compares what comes out.

mod suite; // what is installed, and the cases it has
mod fuzzer; // the suite's side of the connections
mod program; // a process of ours
mod gateway; // what may stand between the two
mod subject; // our side
mod run; // all cases of one role over one transport
mod verdict; // found against expected

use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use anyhow::Context as _;
use clap::ValueEnum;

pub(crate) use self::gateway::Through;
use self::run::Run;
use self::subject::Subject;
use self::suite::{Certificate, Suite};
use self::verdict::Comparison;
use crate::workspace::Workspace;

/// What is run, and against what.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Which of our roles is tested [default: both].
    #[arg(long, value_enum)]
    role: Option<Role>,
    /// What the connections run over [default: both].
    #[arg(long, value_enum)]
    transport: Option<Transport>,
    /// `fast`: what continuous integration runs; `all`; or a list: `6.4,7.1.6`.
    #[arg(long, default_value = "fast")]
    cases: String,
    /// How many cases run at a time [default: one per core].
    #[arg(long, value_name = "COUNT")]
    jobs: Option<NonZeroUsize>,
    /// Test the server at this URL instead of starting one.
    #[arg(long, value_name = "WS_URL", conflicts_with_all = ["role", "transport", "bin", "client"])]
    url: Option<String>,
    /// Test the echo endpoint of this `tidewire` binary instead of the example server.
    #[arg(long, value_name = "FILE")]
    bin: Option<PathBuf>,
    /// Test this client, which gets URLs as its arguments, instead of the example client.
    #[arg(long, value_name = "FILE")]
    client: Option<PathBuf>,
    /// Test the server through `tidewire gateway`, which must change no verdict.
    #[arg(long, value_enum, conflicts_with_all = ["role", "transport", "url", "client"])]
    through: Option<Through>,
    /// The `tidewire` binary whose gateway is meant [default: that of the release build].
    #[arg(long, value_name = "FILE", requires = "through")]
    gateway: Option<PathBuf>,
}

/// Who is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Our server, by a fuzzing client.
    Server,
    /// Our client, by a fuzzing server.
    Client,
    /// One after the other.
    Both,
}

/// What is below the WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    /// TCP.
    Plain,
    /// TLS over TCP.
    Tls,
    /// One after the other.
    Both,
}

/// Everything but compression, and of that one case per set of parameters and one per size
/// that differs in kind.
const FAST: &str = "1,2,3,4,5,6,7,9,10,12.1.1,12.2.4,12.3.6,12.4.11,12.5.13,\
                    13.1.1,13.2.4,13.3.4,13.4.4,13.5.5,13.6.4,13.7.4";
const ALL: &str = "1,2,3,4,5,6,7,9,10,12,13";

impl Default for Options {
    fn default() -> Self {
        Self {
            role: None,
            transport: None,
            cases: "fast".to_owned(),
            jobs: None,
            url: None,
            bin: None,
            client: None,
            through: None,
            gateway: None,
        }
    }
}

impl Options {
    /// The server behind the gateway.
    pub(crate) fn through_gateway(through: Through) -> Self {
        Self {
            through: Some(through),
            ..Self::default()
        }
    }

    /// Returns what is to be tested, in order.
    fn subjects(&self) -> Vec<(Role, Transport)> {
        if self.url.is_some() || self.through.is_some() {
            return vec![(Role::Server, Transport::Plain)];
        }
        let roles: &[Role] = match self.role.unwrap_or(Role::Both) {
            Role::Server => &[Role::Server],
            Role::Client => &[Role::Client],
            Role::Both => &[Role::Server, Role::Client],
        };
        let transports: &[Transport] = match self.transport.unwrap_or(Transport::Both) {
            Transport::Plain => &[Transport::Plain],
            Transport::Tls => &[Transport::Tls],
            Transport::Both => &[Transport::Plain, Transport::Tls],
        };
        roles
            .iter()
            .flat_map(|&role| transports.iter().map(move |&transport| (role, transport)))
            .collect()
    }
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<ExitCode> {
    let folder = workspace.target_directory.join("conformance");
    fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
    let suite = Suite::install(&workspace.root.join("conformance"), &folder)?;
    let wanted = match options.cases.as_str() {
        "fast" => FAST,
        "all" => ALL,
        list => list,
    };
    let cases = suite.cases(wanted)?;
    let subject = Subject::build(workspace, options, &folder)?;
    let jobs = options
        .jobs
        .or_else(|| thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN);
    let mut lines = Vec::new();
    let mut is_clean = true;
    for (role, transport) in options.subjects() {
        let name = match role {
            Role::Server | Role::Both => "server",
            Role::Client => "client",
        };
        let certificate = (transport == Transport::Tls)
            .then(|| Certificate::make(&suite))
            .transpose()?;
        let transport_name = if certificate.is_some() {
            "tls"
        } else {
            "plain"
        };
        let over = match options.through {
            Some(through) => format!("{transport_name}, through a gateway ({})", through.name()),
            None => transport_name.to_owned(),
        };
        println!("{name} over {over}: {} cases", cases.len());
        let run = Run::new(&suite, &cases, jobs, certificate.as_ref());
        let report = match role {
            Role::Server | Role::Both => run.server(&subject)?,
            Role::Client => run.client(&subject)?,
        };
        let kind = options.through.map_or(transport_name, Through::name);
        let file = folder.join(format!("report-{name}-{kind}.json"));
        report.write(&file)?;
        let committed = |name| {
            workspace
                .root
                .join(format!("conformance/expected-{name}.json"))
        };
        let mut expected = verdict::read_expected(&committed(name))?;
        if options.through == Some(Through::Messages) {
            verdict::tolerate(&mut expected, &committed(Through::Messages.name()))?;
        }
        let comparison = Comparison::new(&expected, &report, wanted);
        print!("{comparison}");
        println!("full report: {}", file.display());
        is_clean &= comparison.is_clean();
        lines.push(format!("{name} over {over}: {}", comparison.summary()));
    }
    for line in lines {
        println!("{line}");
    }
    Ok(ExitCode::from(u8::from(!is_clean)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_said_means_every_role_over_every_transport() {
        assert_eq!(
            Options::default().subjects(),
            [
                (Role::Server, Transport::Plain),
                (Role::Server, Transport::Tls),
                (Role::Client, Transport::Plain),
                (Role::Client, Transport::Tls),
            ]
        );
    }

    #[test]
    fn a_url_is_tested_alone() {
        let options = Options {
            url: Some("ws://127.0.0.1:9".to_owned()),
            ..Options::default()
        };
        assert_eq!(options.subjects().len(), 1);
    }

    #[test]
    fn what_stands_behind_a_gateway_is_the_server() {
        assert_eq!(
            Options::through_gateway(Through::Relay).subjects(),
            [(Role::Server, Transport::Plain)]
        );
    }
}
