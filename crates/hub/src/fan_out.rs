//! Deliveries to many sessions leave the store's thread: [`FanOut`].
//!
//! In: completions of the store that concern live sessions, each for one user. Out: the same, run in
//! the order of the completions per user: at once on the store's thread where little is to be done, else by the
//! [`Executor`]. Users are spread over shards; the work of a shard is one queue, which one job at a time works off.
//!
//! Invariant: what concerns one user is never reordered. The completions of one user follow each other, and the
//! second one runs at once only if nothing of the user's shard is outstanding, so everything before it has been done;
//! otherwise it queues up behind. That holds for reads as for appends: a session still goes live inside the
//! completion of the read that found nothing more, in the same order relative to the appends around it.
//! What is outstanding is bounded: above it the hub takes no messages, as when the store is busy.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use tidewire_engine::{Batch, Placed, ReadError};

use crate::{
    Executor, Hub, Job, MessageId, Publication,
    live::Live,
    origin::{Origin, RefusedRecipient},
    session_table::{SHARDS, Sessions},
};

#[derive(Debug)]
pub(crate) struct FanOut {
    shards: Box<[Shard]>,
    executor: Arc<dyn Executor>,
    /// Deliveries to users that have not been made yet.
    outstanding: AtomicUsize,
    outstanding_max: usize,
}

#[derive(Debug, Default)]
struct Shard {
    /// Queued or running.
    outstanding: AtomicUsize,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    work: VecDeque<Work>,
    /// A job is on its way that works it off.
    has_job: bool,
}

/// A completion's part for the sessions of one user.
#[derive(Debug)]
pub(crate) enum Work {
    /// A message for all of them.
    Append {
        message: Arc<Stored>,
        sessions: Sessions,
        placed: Placed,
    },
    /// The next messages of the mailbox for one of them.
    Read {
        live: Arc<Live>,
        result: Result<Batch, ReadError>,
    },
}

/// A message that is stored and not delivered to everybody yet. With the last delivery its origin hears the
/// outcome, so what a connection may have under way bounds this too.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) publication: Arc<Publication>,
    pub(crate) epoch: u64,
    pub(crate) origin: Origin,
    pub(crate) refused: Vec<RefusedRecipient>,
}

impl Stored {
    pub(crate) fn id(&self) -> MessageId {
        self.publication.id()
    }
}

impl FanOut {
    pub(crate) fn new(executor: Arc<dyn Executor>, outstanding_max: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            executor,
            outstanding: AtomicUsize::new(0),
            outstanding_max,
        }
    }

    /// Returns whether so much is outstanding that no message should be taken.
    pub(crate) fn is_full(&self) -> bool {
        self.outstanding.load(Ordering::Relaxed) >= self.outstanding_max
    }

    /// Returns whether everything that was handed over for the users of this shard has been done, so that the next
    /// completion may be run at once.
    pub(crate) fn is_idle(&self, shard: usize) -> bool {
        // Pairs with the release behind each piece of work: its effects are there.
        self.shard(shard).outstanding.load(Ordering::Acquire) == 0
    }

    fn shard(&self, shard: usize) -> &Shard {
        self.shards
            .get(shard)
            .expect("there are as many as users are spread over")
    }
}

impl Hub {
    /// Has each piece of work done behind everything of its shard that was handed over before.
    pub(crate) fn hand_over(self: &Arc<Self>, work: impl IntoIterator<Item = (usize, Work)>) {
        // The threads are woken once for all of it.
        let mut jobs = Vec::new();
        for (shard, work) in work {
            let state = self.fan_out.shard(shard);
            state.outstanding.fetch_add(1, Ordering::Relaxed);
            self.fan_out.outstanding.fetch_add(1, Ordering::Relaxed);
            let mut queue = state.queue.lock();
            queue.work.push_back(work);
            if !std::mem::replace(&mut queue.has_job, true) {
                jobs.push(self.job(shard));
            }
        }
        if !jobs.is_empty() {
            self.fan_out.executor.execute(jobs);
        }
    }

    fn job(self: &Arc<Self>, shard: usize) -> Job {
        let hub = Arc::clone(self);
        Box::new(move || hub.work_off(shard))
    }

    /// Works off a shard for a while; then the others have their turn.
    fn work_off(self: &Arc<Self>, shard: usize) {
        let state = self.fan_out.shard(shard);
        for _ in 0..WORK_PER_JOB {
            let work = {
                let mut queue = state.queue.lock();
                let Some(work) = queue.work.pop_front() else {
                    queue.has_job = false;
                    if queue.work.capacity() > IDLE_CAPACITY_MAX {
                        queue.work = VecDeque::new();
                    }
                    return;
                };
                work
            };
            self.run(work);
            state.outstanding.fetch_sub(1, Ordering::Release);
            self.fan_out.outstanding.fetch_sub(1, Ordering::Relaxed);
        }
        self.fan_out.executor.execute(vec![self.job(shard)]);
    }

    /// Does a piece of work. A panic, which only a bug or a caller's waker can cause, costs those who would have been
    /// served behind it the live delivery, not the message: it stays in the mailbox, and the gap in the offsets of the next one
    /// has them read it. It must not end here, or everything behind it in the shard would wait for ever.
    fn run(self: &Arc<Self>, work: Work) {
        match work {
            Work::Append {
                message,
                sessions,
                placed,
            } => {
                contain_panic(|| {
                    self.deliver_to(&sessions, &message.publication, message.epoch, placed);
                });
                if let Some(message) = Arc::into_inner(message) {
                    self.delivered(message);
                }
            }
            Work::Read { live, result } => contain_panic(|| self.handle_read(&live, result)),
        }
    }
}

fn contain_panic(deliver: impl FnOnce()) {
    // What is shared is behind locks that are released whole.
    if catch_unwind(AssertUnwindSafe(deliver)).is_err() {
        tracing::error!(
            "a delivery to live sessions panicked; they will read the message from the mailbox"
        );
    }
}

/// Pieces of work that a job does before the next shard's.
const WORK_PER_JOB: usize = 32;
/// An idle shard keeps no more places than this.
const IDLE_CAPACITY_MAX: usize = 64;
