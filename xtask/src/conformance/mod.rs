//! `cargo xtask conformance`: the Autobahn suite against the real binary, compared case by
//! case with the committed expectation.
//!
//! [`suite`] installs the suite and runs it, [`server`] owns the process under test,
//! [`verdict`] compares. The server role is tested here; the client role (the suite
//! listens, our client connects) becomes a second value of [`Options`] and a second
//! expectation beside `expected-server.json`.

mod server;
mod suite;
mod verdict;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use self::server::Server;
use self::suite::{Report, Suite};
use self::verdict::Comparison;
use crate::workspace::Workspace;

/// What is run, and against what.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// `fast`: groups 1-7, 9, 10; `all`: also compression (12, 13); or a list: `6.4,7.1.6`.
    #[arg(long, default_value = "fast")]
    cases: String,
    /// Test the server at this URL instead of starting one.
    #[arg(long, value_name = "WS_URL")]
    url: Option<String>,
    /// The binary to start [default: the release binary].
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    bin: Option<PathBuf>,
}

/// Everything but compression: half a minute.
const FAST: &str = "1,2,3,4,5,6,7,9,10";
/// Compression takes 10 to 20 minutes more.
const ALL: &str = "1,2,3,4,5,6,7,9,10,12,13";

const FAST_LIMIT: Duration = Duration::from_mins(10);
const ALL_LIMIT: Duration = Duration::from_hours(1);

/// Cases of group 9 send messages of 16 MiB and of 65 537 fragments.
const SERVER_CONFIG: &str = "\
[server.echo_limits]
message_bytes_max = \"32M\"
fragments_max = 100000
";

impl Default for Options {
    fn default() -> Self {
        Self {
            cases: "fast".to_owned(),
            url: None,
            bin: None,
        }
    }
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<ExitCode> {
    let folder = workspace.target_directory.join("conformance");
    fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
    let suite = Suite::install(&workspace.root.join("conformance"), &folder)?;
    let (cases, limit) = match options.cases.as_str() {
        "fast" => (FAST, FAST_LIMIT),
        "all" => (ALL, ALL_LIMIT),
        list => (list, ALL_LIMIT),
    };
    let report = if let Some(url) = &options.url {
        suite.test_server(url, cases, limit)?
    } else {
        test_own_server(workspace, options, &suite, &folder, cases, limit)?
    };
    let expected_file = workspace.root.join("conformance/expected-server.json");
    let expected = verdict::read_expected(&expected_file)?;
    let comparison = Comparison::new(&expected, &report, cases);
    print!("{comparison}");
    println!("full report: {}", suite.report_file().display());
    Ok(ExitCode::from(u8::from(!comparison.is_clean())))
}

/// Starts our server, tests it, and ends it whatever happens.
fn test_own_server(
    workspace: &Workspace,
    options: &Options,
    suite: &Suite,
    folder: &Path,
    cases: &str,
    limit: Duration,
) -> anyhow::Result<Report> {
    let release = || workspace.target_directory.join("release/tidewire");
    let binary = options.bin.clone().unwrap_or_else(release);
    let mut server = Server::start(&binary, &folder.join("server"), SERVER_CONFIG)?;
    let mut report = suite.test_server(server.echo_url(), cases, limit)?;
    if let Err(error) = server.stop() {
        report.stopped = Some(format!("{error:#}"));
    }
    Ok(report)
}
