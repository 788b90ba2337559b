//! The outbox, awaited: its completions as futures.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use tidewire_engine::{
    DeadLetter, EventBatch, OnOutbox, Outbox, OutboxError, SubmitError, TargetCursor, TargetName,
    TargetRegistration,
};
use tokio::sync::oneshot;

/// The outbox did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store is closed, or it has failed.
    #[error("the store is closed")]
    Closed,
    /// The outbox refused.
    #[error(transparent)]
    Refused(OutboxError),
}

/// An outbox whose answers are awaited.
#[derive(Clone, Debug)]
pub(crate) struct Store(pub(crate) Arc<dyn Outbox>);

impl Store {
    /// Waits for the store's thread, as opening the store does.
    pub(crate) fn register(
        &self,
        targets: Vec<TargetRegistration>,
    ) -> Result<Vec<TargetCursor>, StoreError> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let done = Box::new(move |answer| drop(sender.send(answer)));
        let taken = self.0.register_targets(targets, done);
        taken.map_err(|_| StoreError::Closed)?;
        let answer = receiver.recv().map_err(|_| StoreError::Closed)?;
        answer.map_err(StoreError::Refused)
    }

    pub(crate) async fn read(
        &self,
        after: u64,
        events_max: usize,
        bytes_max: usize,
    ) -> Result<EventBatch, StoreError> {
        self.ask(move |outbox, done| outbox.read_events(after, events_max, bytes_max, done))
            .await
    }

    pub(crate) fn advance(&self, target: &TargetName, up_to: u64) {
        if let Err(error) = self.0.advance(target, up_to) {
            tracing::debug!(%error, "a cursor was not moved: events are repeated after the restart");
        }
    }

    pub(crate) async fn bury(&self, letter: DeadLetter) -> Result<(), StoreError> {
        self.ask(move |outbox, done| outbox.bury(letter.clone(), done))
            .await
    }

    pub(crate) async fn dead_letters(
        &self,
        after: u64,
        count: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        self.ask(move |outbox, done| outbox.dead_letters(after, count, done))
            .await
    }

    pub(crate) async fn remove_dead_letters(&self, ids: Vec<u64>) -> Result<u64, StoreError> {
        self.ask(move |outbox, done| outbox.remove_dead_letters(ids.clone(), done))
            .await
    }

    /// Submits, again and again while the store is busy, and waits for the answer.
    async fn ask<T: Send + 'static>(
        &self,
        submit: impl Fn(&dyn Outbox, OnOutbox<T>) -> Result<(), SubmitError>,
    ) -> Result<T, StoreError> {
        loop {
            let (sender, receiver) = oneshot::channel();
            let done = Box::new(move |answer| drop(sender.send(answer)));
            match submit(&*self.0, done) {
                Ok(()) => {
                    let answer = receiver.await.map_err(|_| StoreError::Closed)?;
                    return answer.map_err(StoreError::Refused);
                }
                Err(SubmitError::Busy) => tokio::time::sleep(BUSY_PAUSE).await,
                Err(SubmitError::Closed | _) => return Err(StoreError::Closed),
            }
        }
    }
}

const BUSY_PAUSE: Duration = Duration::from_millis(5);
