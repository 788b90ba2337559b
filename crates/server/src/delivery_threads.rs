//! Threads that deliver messages to many sessions: [`DeliveryThreads`], the hub's executor.
//!
//! In: jobs, at most one per shard of the hub, so the queue is bounded by it. Out: their execution. They stand
//! beside the event loops, because a message to thousands of sessions would hold up every connection of a loop,
//! and the store's thread would hold up every commit. Invariant: every job is run, also during the stop.

use std::{
    collections::VecDeque,
    fmt, io,
    sync::Arc,
    thread::{self, JoinHandle},
};

use parking_lot::{Condvar, Mutex};

use tidewire_hub::{Executor, Job};

pub(crate) struct DeliveryThreads {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    is_stopped: bool,
}

impl DeliveryThreads {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(crate) fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let threads = (0..THREADS)
            .map(|_| {
                let shared = Arc::clone(&shared);
                let thread = thread::Builder::new().name("tidewire-deliver".into());
                thread.spawn(move || shared.run())
            })
            .collect::<io::Result<Vec<_>>>();
        let threads = threads.inspect_err(|_| shared.stop())?;
        Ok(Self {
            shared,
            threads: Mutex::new(threads),
        })
    }

    /// Runs what is queued, then ends the threads. Blocking. Later jobs run where they are handed over.
    pub(crate) fn stop(&self) {
        self.shared.stop();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread that delivers messages panicked");
            }
        }
    }
}

impl Executor for DeliveryThreads {
    fn execute(&self, jobs: Vec<Job>) {
        let count = jobs.len();
        let mut state = self.shared.state.lock();
        if state.is_stopped {
            drop(state);
            return jobs.into_iter().for_each(|job| job());
        }
        state.jobs.extend(jobs);
        drop(state);
        if count > 1 {
            self.shared.wake.notify_all();
        } else {
            self.shared.wake.notify_one();
        }
    }
}

impl Drop for DeliveryThreads {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl fmt::Debug for DeliveryThreads {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("DeliveryThreads")
            .field("jobs", &self.shared.state.lock().jobs.len())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn run(&self) {
        loop {
            let is_idle = |state: &mut State| state.jobs.is_empty() && !state.is_stopped;
            let mut state = self.state.lock();
            self.wake.wait_while(&mut state, is_idle);
            let Some(job) = state.jobs.pop_front() else {
                return;
            };
            drop(state);
            job();
        }
    }

    fn stop(&self) {
        self.state.lock().is_stopped = true;
        self.wake.notify_all();
    }
}

/// Two, so that one large message does not make the next one wait; more would take from the event loops.
const THREADS: usize = 2;

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc::sync_channel,
    };

    use super::*;

    #[test]
    fn every_job_is_run_also_those_queued_at_the_stop_and_later_ones() {
        let threads = DeliveryThreads::start().unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let (release, held) = sync_channel::<()>(0);
        threads.execute(vec![Box::new(move || {
            held.recv().expect_err("nothing is sent");
        })]);
        let counting = || {
            let count = Arc::clone(&count);
            let job: Job = Box::new(move || {
                count.fetch_add(1, Ordering::SeqCst);
            });
            vec![job]
        };
        for _ in 0..100 {
            threads.execute(counting());
        }
        drop(release);
        threads.stop();
        assert_eq!(count.load(Ordering::SeqCst), 100);
        threads.execute(counting());
        assert_eq!(count.load(Ordering::SeqCst), 101);
        threads.stop();
    }
}
