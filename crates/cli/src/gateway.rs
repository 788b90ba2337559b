//! `tidewire gateway`: runs the gateway until a signal.
//!
//! The first SIGTERM or Ctrl-C stops it gracefully, a second one ends the process at once. SIGHUP
//! reads the configuration again; one that is wrong is told, and the old one stays. SIGUSR2 starts a new
//! process, which takes the listeners over. A gateway whose listeners a new process has taken over ends by itself.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use tidewire_gateway::{
    Event,
    config::{Overrides, load_from_process},
    settings::Settings,
};

use crate::{
    exit_codes::exit_codes,
    logs::{self, LogFile, Target},
    output,
    report::{self, WrongUsage},
    service_manager::{self, Watchdog},
    signals::{Asked, Hangup, Hangups, Signals},
    upgrade::NewProcess,
};

/// Run the gateway: one address in front of many named WebSocket endpoints.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = concat!(
    "The configuration is TOML (`tidewire default-config --gateway` prints it) or a config.ini of ",
    "SocketMaster. When ready, the gateway prints one line per URL. SIGHUP reads the configuration ",
    "again and opens log files anew; SIGUSR2 starts a new process, which takes over (`handover`). SIGTERM or Ctrl-C stops it gracefully; a second one ends it at ",
    "once. Options go before TIDEWIRE_GATEWAY_ environment variables, those go before the file. ",
    "RUST_LOG goes before log.level.\n\n",
    "EXAMPLES\n",
    "  tidewire gateway --config config.ini\n",
    "  tidewire gateway --config gateway.toml --listen 127.0.0.1:0\n",
    "  tidewire gateway --config gateway.toml --log server.log --verbose\n\n",
    exit_codes!(),
    "\n\nWithout --config it ends with 1, as SocketMaster does."
))]
pub(crate) struct GatewayArguments {
    /// File with the configuration: TOML, or config.ini
    #[arg(short, long, value_name = "FILE", env = "TIDEWIRE_GATEWAY_CONFIG")]
    config: Option<PathBuf>,
    /// Address of the first listener; port 0 picks a free one
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Append events to this file instead of the standard error
    #[arg(long, value_name = "FILE")]
    log: Option<String>,
    /// Tell more: the same as log.level = "debug"
    #[arg(long)]
    verbose: bool,
}

impl GatewayArguments {
    fn overrides(&self) -> Overrides {
        Overrides {
            listen: self.listen.clone(),
            log: self.log.clone(),
            verbose: self.verbose,
        }
    }
}

pub(crate) fn run(arguments: &GatewayArguments) -> anyhow::Result<ExitCode> {
    let Some(file) = &arguments.config else {
        // SocketMaster's words, which its users' scripts may know; the exit code is that of wrong usage everywhere.
        drop(writeln!(
            io::stderr(),
            "Error: Configuration file not specified; give it with --config FILE"
        ));
        return Ok(ExitCode::from(2));
    };
    // Of everything but the connections, whose threads have runtimes of their own.
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let code = runtime.block_on(load_and_serve(file.clone(), arguments));
    // After a second signal a stop may still be under way; waiting for it is not wanted.
    runtime.shutdown_background();
    code
}

async fn load_and_serve(file: PathBuf, arguments: &GatewayArguments) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let hangups = Hangups::new().context("cannot listen for signals")?;
    let overrides = arguments.overrides();
    // A file may be on a disk that answers late, or be a pipe.
    let loaded = tokio::task::spawn_blocking(move || load_from_process(Some(&file), &overrides));
    let settings = tokio::select! {
        loaded = loaded => loaded
            .context("reading the configuration failed")?
            .context(WrongUsage("invalid configuration"))?,
        signal = signals.next() => return Ok(stopped_early(signal)),
    };
    let target = target(settings.log.file.as_deref())?;
    // Its level needs a restart.
    drop(logs::start(
        &settings.log.level,
        settings.log.format,
        &target,
    )?);
    warn(&settings);
    serve(settings, arguments, &target, signals, hangups).await
}

/// Nobody is connected yet.
fn stopped_early(signal: &'static str) -> ExitCode {
    tracing::info!(signal, "stopped before the gateway was ready");
    ExitCode::SUCCESS
}

fn target(file: Option<&Path>) -> anyhow::Result<Target> {
    let Some(path) = file else {
        return Ok(Target::StandardError);
    };
    let file = LogFile::open(path)
        .with_context(|| format!("cannot open the log file {}", path.display()))?;
    Ok(Target::File(file))
}

fn warn(settings: &Settings) {
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
}

async fn serve(
    settings: Settings,
    arguments: &GatewayArguments,
    target: &Target,
    mut signals: Signals,
    mut hangups: Hangups,
) -> anyhow::Result<ExitCode> {
    let listeners = settings.listeners.clone();
    let mut new_process = NewProcess::new(settings.handover.is_some());
    let mut upgrades = Asked::to_upgrade().context("cannot listen for signals")?;
    let mut running = tokio::select! {
        started = tidewire_gateway::start_or_take_over(settings) => {
            started.context("cannot start the gateway")?
        }
        signal = signals.next() => return Ok(stopped_early(signal)),
    };
    let (operator, requests) = running.operator();
    let admin = running
        .serve_admin(std::sync::Arc::new(operator.clone()))
        .context("cannot start the admin listener")?;
    let admin = admin.map(|address| ("admin", address.url("http", "/")));
    let urls: Vec<(&'static str, String)> = listeners
        .iter()
        .zip(running.listening())
        .map(|(listener, address)| {
            let scheme = if listener.tls.is_some() { "wss" } else { "ws" };
            ("gateway", address.url(scheme, "/"))
        })
        .chain(admin)
        .collect();
    output::print_urls(&urls).context("cannot print the URLs")?;
    let serving = service_manager::serving(&urls);
    service_manager::ready(&serving);
    running.observe(observer(Watchdog::start(), serving));

    // A task of its own, so that a second signal need not wait for it to be dropped.
    let mut operated = tokio::spawn(running.operate(requests, load(arguments)));
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = &mut operated => {
                if !ended.context("the gateway failed")? {
                    tracing::warn!("some connections did not end in time and were cut");
                }
                tracing::info!("stopped");
                return Ok(ExitCode::SUCCESS);
            }
            signal = signals.next() => {
                if stopping {
                    tracing::warn!(signal, "ending at once");
                    return Ok(ExitCode::FAILURE);
                }
                tracing::info!(signal, "stopping");
                stopping = true;
                operator.stop();
            }
            () = upgrades.next() => new_process.start(),
            ended = new_process.ended() => NewProcess::tell(ended),
            hangup = hangups.next() => match hangup {
                Hangup::TerminalGone if !stopping => {
                    tracing::info!("stopping: the terminal is gone");
                    stopping = true;
                    operator.stop();
                }
                Hangup::TerminalGone => {}
                Hangup::Reload => {
                    target.reopen();
                    operator.request_reload();
                }
            },
        }
    }
}

/// Tells the service manager what happens; it looks for us until we are told to stop.
fn observer(watchdog: Watchdog, serving: String) -> tidewire_gateway::Observer {
    Box::new(move |event| match event {
        Event::Reloading => service_manager::reloading(),
        Event::Reloaded(Ok(changed)) => {
            service_manager::ready(&format!("{serving}; reloaded: {changed}"));
        }
        Event::Reloaded(Err(error)) => {
            service_manager::ready(&format!("{serving}; not reloaded: {error}"));
        }
        Event::HandedOver { pid } => {
            if let Some(pid) = pid.filter(|pid| service_manager::is_of_our_service(*pid)) {
                // Whatever we said now would be taken for word of the service as a whole.
                watchdog.stop();
                service_manager::main_process(pid);
            } else {
                service_manager::stopping("handed over: connections are being closed");
            }
        }
        Event::Stopping => service_manager::stopping("stopping: connections are being closed"),
    })
}

/// Reads the configuration again.
fn load(arguments: &GatewayArguments) -> tidewire_gateway::Load {
    let asked = arguments.clone();
    Box::new(move || {
        let settings = load_from_process(asked.config.as_deref(), &asked.overrides())
            .map_err(|error| report::line(&error))?;
        warn(&settings);
        Ok(settings)
    })
}
