//! [`Destination`]: a target with what is decided for it, and what is done with one event or batch.
//!
//! In: events. Out: an attempt cut off in time, a rescue by a fallback, a dead letter. Invariant: nothing here decides about
//! order or pauses between the attempts of a worker.

use std::{sync::Arc, time::Duration};

use tidewire_engine::{DeadLetter, TargetName};
use tokio::time::{sleep, timeout};

use super::random;
use crate::{
    DeliveryError, Event, Fault, StoreError, Target, TargetSettings, stats::Counters, store::Store,
};

/// A target with what is decided for it.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) name: TargetName,
    pub(crate) target: Arc<dyn Target>,
    pub(crate) settings: TargetSettings,
    pub(crate) counters: Counters,
}

impl Destination {
    /// The event, if this target gets it.
    pub(super) fn wanted(&self, event: Option<Event>) -> Option<Event> {
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
    pub(super) async fn rescue(&self, event: &Arc<Event>, attempts: u32) -> bool {
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

    pub(super) fn letter(&self, event: &Event, attempts: u32, reason: String) -> DeadLetter {
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
    pub(super) async fn bury(&self, store: &Store, letter: DeadLetter) -> bool {
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

const BURY_AGAIN_AFTER: Duration = Duration::from_secs(1);
