//! `tidewire serve`: runs the server until a signal.
//!
//! The first SIGTERM or Ctrl-C stops it gracefully; a second one ends the process at once, which
//! loses nothing that was accepted. Before the server is ready the first one ends it at once. SIGHUP reads
//! configuration and certificates again; what is wrong is told, and the old ones stay.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use tidewire_server::{
    Running,
    config::{Overrides, Runtime, Settings, load_from_process, reload_from_process},
};

use crate::{
    exit_codes::exit_codes,
    logs::{self, Level, Target},
    output,
    report::{self, WrongUsage},
    service_manager::{self, Watchdog},
    signals::{Hangup, Hangups, Signals},
};

/// Run the messaging server.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = concat!(
    "When ready, the server prints one line per URL. SIGHUP reads configuration and certificates ",
    "again. SIGTERM or Ctrl-C stops it gracefully; a second one ends it at once. Options go before TIDEWIRE_ environment variables, those go ",
    "before the file. RUST_LOG goes before log.level.\n\n",
    "EXAMPLES\n",
    "  tidewire serve\n",
    "  tidewire serve --listen 127.0.0.1:0 --rest-listen 127.0.0.1:0 --data-dir /tmp/trial\n",
    "  tidewire serve -c tidewire.toml\n",
    "  tidewire serve --admin-listen 127.0.0.1:8093\n",
    "  tidewire serve --config tidewire.toml --echo\n",
    "  tidewire serve --config config.json --test --verbosity 1\n",
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
    /// Serve the admin page at this address; port 0 picks a free one
    #[arg(long, value_name = "ADDR")]
    admin_listen: Option<String>,
    /// Directory of the message store; created when missing
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// File with the configuration: TOML, or config.json of wsserver
    #[arg(
        short,
        long,
        visible_short_alias = 'C',
        value_name = "FILE",
        env = "TIDEWIRE_CONFIG"
    )]
    config: Option<PathBuf>,
    /// Check the configuration and end: `check-config` under the name that it has in wsserver
    #[arg(
        short = 'T',
        long,
        value_name = "0|1",
        num_args = 0..=1,
        default_missing_value = "1",
        value_parser = switch
    )]
    test: Option<bool>,
    /// Log level as in wsserver: 0 = error, 1 = info, 2 = debug
    #[arg(short = 'l', long, short_alias = 'v', value_name = "LEVEL")]
    verbosity: Option<u16>,
    /// Serve /echo, which sends every message back: for tests and benchmarks
    #[arg(long)]
    echo: bool,
    /// Nobody has named this command: then it says what it is.
    #[arg(skip)]
    pub(crate) is_unasked: bool,
}

impl ServeArguments {
    fn overrides(&self) -> Overrides {
        Overrides {
            listen: self.listen.clone(),
            rest_listen: self.rest_listen.clone(),
            admin_listen: self.admin_listen.clone(),
            data_dir: self.data_dir.clone(),
            echo: self.echo.then_some(true),
            log_level: self.verbosity.map(|level| {
                let name = match level {
                    0 => "error",
                    1 => "info",
                    _ => "debug",
                };
                name.to_owned()
            }),
        }
    }

    /// Returns whether a file is named, here or by the environment.
    pub(crate) fn has_config(&self) -> bool {
        self.config.is_some()
    }
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err("expected 0 or 1".to_owned()),
    }
}

pub(crate) fn run(arguments: &ServeArguments) -> anyhow::Result<ExitCode> {
    if arguments.test == Some(true) {
        return test(arguments);
    }
    // Signals are listened to on a thread of their own, from the first moment to the last.
    let control = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let code = control.block_on(serve(arguments));
    // A file that is still being read is not waited for.
    control.shutdown_background();
    code
}

/// Checks the configuration, and says so in wsserver's words.
fn test(arguments: &ServeArguments) -> anyhow::Result<ExitCode> {
    let settings = load(arguments)?;
    for warning in &settings.warnings {
        report::tell(&format!("warning: {warning}"));
    }
    output::print("Configuration verified - everything is ok!\n")
        .context("cannot write the result")?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(arguments: &ServeArguments) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let mut hangups = Hangups::new().context("cannot listen for signals")?;
    let asked = arguments.clone();
    // A file may be on a disk that answers late, or be a pipe.
    let loaded = tokio::task::spawn_blocking(move || load(&asked));
    let settings = tokio::select! {
        loaded = loaded => loaded.context("reading the configuration failed")??,
        signal = signals.next() => return Ok(stopped_early(signal)),
    };
    let level = logs::start(
        &settings.config.log.level,
        settings.config.log.format,
        &Target::StandardError,
    )?;
    if arguments.is_unasked {
        // Who has closed the standard error does not want to know.
        drop(writeln!(io::stderr(), "{}", introduction(&settings)));
    }
    warn(&settings);
    let pool = pool(&settings).context("cannot start the runtime")?;
    let control = Control {
        arguments,
        level: &level,
    };
    let code = run_on(&pool, settings, control, &mut signals, &mut hangups).await;
    // After a second signal a stop may still be under way; waiting for it is not wanted.
    pool.shutdown_background();
    code
}

fn load(arguments: &ServeArguments) -> anyhow::Result<Settings> {
    let file = arguments.config.as_deref();
    load_from_process(file, &arguments.overrides()).with_context(|| {
        let is_other = file.is_some_and(tidewire_gateway::config::is_meant_for_gateway);
        WrongUsage(if is_other {
            "this looks like a gateway's configuration: use tidewire gateway --config FILE"
        } else {
            "invalid configuration"
        })
    })
}

/// Tells a newcomer what begins to run, and what it leaves behind.
fn introduction(settings: &Settings) -> String {
    let dir = Path::new(&settings.config.data_dir);
    let dir = std::path::absolute(dir).unwrap_or_else(|_error| dir.to_owned());
    format!(
        "tidewire: no command, so this starts the messaging server, as `tidewire serve`; Ctrl-C stops it.\n\
         tidewire: messages are kept in {}. `tidewire --help` tells what else there is.",
        dir.display()
    )
}

fn warn(settings: &Settings) {
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
}

/// Nothing was accepted yet, and reading a store can be cut off anywhere.
fn stopped_early(signal: &'static str) -> ExitCode {
    tracing::info!(signal, "stopped before the server was ready");
    ExitCode::SUCCESS
}

/// The runtime of everything but the signals and the connections of `per-core`, which have their own.
fn pool(settings: &Settings) -> io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let server = &settings.config.server;
    if server.runtime == Runtime::Pool && server.workers > 0 {
        builder.worker_threads(server.workers);
    }
    builder.enable_all().build()
}

/// What a reload reads, and what it changes outside of the server.
#[derive(Clone, Copy)]
struct Control<'a> {
    arguments: &'a ServeArguments,
    level: &'a Level,
}

async fn run_on(
    pool: &tokio::runtime::Runtime,
    settings: Settings,
    control: Control<'_>,
    signals: &mut Signals,
    hangups: &mut Hangups,
) -> anyhow::Result<ExitCode> {
    // Checking a large store takes a while and blocks its thread.
    let start = pool.spawn_blocking(move || tidewire_server::start(&settings));
    let mut running = tokio::select! {
        started = start => started
            .context("the start failed")?
            .context("cannot start the server")?,
        signal = signals.next() => return Ok(stopped_early(signal)),
    };
    output::print_urls(running.urls()).context("cannot print the URLs")?;
    let serving = service_manager::serving(running.urls());
    service_manager::ready(&serving);
    {
        // It tells that these threads live.
        let _pool = pool.enter();
        Watchdog::start();
    }
    let signal = loop {
        tokio::select! {
            signal = signals.next() => break signal,
            hangup = hangups.next() => match hangup {
                Hangup::TerminalGone => break "SIGHUP of a terminal that is gone",
                Hangup::Reload => tokio::select! {
                    () = reload(&mut running, control, &serving) => {}
                    signal = signals.next() => break signal,
                },
            },
        }
    };
    tracing::info!(signal, "stopping");
    service_manager::stopping("stopping: connections are being closed");
    // A task of its own, so that a second signal need not wait for it to be dropped.
    let stop = pool.spawn(running.stop());
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

/// Reads the configuration and the files it names again, and takes them as a whole or not at all.
///
/// # Cancel safety
/// Cancel safe: then nothing is taken.
async fn reload(running: &mut Running, control: Control<'_>, serving: &str) {
    service_manager::reloading();
    let asked = control.arguments.clone();
    let config = running.settings().config.clone();
    let read = tokio::task::spawn_blocking(move || {
        reload_from_process(asked.config.as_deref(), &asked.overrides(), &config)
    });
    let outcome = match read.await {
        Ok(read) => read.map_err(|error| report::line(&error)),
        Err(_panic) => Err("reading the configuration failed".to_owned()),
    };
    match outcome {
        Ok(reload) => {
            warn(&reload.settings);
            control.level.set(&reload.settings.config.log.level);
            let reloaded = running.reload(reload);
            tracing::info!(%reloaded, "the configuration was read again");
            service_manager::ready(&format!("{serving}; reloaded: {reloaded}"));
        }
        Err(error) => {
            tracing::error!(error, "not reloaded: the old configuration stays in use");
            service_manager::ready(&format!("{serving}; not reloaded: {error}"));
        }
    }
}
