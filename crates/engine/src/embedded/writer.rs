//! The store's thread: takes what is queued, commits it at once, then calls the completions.
//!
//! Group commit without a timer: while one commit waits for the disk, the next batch collects
//! in the queue. So a lone message is never delayed, and under load one fsync serves many.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    Shared,
    command::{BatchBounds, Command},
    database::Fault,
    fair::Turns,
    files::{DirLock, Displaced},
    plan::Reserved,
    queue::Taken,
    snapshot::SnapshotError,
    stats,
    store::Store,
};
use crate::{AppendError, Appended, OutboxError, ReadError};

pub(super) struct Writer {
    shared: Arc<Shared>,
    store: Store,
    bounds: BatchBounds,
    /// Taken from the queue, waiting for their submitters' turn.
    turns: Turns,
    /// Taken and not yet completed, in order.
    in_flight: VecDeque<Command>,
    /// When what has left the mailboxes is written even without a new append.
    flush_at: Option<Instant>,
    /// When a full disk is worth a line in the log again.
    log_disk_full_at: Option<Instant>,
    sweep_at: Instant,
    /// When to look after the files even without a commit.
    check_files_at: Instant,
    /// Held until the connection is closed; dropped last.
    lock: DirLock,
}

/// Why the thread cannot go on.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
    #[error(transparent)]
    Displaced(#[from] Displaced),
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        store: Store,
        bounds: BatchBounds,
        lock: DirLock,
    ) -> Self {
        Self {
            shared,
            store,
            bounds,
            turns: Turns::default(),
            in_flight: VecDeque::new(),
            flush_at: None,
            log_disk_full_at: None,
            sweep_at: Instant::now(),
            check_files_at: Instant::now(),
            lock,
        }
    }

    /// Works until the queue is closed and empty, or the store fails.
    pub(super) fn run(mut self) {
        match catch_unwind(AssertUnwindSafe(|| self.work())) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.fail(&error.to_string()),
            Err(_) => self.fail("the store's thread panicked, probably in a completion"),
        }
    }

    fn work(&mut self) -> Result<(), Broken> {
        loop {
            let timeout = self.timeout();
            let taken = self
                .shared
                .queue
                .take(&mut self.turns, timeout, self.bounds);
            let finished = taken.finished;
            self.cycle(taken)?;
            if finished {
                self.close()?;
                return Ok(self.check_files()?);
            }
        }
    }

    fn cycle(&mut self, taken: Taken) -> Result<(), Broken> {
        self.in_flight = taken.commands;
        self.store.expire();
        self.store.ack(taken.acks.iter());
        self.store.outbox.advance(taken.advances.iter());
        let due = self.flush_at.is_some_and(|at| at <= Instant::now());
        if self.plan()? || due || self.store.owes_clock() {
            self.commit()?;
            self.check_files()?;
        } else if self.check_files_at <= Instant::now() {
            self.check_files()?;
        }
        self.complete()?;
        self.store.evict();
        match self.store.checkpoint_if_due() {
            Ok(()) => {}
            Err(Fault::DiskFull) => self.disk_full(),
            Err(Fault::Fatal(error)) => return Err(error.into()),
        }
        self.sweep()?;
        if !self.store.owes_write() {
            self.flush_at = None;
        } else if self.flush_at.is_none() {
            self.flush_at = Some(Instant::now() + FLUSH_AFTER);
        }
        Ok(())
    }

    /// Before anything is answered: what was committed before its file went is still there.
    fn check_files(&mut self) -> Result<(), Displaced> {
        self.check_files_at = Instant::now() + CHECK_FILES_EVERY;
        self.lock.check()
    }

    /// Removes what an earlier format kept, a little at a time.
    fn sweep(&mut self) -> rusqlite::Result<()> {
        let is_due = self.sweep_at <= Instant::now();
        if !self.store.owes_sweep() || !is_due {
            return Ok(());
        }
        match self.store.sweep() {
            Ok(()) => self.sweep_at = Instant::now() + SWEEP_EVERY,
            // It only makes room, so it can wait for some.
            Err(Fault::DiskFull) => self.sweep_at = Instant::now() + LOG_AGAIN_AFTER,
            Err(Fault::Fatal(error)) => return Err(error),
        }
        Ok(())
    }

    /// Decides about each append; returns whether any is to be written.
    fn plan(&mut self) -> rusqlite::Result<bool> {
        let mut reserved = Reserved::default();
        let mut any = false;
        self.store.outbox.begin_batch();
        for command in &mut self.in_flight {
            match command {
                Command::Append { append, plan, .. } => {
                    *plan = self.store.plan(append, &mut reserved)?;
                    any |= plan.is_ok();
                }
                Command::Outbox { request, plan } => {
                    *plan = self.store.plan_outbox(request);
                    any |= plan.is_ok() && request.writes();
                }
                Command::Read { .. }
                | Command::Purge { .. }
                | Command::Mailboxes { .. }
                | Command::Snapshot { .. } => {}
            }
        }
        Ok(any)
    }

    /// Commits the batch. Without room for all, what has left the mailboxes is written alone,
    /// which frees pages; then the appends get one more chance.
    fn commit(&mut self) -> rusqlite::Result<()> {
        self.store.retake_reserve()?;
        let mut result = self.store.write(self.in_flight.iter());
        if matches!(result, Err(Fault::DiskFull)) && self.store.owes_write() {
            // Deleting their rows makes room, telling of them takes some.
            self.store.outbox.lose_expired();
            result = self.store.write(std::iter::empty());
            if matches!(result, Err(Fault::DiskFull)) {
                let freed = self.store.write_shared_rows();
                result = freed.and_then(|()| self.store.write(std::iter::empty()));
            }
            if matches!(result, Err(Fault::DiskFull)) {
                result = self.drain();
            }
            if result.is_ok() {
                result = self.store.write(self.in_flight.iter());
            }
        }
        match result {
            Ok(()) => {
                // What exceeded one transaction goes with the next cycle.
                self.flush_at = self.store.owes_write().then(Instant::now);
                if self
                    .shared
                    .counters
                    .disk_full
                    .swap(false, Ordering::Relaxed)
                {
                    tracing::info!("the store's disk has room again");
                }
                Ok(())
            }
            Err(Fault::DiskFull) => {
                self.flush_at = self
                    .store
                    .owes_write()
                    .then(|| Instant::now() + RETRY_AFTER);
                self.disk_full();
                Ok(())
            }
            Err(Fault::Fatal(error)) => Err(error),
        }
    }

    /// Writes what has left the mailboxes with the room kept back for that.
    fn drain(&mut self) -> Result<(), Fault> {
        if self.store.give_up_reserve()? {
            self.store.write(std::iter::empty())
        } else {
            Err(Fault::DiskFull)
        }
    }

    /// Refuses the appends that were to be written.
    fn disk_full(&mut self) {
        self.shared
            .counters
            .disk_full
            .store(true, Ordering::Relaxed);
        for command in &mut self.in_flight {
            match command {
                Command::Append { plan, .. } if plan.is_ok() => {
                    *plan = Err(AppendError::DiskFull);
                }
                Command::Outbox { request, plan } if plan.is_ok() && request.writes() => {
                    *plan = Err(OutboxError::DiskFull);
                    self.store.outbox.lose(request.events_len());
                }
                Command::Append { .. }
                | Command::Outbox { .. }
                | Command::Read { .. }
                | Command::Purge { .. }
                | Command::Mailboxes { .. }
                | Command::Snapshot { .. } => {}
            }
        }
        let now = Instant::now();
        if self.log_disk_full_at.is_none_or(|at| at <= now) {
            tracing::error!("the store's disk is full: refusing messages until there is room");
            self.log_disk_full_at = Some(now + LOG_AGAIN_AFTER);
        }
    }

    /// Calls the completions in the order of execution. The effects of a command become
    /// visible right before its completion, so a read sees exactly what was completed before.
    fn complete(&mut self) -> rusqlite::Result<()> {
        while let Some(command) = self.in_flight.pop_front() {
            match command {
                Command::Append {
                    append,
                    done,
                    plan: Ok(planned),
                } => {
                    let outcomes = self.store.publish(&append, &planned);
                    done(Ok(Appended {
                        epoch: self.store.epoch(),
                        outcomes,
                    }));
                }
                Command::Append {
                    done,
                    plan: Err(error),
                    ..
                } => {
                    stats::add(&self.shared.counters.refused, 1);
                    done(Err(error));
                }
                Command::Purge { purge, done } => done(Ok(self.store.purge(&purge))),
                Command::Mailboxes { query, done } => done(Ok(self.store.mailboxes(&query))),
                Command::Snapshot { done } => match self.store.snapshot() {
                    Ok(taken) => done(taken),
                    Err(error) => {
                        self.in_flight.push_front(Command::Snapshot { done });
                        return Err(error);
                    }
                },
                Command::Outbox { request, plan } => self.store.complete_outbox(request, plan)?,
                Command::Read { read, done } => match self.store.read(&read) {
                    Ok(batch) => done(Ok(batch)),
                    Err(error) => {
                        self.in_flight.push_front(Command::Read { read, done });
                        return Err(error);
                    }
                },
            }
        }
        self.store.tell_new_events();
        Ok(())
    }

    fn close(&mut self) -> rusqlite::Result<()> {
        match self.store.close() {
            Ok(()) => Ok(()),
            Err(Fault::DiskFull) => {
                // The log stays and is replayed; acknowledged messages may be seen again.
                tracing::warn!("the store was closed with a full disk");
                Ok(())
            }
            Err(Fault::Fatal(error)) => Err(error),
        }
    }

    /// Stops for good. After a failed write or fsync nobody knows what is on disk; the only
    /// safe step is to read it again from the start, in a new process.
    fn fail(&mut self, reason: &str) {
        tracing::error!(reason, "the store has failed and stopped for good");
        let reason: Arc<str> = Arc::from(reason);
        let reason = self.shared.counters.failed.get_or_init(|| reason);
        self.shared.queue.close();
        loop {
            for command in self.in_flight.drain(..) {
                let reason = Arc::clone(reason);
                let told = catch_unwind(AssertUnwindSafe(|| match command {
                    Command::Append { done, .. } => done(Err(AppendError::Failed { reason })),
                    Command::Read { done, .. } => done(Err(ReadError::Failed { reason })),
                    Command::Purge { done, .. } => done(Err(ReadError::Failed { reason })),
                    Command::Mailboxes { done, .. } => done(Err(ReadError::Failed { reason })),
                    Command::Snapshot { done } => done(Err(SnapshotError::Failed { reason })),
                    Command::Outbox { request, .. } => request.store_failed(reason),
                }));
                if told.is_err() {
                    tracing::error!("a completion panicked");
                }
            }
            let taken = self
                .shared
                .queue
                .take(&mut self.turns, Some(Duration::ZERO), self.bounds);
            if taken.finished && taken.commands.is_empty() {
                return;
            }
            self.in_flight = taken.commands;
        }
    }

    /// How long to wait for commands: until something expires or is to be written.
    fn timeout(&self) -> Option<Duration> {
        let flush = self
            .flush_at
            .map(|at| at.saturating_duration_since(Instant::now()));
        let sweep = self
            .store
            .owes_sweep()
            .then(|| self.sweep_at.saturating_duration_since(Instant::now()));
        let due = self.store.due_in_ms().map(Duration::from_millis);
        let files = Some(
            self.check_files_at
                .saturating_duration_since(Instant::now()),
        );
        [flush, sweep, due, files].into_iter().flatten().min()
    }
}

/// How long an acknowledgement may wait for an append to share its commit with.
const FLUSH_AFTER: Duration = Duration::from_millis(50);
/// How often draining is tried again on a full disk.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long an idle store may not notice that its files are gone.
const CHECK_FILES_EVERY: Duration = Duration::from_secs(5);
/// Leaves the disk to the messages in between.
const SWEEP_EVERY: Duration = Duration::from_millis(20);
const LOG_AGAIN_AFTER: Duration = Duration::from_secs(10);
