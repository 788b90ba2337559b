//! An outbox whose first answer to a read is held back.

use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tidewire_engine::{
    DeadLetter, EventBatch, NewEvent, OnNewEvents, OnOutbox, Outbox, OutboxStats, SubmitError,
    TargetCursor, TargetName, TargetRegistration,
};

use crate::feed::Feed;

type Release = Box<dyn FnOnce() + Send>;

#[derive(Clone, Default)]
enum Hold {
    /// Nothing was read yet.
    #[default]
    First,
    Held(Arc<Mutex<Option<Release>>>),
}

struct HeldReads {
    inner: Arc<dyn Outbox>,
    hold: Arc<Mutex<Hold>>,
}

impl std::fmt::Debug for HeldReads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeldReads").finish_non_exhaustive()
    }
}

impl Outbox for HeldReads {
    fn append_events(&self, events: Vec<NewEvent>, done: OnOutbox<()>) -> Result<(), SubmitError> {
        self.inner.append_events(events, done)
    }

    fn read_events(
        &self,
        after: u64,
        events_max: usize,
        bytes_max: usize,
        done: OnOutbox<EventBatch>,
    ) -> Result<(), SubmitError> {
        let mut hold = self.hold.lock().unwrap();
        let Hold::First = *hold else {
            return self.inner.read_events(after, events_max, bytes_max, done);
        };
        let held = Arc::<Mutex<Option<Release>>>::default();
        *hold = Hold::Held(Arc::clone(&held));
        let done = Box::new(move |answer| {
            *held.lock().unwrap() = Some(Box::new(move || done(answer)));
        });
        self.inner.read_events(after, events_max, bytes_max, done)
    }

    fn advance(&self, target: &TargetName, up_to: u64) -> Result<(), SubmitError> {
        self.inner.advance(target, up_to)
    }

    fn register_targets(
        &self,
        targets: Vec<TargetRegistration>,
        done: OnOutbox<Vec<TargetCursor>>,
    ) -> Result<(), SubmitError> {
        self.inner.register_targets(targets, done)
    }

    fn bury(&self, letter: DeadLetter, done: OnOutbox<()>) -> Result<(), SubmitError> {
        self.inner.bury(letter, done)
    }

    fn dead_letters(
        &self,
        after: u64,
        count: usize,
        done: OnOutbox<Vec<DeadLetter>>,
    ) -> Result<(), SubmitError> {
        self.inner.dead_letters(after, count, done)
    }

    fn remove_dead_letters(&self, ids: Vec<u64>, done: OnOutbox<u64>) -> Result<(), SubmitError> {
        self.inner.remove_dead_letters(ids, done)
    }

    fn on_new_events(&self, told: OnNewEvents) {
        self.inner.on_new_events(told);
    }

    fn outbox_stats(&self) -> OutboxStats {
        self.inner.outbox_stats()
    }
}

#[tokio::test]
async fn events_that_come_while_the_store_is_read_do_not_wait_for_later_ones() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("events.jsonl");
    let target = format!(r#"{{"file": {{"path": {path:?}}}}}"#);
    let hold = Arc::<Mutex<Hold>>::default();
    let feed = Feed::start_with(&target, |inner| {
        let hold = Arc::clone(&hold);
        Arc::new(HeldReads { inner, hold })
    });
    // The store has answered that there is nothing, and the worker does not know yet.
    let release = loop {
        if let Hold::Held(held) = &*hold.lock().unwrap()
            && let Some(release) = held.lock().unwrap().take()
        {
            break release;
        }
        tokio::task::yield_now().await;
    };
    feed.say("1", "a").await;
    // The worker hears of it.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    release();
    feed.delivered(1).await;
}
