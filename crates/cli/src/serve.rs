//! `tidewire serve`: runs the server until a signal.
//!
//! The first SIGTERM or Ctrl-C stops it gracefully; a second one ends the process at once, which
//! loses nothing that was accepted. Before the server is ready the first one ends it at once.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use tidewire_server::config::{Overrides, Runtime, Settings, load_from_process};

use crate::{
    exit_codes::exit_codes,
    logs::{self, Target},
    output,
    report::WrongUsage,
    service_manager::{self, Watchdog},
    signals::Signals,
};

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
    let file = arguments.config.as_deref();
    let settings = load_from_process(file, &arguments.overrides()).with_context(|| {
        let is_other = file.is_some_and(tidewire_gateway::config::is_meant_for_gateway);
        WrongUsage(if is_other {
            "this looks like a gateway's configuration: use tidewire gateway --config FILE"
        } else {
            "invalid configuration"
        })
    })?;
    logs::start(
        &settings.config.log.level,
        settings.config.log.format,
        &Target::StandardError,
    )?;
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
    let server = &settings.config.server;
    if server.runtime == Runtime::Pool && server.workers > 0 {
        builder.worker_threads(server.workers);
    }
    builder.enable_all().build()
}

async fn serve(settings: Settings) -> anyhow::Result<ExitCode> {
    // Before anything that takes long: as process 1 of a container a signal without a handler
    // would do nothing at all.
    let mut signals = Signals::new().context("cannot listen for signals")?;
    // Checking a large store takes a while and blocks its thread.
    let start = tokio::task::spawn_blocking(move || tidewire_server::start(&settings));
    let running = tokio::select! {
        started = start => started
            .context("the start failed")?
            .context("cannot start the server")?,
        signal = signals.next() => {
            // Nothing was accepted yet, and reading a store can be cut off anywhere.
            tracing::info!(signal, "stopped before the server was ready");
            return Ok(ExitCode::SUCCESS);
        }
    };
    output::print_urls(running.urls()).context("cannot print the URLs")?;
    service_manager::ready(&service_manager::serving(running.urls()));
    Watchdog::start();

    let signal = signals.next().await;
    tracing::info!(signal, "stopping");
    service_manager::stopping("stopping: connections are being closed");
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
