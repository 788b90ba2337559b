//! Events → standard error or a file, as the configuration says.

use std::{
    env::{self, VarError},
    fs::File,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use anyhow::{Context as _, anyhow};
use tidewire_server::config::LogFormat;
use tracing_subscriber::{EnvFilter, fmt::format, reload};

use crate::{
    report::{self, WrongUsage},
    sampling::Sampled,
};

/// Where events go.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    StandardError,
    File(LogFile),
}

/// Changes what is logged by a process that runs.
pub(crate) struct Level(Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>);

impl Level {
    /// From now on this `log.level` counts, unless `RUST_LOG` is set.
    pub(crate) fn set(&self, level: &str) {
        // It was checked with the rest of the configuration.
        let changed = filter(level).and_then(|filter| Ok((self.0)(filter)?));
        if let Err(error) = changed {
            tracing::error!(
                error = report::line(&*error),
                "the log level stays as it was"
            );
        }
    }
}

/// Starts logging for the whole process.
pub(crate) fn start(level: &str, shape: LogFormat, target: &Target) -> anyhow::Result<Level> {
    let target = target.clone();
    let events = tracing_subscriber::fmt()
        .with_env_filter(filter(level)?)
        // Their report goes to the standard error too, and would panic when that is closed.
        .log_internal_errors(false)
        .with_ansi(target.is_colourful())
        .with_writer(move || target.clone());
    let started = if shape == LogFormat::Json {
        let lines = Sampled::new(format().json(), true);
        let events = events.json().event_format(lines).with_filter_reloading();
        let handle = events.reload_handle();
        let level = Level(Box::new(move |filter| handle.reload(filter)));
        events.try_init().map(|()| level)
    } else {
        let lines = Sampled::new(format(), false);
        let events = events.event_format(lines).with_filter_reloading();
        let handle = events.reload_handle();
        let level = Level(Box::new(move |filter| handle.reload(filter)));
        events.try_init().map(|()| level)
    };
    started.map_err(|error| anyhow!(error).context("cannot start logging"))
}

impl Target {
    /// Opens a file anew, which somebody may have moved away.
    pub(crate) fn reopen(&self) {
        if let Self::File(file) = self
            && let Err(error) = file.reopen()
        {
            tracing::error!(%error, "the log file cannot be opened again; going on with the old one");
        }
    }

    /// See <https://no-color.org>.
    fn is_colourful(&self) -> bool {
        match self {
            Self::StandardError => {
                let no_colour = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                io::stderr().is_terminal() && !no_colour
            }
            Self::File(_) => false,
        }
    }
}

impl io::Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::StandardError => io::stderr().write(bytes),
            Self::File(file) => file.lock().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::StandardError => io::stderr().flush(),
            Self::File(file) => file.lock().flush(),
        }
    }
}

/// A file that is appended to, and can be opened again after somebody moved it away.
#[derive(Clone, Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: Arc<Mutex<File>>,
}

impl LogFile {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            file: Arc::new(Mutex::new(append(path)?)),
        })
    }

    /// On an error the file that was open stays in use.
    fn reopen(&self) -> io::Result<()> {
        *self.lock() = append(&self.path)?;
        Ok(())
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, File> {
        self.file.lock()
    }
}

fn append(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

/// `RUST_LOG` is the word of the moment and beats the configuration. It is read here and not
/// with the configuration because it is not ours: its syntax is richer than `log.level`.
fn filter(level: &str) -> anyhow::Result<EnvFilter> {
    let text = match env::var(VARIABLE) {
        Ok(text) if !text.is_empty() => text,
        Ok(_) | Err(VarError::NotPresent) => {
            return EnvFilter::try_new(level).context(WrongUsage("invalid log.level"));
        }
        Err(error @ VarError::NotUnicode(_)) => {
            return Err(anyhow!(error).context(WrongUsage(INVALID)));
        }
    };
    EnvFilter::try_new(text).context(WrongUsage(INVALID))
}

const VARIABLE: &str = "RUST_LOG";
const INVALID: &str = "invalid environment variable RUST_LOG";
