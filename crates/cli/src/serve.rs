//! `tidewire serve`: runs the server until a signal.
//!
//! The first SIGTERM or Ctrl-C stops it gracefully; a second one ends the process at once, which
//! loses nothing that was accepted.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use tidewire_server::config::{Overrides, Runtime, Settings, load_from_process};

use crate::{exit_codes::exit_codes, logs, output, report::WrongUsage};

/// Run the messaging server.
#[derive(Debug, clap::Args)]
#[command(after_help = concat!(
    "When ready, the server prints one line per URL. SIGTERM or Ctrl-C stops it gracefully; a ",
    "second one ends it at once. Options go before TIDEWIRE_ environment variables, those go ",
    "before the file. RUST_LOG goes before log.level.\n\n",
    "EXAMPLES\n",
    "  tidewire serve\n",
    "  tidewire serve --listen 127.0.0.1:0 --rest-listen 127.0.0.1:0 --data-dir /tmp/trial\n",
    "  tidewire serve -c tidewire.toml\n",
    "  tidewire serve --config tidewire.toml --echo\n",
    "  RUST_LOG=tidewire=debug tidewire serve\n\n",
    exit_codes!()
))]
pub(crate) struct ServeArguments {
    /// Address of the WebSocket endpoints and the web chat; port 0 picks a free one
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Address of the REST API; port 0 picks a free one
    #[arg(long, value_name = "ADDR")]
    rest_listen: Option<String>,
    /// Directory of the message store; created when missing
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// TOML file with the configuration
    #[arg(short, long, value_name = "FILE", env = "TIDEWIRE_CONFIG")]
    config: Option<PathBuf>,
    /// Serve /echo, which sends every message back: for tests and benchmarks
    #[arg(long)]
    echo: bool,
}

impl ServeArguments {
    fn overrides(&self) -> Overrides {
        Overrides {
            listen: self.listen.clone(),
            rest_listen: self.rest_listen.clone(),
            data_dir: self.data_dir.clone(),
            echo: self.echo.then_some(true),
        }
    }
}

pub(crate) fn run(arguments: &ServeArguments) -> anyhow::Result<ExitCode> {
    let settings = load_from_process(arguments.config.as_deref(), &arguments.overrides())
        .context(WrongUsage("invalid configuration"))?;
    logs::start(&settings)?;
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = runtime(&settings).context("cannot start the runtime")?;
    let code = runtime.block_on(serve(settings));
    // After a second signal a stop may still be under way; waiting for it is not wanted.
    runtime.shutdown_background();
    code
}

/// The runtime of everything but the connections of `per-core`, which have their own.
fn runtime(settings: &Settings) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if settings.server.runtime == Runtime::Pool
        && let Some(workers) = settings.server.workers
    {
        builder.worker_threads(workers.get());
    }
    builder.enable_all().build()
}

async fn serve(settings: Settings) -> anyhow::Result<ExitCode> {
    let running = tidewire_server::start(&settings).context("cannot start the server")?;
    // Only from here on: a start that takes long (checking a large store) ends at once.
    let mut signals = Signals::new().context("cannot listen for signals")?;
    output::print(&lines(running.urls())).context("cannot print the URLs")?;

    let signal = signals.next().await;
    tracing::info!(signal, "stopping");
    // A task of its own, so that a second signal need not wait for it to be dropped.
    let stop = tokio::spawn(running.stop());
    tokio::select! {
        stopped = stop => {
            if !stopped.context("the stop failed")? {
                tracing::warn!("some connections did not end in time and were cut");
            }
            tracing::info!("stopped");
            Ok(ExitCode::SUCCESS)
        }
        signal = signals.next() => {
            tracing::warn!(signal, "ending at once");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// One line per URL, the labels in a column.
fn lines(urls: &[(&'static str, String)]) -> String {
    urls.iter()
        .map(|(label, url)| format!("{label:<11}{url}\n"))
        .collect::<Vec<_>>()
        .concat()
}

/// The signals that ask for an end.
#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The name of the next one. Cancel safe.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// The signals that ask for an end.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    /// The name of the next one. Cancel safe.
    async fn next(&mut self) -> &'static str {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stand_in_a_column() {
        let urls = [
            ("messaging", "ws://a/chat".to_owned()),
            ("rest", "http://b/".to_owned()),
        ];
        assert_eq!(
            lines(&urls),
            "messaging  ws://a/chat\nrest       http://b/\n"
        );
    }
}
