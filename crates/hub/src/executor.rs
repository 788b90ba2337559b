//! Where work goes that must not hold up the store's thread: the port [`Executor`].
//!
//! In: jobs of the hub. Out: their execution on threads that the composition root provides, so that
//! the hub knows no runtime. Invariant: the hub hands over at most one job per shard at a time, so
//! an executor's queue is bounded by the number of shards (64).

use std::fmt;

/// A piece of work, some microseconds to some milliseconds long. It does not block.
pub type Job = Box<dyn FnOnce() + Send>;

/// Runs jobs of the hub. They may run at once, in any order and on any thread, but each is run: what
/// depends on an order is in one job.
pub trait Executor: Send + Sync + fmt::Debug {
    /// Runs `jobs` soon. Called on the store's thread, so it must not block; it may run them
    /// itself.
    fn execute(&self, jobs: Vec<Job>);
}

/// Runs each job at once, on the thread that hands it over: for tests and for hubs with few sessions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inline;

impl Executor for Inline {
    fn execute(&self, jobs: Vec<Job>) {
        for job in jobs {
            job();
        }
    }
}
