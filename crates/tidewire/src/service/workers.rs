//! The ways to use several cores.
//!
//! *Per core*: every thread has a runtime, a listener and connections of its own; nothing
//! migrates, nothing is stolen. *Pool*: one work-stealing runtime. Which is better depends on
//! the load: per core for many alike connections, the pool when single connections are heavy. Either may be a
//! [`Runtime`] that hosts more than one server.

use std::{io, num::NonZeroUsize, thread};

use crate::{
    net::Listener,
    runtime::{EventLoop, Runtime},
};

/// How a server uses the machine's cores.
///
/// All three run the same code on tokio; they differ in whose the threads are. `PerCore` makes threads for this server
/// alone, which begin and end with it: like a [`Runtime`] of so many threads in the design
/// [`PerThread`](crate::runtime::Design::PerThread) whose connections the system
/// [places](crate::runtime::Placement::System), but without what only matters where threads are shared: jobs, placement by
/// load, hooks, tasks of others. `On` is for threads that servers and clients share, or that live longer than a server;
/// `Pool` for programs that have a tokio runtime anyway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Workers {
    /// One runtime and one listener per thread, joined by `SO_REUSEPORT`; the number of threads. Of a Unix socket all
    /// threads share one listener.
    PerCore(NonZeroUsize),
    /// Tasks on the tokio runtime that starts the server.
    Pool,
    /// The threads of a [`Runtime`], which other servers and clients may share; its
    /// [placement](crate::runtime::Placement) says which thread a connection belongs to.
    On(Runtime),
}

impl Workers {
    /// One thread per core the process may use.
    pub fn per_core() -> Self {
        Self::PerCore(thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// How many listeners that needs.
    pub(crate) fn listeners(&self) -> usize {
        match self {
            Self::PerCore(count) => count.get(),
            Self::On(runtime) if runtime.is_spread_by_system() => runtime.workers(),
            Self::Pool | Self::On(_) => 1,
        }
    }

    /// Gives each worker its listeners: at least one, and none is left over, since connections that wait
    /// there would never be accepted.
    pub(crate) fn share(&self, listeners: Vec<Listener>) -> io::Result<Vec<Vec<Listener>>> {
        let workers = self.listeners();
        let mut shares: Vec<Vec<Listener>> = (0..workers).map(|_| Vec::new()).collect();
        let without = shares.iter_mut().skip(listeners.len());
        for (share, listener) in without.zip(listeners.iter().cycle()) {
            share.push(listener.try_clone()?);
        }
        for (number, listener) in listeners.into_iter().enumerate() {
            shares[number % workers].push(listener);
        }
        Ok(shares)
    }
}

/// Runs `work` on a thread with a runtime of its own.
pub(crate) fn on_own_thread<F, T>(name: String, work: F) -> io::Result<thread::JoinHandle<()>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Future<Output = ()>,
{
    let event_loop = EventLoop::new()?;
    thread::Builder::new()
        .name(name)
        .spawn(move || event_loop.run(async move { work().await }))
}
