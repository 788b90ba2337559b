//! Threads of a runtime, where it puts work, hooks.

use std::{error::Error, fmt, num::NonZeroUsize, sync::Arc, thread};

/// How a runtime is made.
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// How many threads. Default: as many as cores the process may use.
    pub threads: NonZeroUsize,
    /// How they share the work. Default [`Design::PerThread`].
    pub design: Design,
    /// Where work is put that is not bound to a thread. Default [`Placement::RoundRobin`].
    pub placement: Placement,
    /// Threads that have nothing to do go on looking instead of sleeping, and call [`Hooks::idle`] again and again: a
    /// shorter way to what comes next, at the cost of whole cores. Default false.
    pub polling: bool,
    /// Jobs ([`Runtime::post`](super::Runtime::post)) that may wait for a thread; more are refused. Default 65 536.
    pub jobs_max: usize,
    /// Beginning of the threads' names. Default `tidewire`.
    pub name: String,
    /// Told of threads as they start, stop and idle.
    pub hooks: Option<Arc<dyn Hooks>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            design: Design::PerThread,
            placement: Placement::RoundRobin,
            polling: false,
            jobs_max: 1 << 16,
            name: "tidewire".into(),
            hooks: None,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("threads", &self.threads)
            .field("design", &self.design)
            .field("placement", &self.placement)
            .field("polling", &self.polling)
            .finish_non_exhaustive()
    }
}

/// How the threads of a runtime share the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Design {
    /// Every thread has an event loop of its own: a connection, a task, a job stays on its thread, nothing is stolen.
    /// Best for many alike connections.
    PerThread,
    /// All threads share one event loop, and a task runs on whichever is free; jobs run one at a time all the same.
    /// Best when single connections are heavy.
    Pool,
}

/// Where a runtime of [`Design::PerThread`] puts what is not bound to a thread: clients, tasks, jobs from outside, the
/// connections of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// On the threads by turns.
    RoundRobin,
    /// On the thread that has the fewest tasks and connections.
    LeastLoaded,
    /// Connections where the system puts them, on a listener per thread (`SO_REUSEPORT`); anything else by turns. Costs
    /// least per connection, and spreads few of them badly.
    System,
}

/// Told what happens to a runtime's threads. Calls come from these threads, and should return quickly.
///
/// Order of the calls: [`started`](Self::started) and, for each thread, [`thread_started`](Self::thread_started) in any
/// order; [`idle`](Self::idle) as it happens; for each thread [`thread_stopped`](Self::thread_stopped); at last
/// [`stopped`](Self::stopped).
pub trait Hooks: Send + Sync + 'static {
    /// The runtime takes work.
    fn started(&self) {}

    /// All threads have ended.
    fn stopped(&self) {}

    /// A thread begins, before anything else runs on it.
    fn thread_started(&self) {}

    /// A thread ends, after everything else has run on it.
    fn thread_stopped(&self) {}

    /// A thread has nothing to do: it is about to sleep, or, when [polling](Config::polling), to look again.
    fn idle(&self) {}

    /// A job panicked; the thread goes on.
    fn error(&self, error: &(dyn Error + 'static)) {
        let _ = error;
    }
}
