//! Ends of tasks that nobody expects: a panic in whatever a worker has begun leaves no event behind.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use bytes::Bytes;
use parking_lot::Mutex;
use tidewire_auth::NoLookup;
use tidewire_config::{Checker, Source};
use tidewire_engine::{
    EventBatch, EventKind, NewEvent, OnNewEvents, OnOutbox, Outbox, OutboxStats, StoredEvent,
    SubmitError, TargetCursor, TargetRegistration, UserKey,
};

use super::*;
use crate::{Delivery, EventContent, EventsConfig, TargetConfig, check};

/// An outbox without events, which notes what is asked of it.
#[derive(Debug, Default)]
struct Empty {
    /// So many reads panic first.
    panics: AtomicU32,
    reads: AtomicU32,
    cursor: Mutex<u64>,
    buried: Mutex<Vec<DeadLetter>>,
}

impl Outbox for Empty {
    fn append_events(&self, _: Vec<NewEvent>, _: OnOutbox<()>) -> Result<(), SubmitError> {
        Err(SubmitError::Closed)
    }

    fn read_events(
        &self,
        after: u64,
        _: usize,
        _: usize,
        done: OnOutbox<EventBatch>,
    ) -> Result<(), SubmitError> {
        self.reads.fetch_add(1, Relaxed);
        let left = self.panics.load(Relaxed);
        if left > 0 {
            self.panics.store(left - 1, Relaxed);
            panic!("a read that panics");
        }
        done(Ok(EventBatch {
            epoch: 1,
            events: Vec::new(),
            more: false,
            read_up_to: after,
        }));
        Ok(())
    }

    fn advance(&self, _: &TargetName, up_to: u64) -> Result<(), SubmitError> {
        *self.cursor.lock() = up_to;
        Ok(())
    }

    fn register_targets(
        &self,
        _: Vec<TargetRegistration>,
        _: OnOutbox<Vec<TargetCursor>>,
    ) -> Result<(), SubmitError> {
        Err(SubmitError::Closed)
    }

    fn bury(&self, letter: DeadLetter, done: OnOutbox<()>) -> Result<(), SubmitError> {
        self.buried.lock().push(letter);
        done(Ok(()));
        Ok(())
    }

    fn dead_letters(
        &self,
        _: u64,
        _: usize,
        _: OnOutbox<Vec<DeadLetter>>,
    ) -> Result<(), SubmitError> {
        Err(SubmitError::Closed)
    }

    fn remove_dead_letters(&self, _: Vec<u64>, _: OnOutbox<u64>) -> Result<(), SubmitError> {
        Err(SubmitError::Closed)
    }

    fn on_new_events(&self, _: OnNewEvents) {}

    fn outbox_stats(&self) -> OutboxStats {
        OutboxStats::default()
    }
}

/// Panics at every event of one user, and takes those of others.
#[derive(Debug, Default)]
struct Fragile {
    taken: Mutex<Vec<u64>>,
}

impl Target for Fragile {
    fn deliver<'a>(&'a self, events: &'a [Arc<Event>]) -> Delivery<'a> {
        Box::pin(async move {
            assert!(events.iter().all(|it| &*it.user != "poison"), "poison");
            self.taken
                .lock()
                .extend(events.iter().map(|it| it.sequence));
            Ok(())
        })
    }
}

/// Refuses everything.
#[derive(Debug)]
struct Refusing;

impl Target for Refusing {
    fn deliver<'a>(&'a self, _: &'a [Arc<Event>]) -> Delivery<'a> {
        Box::pin(async { Err(DeliveryError::impossible("refused")) })
    }
}

fn destination(target: Arc<dyn Target>) -> Arc<Destination> {
    let config = r#"{"file":{"path":"unused"},"attempts":3}"#;
    let mut config: TargetConfig = serde_json::from_str(config).unwrap();
    "target".clone_into(&mut config.name);
    let mut checker = Checker::new(&NoLookup, &|_| vec![Source::Default]);
    let settings = check(&mut checker, &EventsConfig::default(), &[config]);
    let settings = checker.finish(settings).unwrap();
    Arc::new(Destination {
        name: "target".into(),
        target,
        settings: settings.targets[0].clone(),
        counters: Counters::default(),
    })
}

fn event(sequence: u64, user: &str) -> Event {
    Event {
        sequence,
        epoch: 1,
        user: user.into(),
        user_sequence: sequence,
        kind: "message",
        time_ms: 0,
        content: EventContent::default(),
        json: Bytes::from_static(b"{}"),
        stored: StoredEvent {
            sequence,
            key: UserKey::from(user),
            key_sequence: sequence,
            kind: EventKind::Message,
            time_ms: 0,
            body: Bytes::new(),
        },
    }
}

/// A worker with events of these users in hand; it ends with what is returned beside it.
fn worker(
    outbox: &Arc<Empty>,
    target: Arc<dyn Target>,
    fallbacks: Vec<Arc<Destination>>,
    users: &[&str],
) -> (Worker, (watch::Sender<Phase>, watch::Sender<u64>)) {
    let (phase, seen) = watch::channel(Phase::Running);
    let (told, news) = watch::channel(0);
    let outbox: Arc<dyn Outbox> = Arc::<Empty>::clone(outbox);
    let mut worker = Worker::new(
        destination(target),
        fallbacks,
        (Store(outbox), 0),
        Arc::new(|_| String::new()),
        (news, seen),
    );
    for (at, user) in (1..).zip(users) {
        worker.window.push(at, Some(event(at, user)));
    }
    (worker, (phase, told))
}

async fn until(mut is_reached: impl FnMut() -> bool) {
    while !is_reached() {
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_whose_delivery_panics_becomes_a_dead_letter_and_holds_nobody_up() {
    let (outbox, target) = (Arc::<Empty>::default(), Arc::<Fragile>::default());
    let users = ["a", "poison", "b"];
    let (worker, phase) = worker(&outbox, Arc::<Fragile>::clone(&target), Vec::new(), &users);
    let running = tokio::spawn(worker.run());
    until(|| *outbox.cursor.lock() == 3).await;
    let mut taken = target.taken.lock().clone();
    taken.sort_unstable();
    assert_eq!(taken, [1, 3]);
    let attempts = |letter: &DeadLetter| (letter.event.sequence, letter.attempts);
    let buried: Vec<_> = outbox.buried.lock().iter().map(attempts).collect();
    assert_eq!(buried, [(2, 3)]);
    drop(phase);
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_event_whose_fallback_panics_becomes_a_dead_letter() {
    let outbox = Arc::<Empty>::default();
    let fallback = destination(Arc::<Fragile>::default());
    let (worker, phase) = worker(
        &outbox,
        Arc::new(Refusing),
        vec![fallback],
        &["poison", "a"],
    );
    let running = tokio::spawn(worker.run());
    until(|| *outbox.cursor.lock() == 2).await;
    let buried: Vec<_> = outbox
        .buried
        .lock()
        .iter()
        .map(|it| it.event.sequence)
        .collect();
    assert_eq!(buried, [1]);
    drop(phase);
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_read_that_panics_is_tried_again_after_a_pause() {
    let (outbox, target) = (Arc::<Empty>::default(), Arc::<Fragile>::default());
    outbox.panics.store(3, Relaxed);
    let began = Instant::now();
    let (worker, phase) = worker(&outbox, target, Vec::new(), &[]);
    let running = tokio::spawn(worker.run());
    until(|| outbox.reads.load(Relaxed) == 4).await;
    assert!(began.elapsed() >= 3 * READ_AGAIN_AFTER);
    drop(phase);
    running.await.unwrap();
}
