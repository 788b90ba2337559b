//! Repeated requests to send a message: [`Idempotency`].
//!
//! In: the value of `Idempotency-Key` and the request's body. Out: a submission of its own for the
//! first request with a key, and the same one for every repetition within the window, under way
//! or done. Invariants: a key names one body; what was refused and may be tried again is forgotten
//! at once; the table is bounded, and a request whose outcome is open is never forgotten for
//! another one. In memory: after a restart every key is new.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, OnceLock},
    time::Duration,
};

use parking_lot::Mutex;

use tidewire_hub::{Accepted, MessageId};
use tokio::{sync::watch, time::Instant};

use super::error::SendError;

/// What became of a message.
pub(super) type Outcome = Result<Accepted, SendError>;

/// One message given to the hub; any number of requests may wait for its outcome.
#[derive(Debug)]
pub(super) struct Submission {
    /// Once the hub has given one.
    pub(super) id: OnceLock<MessageId>,
    outcome: watch::Sender<Option<Outcome>>,
}

impl Submission {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            id: OnceLock::new(),
            outcome: watch::Sender::new(None),
        })
    }

    pub(super) fn finish(&self, outcome: Outcome) {
        self.outcome.send_replace(Some(outcome));
    }

    /// `None`: not known within `timeout`.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn outcome(&self, timeout: Duration) -> Option<Outcome> {
        let mut outcome = self.outcome.subscribe();
        let known = tokio::time::timeout(timeout, outcome.wait_for(Option::is_some)).await;
        known.ok()?.ok()?.clone()
    }

    fn is_finished(&self) -> bool {
        self.outcome.borrow().is_some()
    }
}

/// The requests of the window by their keys.
#[derive(Debug)]
pub(crate) struct Idempotency {
    window: Duration,
    keys_max: usize,
    /// Two hashes with secret seeds tell bodies apart.
    hashers: [RandomState; 2],
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    requests: HashMap<Arc<str>, Request>,
    /// In the order of beginning. A request that was forgotten leaves its place behind.
    order: VecDeque<(u64, Arc<str>)>,
    begun: u64,
}

#[derive(Debug)]
struct Request {
    number: u64,
    begun_at: Instant,
    body: [u64; 2],
    submission: Arc<Submission>,
}

/// What a request with a key is.
#[derive(Debug)]
pub(super) enum Begun {
    /// The first one: to be submitted.
    First(Arc<Submission>),
    /// A repetition.
    Repeated(Arc<Submission>),
    /// The key was used for another body.
    OtherBody,
    /// As many requests are under way as there may be keys.
    TooMany,
}

impl Idempotency {
    pub(crate) fn new(window: Duration, keys_max: usize) -> Self {
        Self {
            window,
            keys_max,
            hashers: [RandomState::new(), RandomState::new()],
            table: Mutex::default(),
        }
    }

    pub(super) fn begin(&self, key: &str, body: &[u8]) -> Begun {
        let body = self.hashers.each_ref().map(|hasher| hasher.hash_one(body));
        let now = Instant::now();
        let mut table = self.table.lock();
        table.expire(now, self.window);
        if let Some(request) = table.requests.get(key) {
            return if request.body == body {
                Begun::Repeated(Arc::clone(&request.submission))
            } else {
                Begun::OtherBody
            };
        }
        while table.order.len() >= self.keys_max {
            if !table.forget_oldest(|_| true) {
                return Begun::TooMany;
            }
        }
        let submission = Submission::new();
        let key: Arc<str> = key.into();
        table.begun += 1;
        let number = table.begun;
        table.order.push_back((number, Arc::clone(&key)));
        let request = Request {
            number,
            begun_at: now,
            body,
            submission: Arc::clone(&submission),
        };
        table.requests.insert(key, request);
        Begun::First(submission)
    }

    /// The message was refused and may be tried again under the same key.
    pub(super) fn forget(&self, key: &str, submission: &Arc<Submission>) {
        let mut table = self.table.lock();
        let is_same = |request: &Request| Arc::ptr_eq(&request.submission, submission);
        if table.requests.get(key).is_some_and(is_same) {
            table.requests.remove(key);
        }
    }
}

impl Table {
    fn expire(&mut self, now: Instant, window: Duration) {
        while self.forget_oldest(|request| now.duration_since(request.begun_at) >= window) {}
    }

    /// Forgets the oldest request if it is finished and `may_go`; returns whether it did.
    #[must_use]
    fn forget_oldest(&mut self, may_go: impl Fn(&Request) -> bool) -> bool {
        let Some((number, key)) = self.order.front() else {
            return false;
        };
        if let Some(request) = self.requests.get(key)
            && request.number == *number
        {
            if !request.submission.is_finished() || !may_go(request) {
                return false;
            }
            self.requests.remove(key);
        }
        self.order.pop_front();
        true
    }
}

#[cfg(test)]
mod tests {
    use tidewire_hub::ApiError;

    use super::*;

    const WINDOW: Duration = Duration::from_mins(10);

    fn first(begun: Begun) -> Arc<Submission> {
        let Begun::First(submission) = begun else {
            panic!("expected a first request, got {begun:?}");
        };
        submission
    }

    fn accepted() -> Accepted {
        Accepted {
            id: MessageId::NIL,
            refused: Vec::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_repetition_waits_for_the_outcome_of_the_first() {
        let requests = Idempotency::new(WINDOW, 10);
        let submission = first(requests.begin("k", b"body"));
        let Begun::Repeated(repeated) = requests.begin("k", b"body") else {
            panic!("the key is known");
        };
        assert_eq!(repeated.outcome(Duration::from_secs(1)).await, None);
        submission.finish(Ok(accepted()));
        assert_eq!(repeated.outcome(Duration::ZERO).await, Some(Ok(accepted())));
        assert!(matches!(requests.begin("k", b"other"), Begun::OtherBody));
        assert!(matches!(requests.begin("l", b"other"), Begun::First(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_new_again_after_the_window_but_not_while_the_outcome_is_open() {
        let requests = Idempotency::new(WINDOW, 10);
        let submission = first(requests.begin("k", b"1"));
        tokio::time::advance(WINDOW).await;
        assert!(matches!(requests.begin("k", b"1"), Begun::Repeated(_)));
        submission.finish(Ok(accepted()));
        assert!(matches!(requests.begin("k", b"2"), Begun::First(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_table_forgets_the_oldest_finished_request() {
        let requests = Idempotency::new(WINDOW, 2);
        first(requests.begin("a", b"")).finish(Ok(accepted()));
        let open = first(requests.begin("b", b""));
        first(requests.begin("c", b"")).finish(Ok(accepted()));
        assert!(matches!(requests.begin("b", b""), Begun::Repeated(_)));
        assert!(matches!(requests.begin("d", b""), Begun::TooMany));
        open.finish(Ok(accepted()));
        assert!(matches!(requests.begin("a", b""), Begun::First(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_refused_may_be_tried_again_and_leaves_no_trace() {
        let requests = Idempotency::new(WINDOW, 2);
        for _ in 0..10 {
            let submission = first(requests.begin("k", b"body"));
            requests.forget("k", &submission);
            submission.finish(Err(ApiError::ForBot.into()));
        }
        let again = first(requests.begin("k", b"body"));
        // An outcome that comes late concerns only its own request.
        requests.forget("k", &Submission::new());
        assert!(matches!(requests.begin("k", b"body"), Begun::Repeated(_)));
        assert!(requests.table.lock().order.len() <= 2);
        drop(again);
    }
}
