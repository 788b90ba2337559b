//! One target's task: reads the outbox on from the target's cursor, delivers, tries again, moves the cursor.
//!
//! All decisions about order and attempts are [`Window`]'s, all about the target as a whole [`Breaker`]'s. Deliveries and
//! reads are tasks of their own, so that none waits for another.

#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc, time::Duration};

use tidewire_engine::{DeadLetter, TargetName};
use tokio::{
    sync::watch,
    task::{Id, JoinError, JoinSet},
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    BreakerState, DeliveryError, Event, Fault, RenderMessage, StoreError, Target, TargetSettings,
    pace::Breaker,
    stats::Counters,
    store::Store,
    window::{Failed, Window},
};

/// A target with what is decided for it.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) name: TargetName,
    pub(crate) target: Arc<dyn Target>,
    pub(crate) settings: TargetSettings,
    pub(crate) counters: Counters,
}

/// How far the stop of the workers has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// Tells what can be delivered at once still is.
    Finishing,
    Over,
}

pub(crate) struct Worker {
    pub(crate) destination: Arc<Destination>,
    pub(crate) fallbacks: Vec<Arc<Destination>>,
    pub(crate) store: Store,
    pub(crate) render: RenderMessage,
    pub(crate) news: watch::Receiver<u64>,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) window: Window,
    pub(crate) breaker: Breaker,
    tasks: JoinSet<Outcome>,
    /// Tells what each delivery is about, should its task panic.
    under_way: HashMap<Id, Vec<Arc<Event>>>,
    /// The same for the other tasks.
    others: HashMap<Id, Other>,
    is_reading: bool,
    /// Nothing is read before: a read has ended abruptly.
    read_again: Option<Instant>,
    has_more: bool,
    saved: u64,
    is_over: bool,
}

/// A task that is no delivery.
enum Other {
    Read,
    LastResort(LastResort),
}

/// An event for fallbacks and the dead letters.
#[derive(Clone)]
struct LastResort {
    event: Arc<Event>,
    attempts: u32,
    reason: String,
}

enum Outcome {
    Read(Result<Read, StoreError>),
    Delivery(Result<(), DeliveryError>),
    /// The event is with a fallback or a dead letter; `false`: the store is closed.
    LastResort(Arc<Event>, bool),
}

struct Read {
    /// `None`: the target does not get it.
    events: Vec<(u64, Option<Event>)>,
    up_to: u64,
    more: bool,
}

impl Worker {
    pub(crate) fn new(
        destination: Arc<Destination>,
        fallbacks: Vec<Arc<Destination>>,
        (store, cursor): (Store, u64),
        render: RenderMessage,
        (news, phase): (watch::Receiver<u64>, watch::Receiver<Phase>),
    ) -> Self {
        let settings = &destination.settings;
        let breaker = Breaker::new(settings.breaker_failures, settings.breaker_pause);
        Self {
            destination,
            fallbacks,
            store,
            render,
            news,
            phase,
            window: Window::new(cursor),
            breaker,
            tasks: JoinSet::new(),
            under_way: HashMap::new(),
            others: HashMap::new(),
            is_reading: false,
            read_again: None,
            has_more: true,
            saved: cursor,
            is_over: false,
        }
    }

    /// Works until the phase is over or the store is closed.
    pub(crate) async fn run(mut self) {
        while !self.is_over {
            self.read();
            self.deliver();
            self.save();
            if self.is_finished() {
                break;
            }
            let wake_at = self.wake_at();
            tokio::select! {
                Some(result) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => {
                    self.handle(result);
                }
                changed = self.news.changed(), if !self.has_more => {
                    self.has_more = true;
                    self.is_over |= changed.is_err();
                }
                changed = self.phase.changed() => self.is_over |= changed.is_err(),
                () = sleep_until(wake_at.unwrap_or_else(Instant::now)), if wake_at.is_some() => {}
            }
        }
        // What is cut off here comes again after the next start.
        self.tasks.shutdown().await;
        self.save();
    }

    fn is_finished(&self) -> bool {
        match *self.phase.borrow() {
            Phase::Running => false,
            Phase::Finishing => self.tasks.is_empty(),
            Phase::Over => true,
        }
    }

    fn read(&mut self) {
        let (entries, bytes) = self.window.len();
        if self.is_reading || !self.has_more || entries >= WINDOW_EVENTS || bytes >= WINDOW_BYTES {
            return;
        }
        if self.read_again.is_some_and(|at| Instant::now() < at) {
            return;
        }
        self.read_again = None;
        self.is_reading = true;
        self.has_more = false;
        let store = self.store.clone();
        let after = self.window.next_read();
        let render = Arc::clone(&self.render);
        let destination = Arc::clone(&self.destination);
        let count = (WINDOW_EVENTS - entries).min(READ_EVENTS);
        let task = self.tasks.spawn(async move {
            let batch = match store.read(after, count, READ_BYTES).await {
                Ok(batch) => batch,
                Err(error) => return Outcome::Read(Err(error)),
            };
            let events = batch.events.into_iter().map(|stored| {
                let sequence = stored.sequence;
                let event = Event::of(stored, batch.epoch, &render);
                (sequence, destination.wanted(event.ok()))
            });
            Outcome::Read(Ok(Read {
                events: events.collect(),
                up_to: batch.read_up_to,
                more: batch.more,
            }))
        });
        self.others.insert(task.id(), Other::Read);
    }

    /// Begins as many deliveries as may go.
    fn deliver(&mut self) {
        let destination = &self.destination;
        let settings = &destination.settings;
        while self.under_way.len() < settings.parallel {
            let now = Instant::now();
            if !self.breaker.allows(now) {
                break;
            }
            let batch = if self.breaker.state() == BreakerState::Closed {
                let (events_max, bytes_max) = (settings.batch_max, settings.batch_bytes_max);
                self.window.take_batch(now, events_max, bytes_max)
            } else {
                self.window.take_trial(now)
            };
            let Some(batch) = batch else { break };
            self.breaker.begin();
            let (destination, events) = (Arc::clone(destination), batch.clone());
            let task = self
                .tasks
                .spawn(async move { Outcome::Delivery(destination.deliver(&events).await) });
            self.under_way.insert(task.id(), batch);
        }
        destination.counters.set_breaker(self.breaker.state());
    }

    /// Tells the store up to where everything is done.
    fn save(&mut self) {
        let cursor = self.window.cursor();
        if cursor > self.saved {
            self.saved = cursor;
            self.store.advance(&self.destination.name, cursor);
        }
        let in_hand = self.window.pending() as u64;
        self.destination.counters.set_in_hand(in_hand);
    }

    fn wake_at(&self) -> Option<Instant> {
        let read = self.read_again.filter(|_| !self.is_reading);
        let deliver = self.deliver_at();
        read.into_iter().chain(deliver).min()
    }

    fn deliver_at(&self) -> Option<Instant> {
        let retry = self.window.next_retry();
        match self.breaker.state() {
            BreakerState::Closed if self.under_way.len() < self.destination.settings.parallel => {
                retry
            }
            BreakerState::Open if self.window.pending() > 0 => {
                let open_until = self.breaker.open_until();
                // Nothing may be due by then.
                open_until.max(retry.filter(|_| self.window.is_waiting()))
            }
            BreakerState::Closed | BreakerState::Open | BreakerState::HalfOpen => None,
        }
    }

    fn handle(&mut self, result: Result<(Id, Outcome), JoinError>) {
        let (id, outcome) = match result {
            Ok(done) => done,
            Err(error) => return self.ended_abruptly(&error),
        };
        self.others.remove(&id);
        match outcome {
            Outcome::Read(Ok(read)) => {
                self.is_reading = false;
                // News that came while the store was read may be of events behind what was read.
                self.has_more |= read.more;
                for (sequence, event) in read.events {
                    self.window.push(sequence, event);
                }
                self.window.read_up_to(read.up_to);
            }
            Outcome::Read(Err(error)) => {
                tracing::debug!(target = %self.destination.name, %error, "no more events");
                self.is_over = true;
            }
            Outcome::Delivery(result) => {
                let events = self.under_way.remove(&id).unwrap_or_default();
                self.handle_delivery(&events, result);
            }
            Outcome::LastResort(event, true) => self.window.done(&[event]),
            Outcome::LastResort(_, false) => self.is_over = true,
        }
    }

    /// A task has panicked: none of what it was about is forgotten.
    fn ended_abruptly(&mut self, error: &JoinError) {
        let id = error.id();
        let name = &self.destination.name;
        match self.others.remove(&id) {
            Some(Other::Read) => {
                tracing::error!(target = %name, %error, "reading events ended abruptly: it is tried again");
                self.is_reading = false;
                self.has_more = true;
                self.read_again = Some(Instant::now() + READ_AGAIN_AFTER);
            }
            Some(Other::LastResort(last)) => {
                tracing::error!(target = %name, %error, "a fallback ended abruptly: its event becomes a dead letter");
                self.last_resort(last, Vec::new());
            }
            None => {
                tracing::error!(target = %name, %error, "a delivery ended abruptly");
                let events = self.under_way.remove(&id).unwrap_or_default();
                // Which event it was shows one by one; it counts as an attempt of that one.
                let failed = DeliveryError::batch("the delivery ended abruptly");
                self.handle_delivery(&events, Err(failed));
            }
        }
    }

    fn handle_delivery(&mut self, events: &[Arc<Event>], result: Result<(), DeliveryError>) {
        let counters = &self.destination.counters;
        let error = match result {
            Ok(()) => {
                self.breaker.works();
                counters.delivered(events.len());
                return self.window.done(events);
            }
            Err(error) => error,
        };
        counters.failed();
        let (taken, rest) = events.split_at(error.taken.min(events.len()));
        counters.delivered(taken.len());
        self.window.done(taken);
        let Some((first, behind)) = rest.split_first() else {
            return self.breaker.works();
        };
        let now = Instant::now();
        let settings = &self.destination.settings;
        let attempt = self.window.attempts(first.sequence) + 1;
        let pause = settings.backoff.pause(attempt, random());
        let retry_at = now + pause.max(error.retry_after.unwrap_or_default());
        let attempts_max = settings.attempts;
        tracing::debug!(target = %self.destination.name, reason = %error, attempt, "not delivered");
        let exhausted = match error.fault {
            Fault::Unavailable => {
                let was = self.breaker.state();
                let counts = self.breaker.failed(now, random());
                if was == BreakerState::Closed && self.breaker.state() == BreakerState::Open {
                    tracing::warn!(target = %self.destination.name, reason = %error,
                        "a target of events does not work: it is left alone for a while");
                }
                let failed = Failed::All { retry_at, counts };
                self.window.failed(rest, failed, attempts_max)
            }
            Fault::Batch if !behind.is_empty() => {
                self.works();
                self.window.failed(rest, Failed::OneByOne, attempts_max)
            }
            Fault::Refused | Fault::Batch => {
                self.works();
                self.window
                    .failed(rest, Failed::First { retry_at }, attempts_max)
            }
            Fault::Impossible => {
                self.works();
                self.window.release(behind);
                vec![(Arc::clone(first), attempt)]
            }
        };
        for (event, attempts) in exhausted {
            let last = LastResort {
                event,
                attempts,
                reason: error.reason.clone(),
            };
            self.last_resort(last, self.fallbacks.clone());
        }
    }

    fn works(&mut self) {
        if self.breaker.state() != BreakerState::Closed {
            tracing::info!(target = %self.destination.name, "a target of events works again");
        }
        self.breaker.works();
    }

    /// Gives an event to the fallbacks in turn, and if none takes it, makes it a dead letter. It stays under way meanwhile.
    fn last_resort(&mut self, last: LastResort, fallbacks: Vec<Arc<Destination>>) {
        let destination = Arc::clone(&self.destination);
        let store = self.store.clone();
        let LastResort {
            event,
            attempts,
            reason,
        } = last.clone();
        let task = self.tasks.spawn(async move {
            for fallback in &fallbacks {
                if fallback.rescue(&event, destination.settings.attempts).await {
                    destination.counters.rescued();
                    return Outcome::LastResort(event, true);
                }
            }
            let letter = destination.letter(&event, attempts, reason);
            let is_kept = destination.bury(&store, letter).await;
            Outcome::LastResort(event, is_kept)
        });
        self.others.insert(task.id(), Other::LastResort(last));
    }
}

impl Destination {
    /// The event, if this target gets it.
    fn wanted(&self, event: Option<Event>) -> Option<Event> {
        let Some(event) = event else {
            self.counters.unreadable();
            return None;
        };
        if self.settings.filter.passes(&event) {
            return Some(event);
        }
        self.counters.filtered();
        None
    }

    /// One attempt, cut off in time.
    pub(crate) async fn deliver(&self, events: &[Arc<Event>]) -> Result<(), DeliveryError> {
        let within = self.settings.timeout;
        match timeout(within, self.target.deliver(events)).await {
            Ok(result) => result,
            Err(_elapsed) => {
                let reason = format!("no answer within {} ms", within.as_millis());
                Err(DeliveryError::unavailable(reason))
            }
        }
    }

    /// Takes an event that another target could not be given, with one attempt more than that had.
    async fn rescue(&self, event: &Arc<Event>, attempts: u32) -> bool {
        for attempt in 1..=attempts.saturating_add(1) {
            match self.deliver(std::slice::from_ref(event)).await {
                Ok(()) => return true,
                Err(error) if error.fault == Fault::Impossible => return false,
                Err(error) => {
                    tracing::debug!(target = %self.name, reason = %error, attempt, "a fallback has not taken an event");
                    if attempt <= attempts {
                        sleep(self.settings.backoff.pause(attempt, random())).await;
                    }
                }
            }
        }
        false
    }

    fn letter(&self, event: &Event, attempts: u32, reason: String) -> DeadLetter {
        DeadLetter {
            id: 0,
            target: TargetName::clone(&self.name),
            epoch: event.epoch,
            event: event.stored.clone(),
            reason,
            attempts,
            died_ms: u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default(),
        }
    }

    /// Returns whether the dead letter is on the disk; tries until it is, or the store is closed.
    async fn bury(&self, store: &Store, letter: DeadLetter) -> bool {
        tracing::warn!(target = %self.name, reason = letter.reason, attempts = letter.attempts,
            "an event could not be delivered: it is a dead letter now");
        loop {
            match store.bury(letter.clone()).await {
                Ok(()) => {
                    self.counters.dead();
                    return true;
                }
                Err(StoreError::Closed) => return false,
                Err(StoreError::Refused(error)) => {
                    if matches!(error, tidewire_engine::OutboxError::Failed { .. }) {
                        return false;
                    }
                    sleep(BURY_AGAIN_AFTER).await;
                }
            }
        }
    }
}

/// Only spreads attempts, so nothing hangs on it.
fn random() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}

/// Events in hand at most, those among them that are done included: what a crash may repeat.
const WINDOW_EVENTS: usize = 8192;
/// Bytes of events in hand.
const WINDOW_BYTES: usize = 16 << 20;
/// Events read at a time.
const READ_EVENTS: usize = 1024;
const READ_BYTES: usize = 1 << 20;
/// The pause before a read that follows one that has panicked.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(1);
const BURY_AGAIN_AFTER: Duration = Duration::from_secs(1);
