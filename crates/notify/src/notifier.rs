//! All targets together: [`Notifier`].
//!
//! In: checked settings and an outbox. Out: a worker per target, until they are stopped; their counters; dead
//! letters, listed and delivered again.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tidewire_engine::{DeadLetter, Outbox, OutboxStats, TargetName, TargetRegistration};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout},
};

use crate::{
    BreakerState, Event, RenderMessage, Settings, StoreError, TargetCounts,
    stats::Counters,
    store::Store,
    worker::{Destination, Phase, Worker},
};

/// The events could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The store does not answer.
    #[error("the store does not take the targets of events")]
    Store(#[from] StoreError),
}

/// Workers that pass events on until [`stop`](Self::stop).
#[derive(Debug)]
pub struct Notifier {
    targets: Targets,
    phase: watch::Sender<Phase>,
    workers: Mutex<Vec<JoinHandle<()>>>,
    stop_timeout: Duration,
}

/// The targets, to be looked at and for their dead letters; cheaply cloned.
#[derive(Clone, Debug)]
pub struct Targets {
    store: Store,
    destinations: Arc<[Arc<Destination>]>,
    render: RenderEvents,
}

/// Hides the function from `Debug`.
#[derive(Clone)]
struct RenderEvents(RenderMessage);

impl std::fmt::Debug for RenderEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RenderEvents")
    }
}

/// How a target does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TargetStatus {
    /// Its name.
    pub name: TargetName,
    /// Its type, such as `file`.
    pub kind: &'static str,
    /// Its counters since the start.
    pub counts: TargetCounts,
    /// Tells whether it is left alone.
    pub breaker: BreakerState,
    /// Events that it has not taken, those included that it is not to get.
    pub pending: u64,
    /// Events that it has missed because the outbox was full.
    pub dropped: u64,
}

/// Tells what came of dead letters that were tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replayed {
    /// So many were taken, and are no dead letters any more.
    pub delivered: u64,
    /// So many were not; they stay.
    pub failed: u64,
}

impl Notifier {
    /// Registers the targets and starts their workers. Without targets it only forgets those of earlier.
    ///
    /// # Errors
    /// [`StartError`]; then nothing runs.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(
        settings: &Settings,
        outbox: &Arc<dyn Outbox>,
        render: RenderMessage,
    ) -> Result<Self, StartError> {
        let store = Store(Arc::clone(outbox));
        let mut destinations = Vec::with_capacity(settings.targets.len());
        for target in &settings.targets {
            destinations.push(Arc::new(Destination {
                name: TargetName::from(&*target.config.name),
                target: target.kind.make(&target.config),
                settings: target.clone(),
                counters: Counters::default(),
            }));
        }
        let fed = |destination: &&Arc<Destination>| !destination.settings.filter.kinds.is_empty();
        let registrations = destinations
            .iter()
            .filter(fed)
            .map(|destination| TargetRegistration {
                name: TargetName::clone(&destination.name),
                on_full: destination.settings.on_full,
            });
        let cursors = store.register(registrations.collect())?;
        let (told, news) = watch::channel(0_u64);
        outbox.on_new_events(Arc::new(move || told.send_modify(|count| *count += 1)));
        let (phase, phase_seen) = watch::channel(Phase::Running);
        let mut workers = Vec::new();
        for destination in destinations.iter().filter(fed) {
            let known = cursors
                .iter()
                .find(|cursor| cursor.name == destination.name);
            let names = &destination.settings.config.fallback;
            let named = |name: &String| destinations.iter().find(|other| *other.name == **name);
            let worker = Worker::new(
                Arc::clone(destination),
                names.iter().filter_map(named).cloned().collect(),
                (store.clone(), known.map_or(0, |known| known.cursor)),
                Arc::clone(&render),
                (news.clone(), phase_seen.clone()),
            );
            workers.push(tokio::spawn(worker.run()));
        }
        Ok(Self {
            targets: Targets {
                store,
                destinations: destinations.into(),
                render: RenderEvents(render),
            },
            phase,
            workers: Mutex::new(workers),
            stop_timeout: settings.stop_timeout,
        })
    }

    /// The targets, for those who look at them.
    pub fn targets(&self) -> Targets {
        self.targets.clone()
    }

    /// Goes on for at most [`EventsConfig::stop_timeout`](crate::EventsConfig::stop_timeout) with what can be delivered
    /// at once, then ends the workers. What is left comes after the next start. Call it before the store is stopped.
    pub async fn stop(&self) {
        let workers = std::mem::take(&mut *self.workers.lock());
        let deadline = Instant::now() + self.stop_timeout;
        self.phase.send_replace(Phase::Finishing);
        for mut worker in workers {
            let left = deadline.saturating_duration_since(Instant::now());
            if timeout(left, &mut worker).await.is_err() {
                self.phase.send_replace(Phase::Over);
                if let Err(error) = worker.await {
                    tracing::error!(%error, "a worker of events ended abruptly");
                }
            }
        }
    }
}

impl Targets {
    /// How each target does, in the order of the configuration.
    pub fn status(&self) -> Vec<TargetStatus> {
        let stats = self.outbox_stats();
        let status = |destination: &Arc<Destination>| {
            let stats = stats
                .targets
                .iter()
                .find(|stats| stats.name == destination.name);
            TargetStatus {
                name: TargetName::clone(&destination.name),
                kind: destination.settings.kind.name(),
                counts: destination.counters.snapshot(),
                breaker: destination.counters.breaker(),
                pending: stats.map_or(0, |stats| stats.pending),
                dropped: stats.map_or(0, |stats| stats.dropped),
            }
        };
        self.destinations.iter().map(status).collect()
    }

    /// Counters of the outbox.
    pub fn outbox_stats(&self) -> OutboxStats {
        self.store.0.outbox_stats()
    }

    /// At most `count` dead letters with an id greater than `after`, oldest first, each with its event; `None` where
    /// another program has written it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dead_letters(
        &self,
        after: u64,
        count: usize,
    ) -> Result<Vec<(DeadLetter, Option<Event>)>, StoreError> {
        let letters = self.store.dead_letters(after, count).await?;
        let with_event = |letter: DeadLetter| {
            let event = Event::of(letter.event.clone(), letter.epoch, &self.render.0);
            (letter, event.ok())
        };
        Ok(letters.into_iter().map(with_event).collect())
    }

    /// Forgets dead letters; returns how many there were.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove_dead_letters(&self, ids: Vec<u64>) -> Result<u64, StoreError> {
        self.store.remove_dead_letters(ids).await
    }

    /// Gives dead letters to their targets once more, one by one in their order, each once: those with one of these
    /// ids, or all that there are now of `target`, or all. Those that are taken are no dead letters any more; one
    /// that is taken and not yet forgotten in a crash comes again.
    ///
    /// # Errors
    /// [`StoreError`]: the rest stays as it is.
    pub async fn replay(
        &self,
        ids: Option<&[u64]>,
        target: Option<&str>,
    ) -> Result<Replayed, StoreError> {
        let mut replayed = Replayed::default();
        let mut after = 0;
        // Those that die meanwhile are not tried at once again.
        let began = self.outbox_stats().dead_letters;
        let mut seen = 0;
        while seen < began {
            let letters = self.dead_letters(after, REPLAYED_AT_A_TIME).await?;
            let Some((last, _)) = letters.last() else {
                break;
            };
            after = last.id;
            seen += letters.len() as u64;
            let mut taken = Vec::new();
            for (letter, event) in letters {
                let is_meant = ids.is_none_or(|ids| ids.contains(&letter.id))
                    && target.is_none_or(|target| *letter.target == *target);
                if !is_meant {
                    continue;
                }
                if self.deliver_again(&letter, event).await {
                    taken.push(letter.id);
                } else {
                    replayed.failed += 1;
                }
            }
            replayed.delivered += taken.len() as u64;
            self.store.remove_dead_letters(taken).await?;
        }
        Ok(replayed)
    }

    async fn deliver_again(&self, letter: &DeadLetter, event: Option<Event>) -> bool {
        let found = self
            .destinations
            .iter()
            .find(|destination| destination.name == letter.target);
        let (Some(destination), Some(event)) = (found, event) else {
            return false;
        };
        match destination.deliver(&[Arc::new(event)]).await {
            Ok(()) => {
                destination.counters.delivered(1);
                true
            }
            Err(error) => {
                tracing::debug!(target = %letter.target, reason = %error, id = letter.id, "a dead letter was not taken");
                false
            }
        }
    }
}

const REPLAYED_AT_A_TIME: usize = 100;
