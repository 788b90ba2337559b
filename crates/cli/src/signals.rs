//! What the operator and the service manager say to a running program.
//!
//! Listened to before anything else is done: as process 1 of a container a signal without a handler does nothing at all.

use std::io::{self, IsTerminal as _};

/// The signals that ask for an end.
#[cfg(unix)]
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    /// Nobody waits for it: that it has a handler lets a write beyond the limit of file sizes
    /// fail, where the signal would end the process.
    _file_too_large: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        use rustix::process::Signal;
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _file_too_large: signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?,
        })
    }

    /// The name of the next one. Cancel safe.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// The signals that ask for an end.
#[cfg(not(unix))]
#[derive(Debug)]
pub(crate) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    /// The name of the next one. Cancel safe.
    pub(crate) async fn next(&mut self) -> &'static str {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    }
}

/// The meaning of a SIGHUP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hangup {
    /// The operator, or a renewal hook, asks to read configuration and certificates again.
    Reload,
    /// The terminal in which the program was started is gone: nobody is there to see or to stop it.
    TerminalGone,
}

/// SIGHUP, again and again.
#[derive(Debug)]
pub(crate) struct Hangups {
    asked: Asked,
    had_terminal: bool,
}

impl Hangups {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            asked: Asked::to_reload()?,
            had_terminal: io::stderr().is_terminal(),
        })
    }

    /// Waits for the next one; those that came before count as one. Cancel safe.
    pub(crate) async fn next(&mut self) -> Hangup {
        self.asked.next().await;
        // Of a terminal that is gone the system says that it is none.
        if self.had_terminal && !io::stderr().is_terminal() {
            Hangup::TerminalGone
        } else {
            Hangup::Reload
        }
    }
}

/// A signal by which the operator asks for something, again and again.
#[cfg(unix)]
#[derive(Debug)]
pub(crate) struct Asked(tokio::signal::unix::Signal);

#[cfg(unix)]
impl Asked {
    /// To read the configuration again (SIGHUP).
    fn to_reload() -> io::Result<Self> {
        Self::by(tokio::signal::unix::SignalKind::hangup())
    }

    /// For a new process of the same command (SIGUSR2).
    pub(crate) fn to_upgrade() -> io::Result<Self> {
        Self::by(tokio::signal::unix::SignalKind::user_defined2())
    }

    fn by(kind: tokio::signal::unix::SignalKind) -> io::Result<Self> {
        tokio::signal::unix::signal(kind).map(Self)
    }

    /// Waits for the next one. Cancel safe.
    pub(crate) async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// There are no such signals.
#[cfg(not(unix))]
#[derive(Debug)]
pub(crate) struct Asked;

#[cfg(not(unix))]
impl Asked {
    fn to_reload() -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) fn to_upgrade() -> io::Result<Self> {
        Ok(Self)
    }

    /// Waits for ever. Cancel safe.
    pub(crate) async fn next(&mut self) {
        std::future::pending::<()>().await;
    }
}
