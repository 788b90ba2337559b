//! Functions that wait for a thread: posted to run there in order, one at a time.

use std::{
    any::Any,
    cell::Cell,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::Hooks;
use crate::queue::{Bounds, Queue, Refused};

/// A function that waits for a thread.
type Function = Box<dyn FnOnce() + Send>;

/// Jobs that run in a row before the thread does something else.
const IN_A_ROW: u32 = 64;

thread_local! {
    /// Whose jobs run on this thread.
    static CURRENT: Cell<Option<Place>> = const { Cell::new(None) };
}

/// A thread of a runtime, or the one place of a pool's jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) runtime: u64,
    pub(super) number: usize,
}

impl Place {
    /// The place whose jobs may run on this thread now.
    pub(super) fn current() -> Option<Self> {
        CURRENT.get()
    }

    /// Runs `work` with this as the current place.
    pub(super) fn within<T>(self, work: impl FnOnce() -> T) -> T {
        let before = CURRENT.replace(Some(self));
        let result = work();
        CURRENT.set(before);
        result
    }

    /// This thread's jobs are those of this place for good.
    pub(super) fn enter(self) {
        CURRENT.set(Some(self));
    }
}

/// A function was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PostError {
    /// As many as [`Config::jobs_max`](super::Config::jobs_max) wait already.
    #[error("too many jobs wait for the thread")]
    Full,
    /// The runtime has stopped.
    #[error("the runtime has stopped")]
    Stopped,
}

/// A job panicked.
#[derive(Debug, thiserror::Error)]
#[error("a job panicked: {0}")]
struct Panicked(String);

/// The jobs of one place.
#[derive(Clone)]
pub(super) struct Jobs {
    queue: Arc<Queue<Function>>,
    place: Place,
    hooks: Option<Arc<dyn Hooks>>,
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl Jobs {
    pub(super) fn new(jobs_max: usize, place: Place, hooks: Option<Arc<dyn Hooks>>) -> Self {
        let bounds = Bounds {
            items_max: jobs_max,
            bytes_max: usize::MAX,
        };
        Self {
            queue: Arc::new(Queue::new(bounds)),
            place,
            hooks,
        }
    }

    pub(super) fn post(&self, job: impl FnOnce() + Send + 'static) -> Result<(), PostError> {
        let queued = self.queue.try_push(Box::new(job), 0);
        queued.map_err(|refused| match refused {
            Refused::Full(_job) => PostError::Full,
            Refused::Closed(_job) => PostError::Stopped,
        })
    }

    /// Runs a job at once where the jobs of this place run, and queues it elsewhere.
    pub(super) fn dispatch(&self, job: impl FnOnce() + Send + 'static) -> Result<(), PostError> {
        if Place::current() != Some(self.place) {
            return self.post(job);
        }
        job();
        Ok(())
    }

    /// Takes no more jobs; those that wait are run.
    pub(super) fn close(&self) {
        self.queue.close();
    }

    /// Runs jobs in order until no more are taken and none is left.
    pub(super) async fn run(self) {
        let mut row = 0;
        while let Some(job) = self.queue.pop().await {
            self.run_one(job);
            row += 1;
            if row == IN_A_ROW {
                row = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    fn run_one(&self, job: Function) {
        let outcome = self.place.within(|| catch_unwind(AssertUnwindSafe(job)));
        if let Err(panic) = outcome {
            let error = Panicked(text_of(&*panic));
            tracing::error!(%error, "a job of a runtime");
            if let Some(hooks) = &self.hooks {
                hooks.error(&error);
            }
        }
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "for a reason that is no text".to_owned())
}
