//! The memory of a client's connection: requests that wait for their answers, and messages that came unasked.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
    time::Duration,
};

use tidewire_proto::fbe::{Id, Message, MessageRef};
use tokio::{
    sync::{Notify, oneshot},
    time::timeout,
};

use super::{Handler, RequestError, Response, Sender, Session, SessionError};
use crate::sync::Mutex;

type Answer = Result<Response, RequestError>;

/// Shared by the connection's task and all who use it.
pub(super) struct Requests {
    state: Mutex<State>,
    waiting_max: usize,
    unread_bytes_max: usize,
    /// Something came unasked, or the connection has ended.
    changed: Notify,
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Requests")
    }
}

struct State {
    waiting: BTreeMap<Id, oneshot::Sender<Answer>>,
    unread: VecDeque<Message>,
    unread_bytes: usize,
    missed: u64,
    /// How the connection ended.
    outcome: Option<Result<(), SessionError>>,
    /// Another connection follows the one that ended: who receives waits for it.
    is_lasting: bool,
}

impl Requests {
    pub(super) fn new(waiting_max: usize, unread_bytes_max: usize) -> Self {
        Self {
            state: Mutex::new(State {
                waiting: BTreeMap::new(),
                unread: VecDeque::new(),
                unread_bytes: 0,
                missed: 0,
                outcome: None,
                is_lasting: false,
            }),
            waiting_max,
            unread_bytes_max,
            changed: Notify::new(),
        }
    }

    /// From now on other connections follow the one that ends, until [`finish`](Self::finish).
    pub(super) fn last(&self) {
        self.state.lock().is_lasting = true;
    }

    /// Gives how the last connection ended, and is ready for the next.
    pub(super) fn restart(&self) -> Option<Result<(), SessionError>> {
        self.state.lock().outcome.take()
    }

    /// No connection follows.
    pub(super) fn finish(&self) {
        self.state.lock().is_lasting = false;
        self.end(Ok(()));
    }

    /// A request with a new id is about to be sent; it is forgotten when what is returned is dropped.
    fn begin(self: &Arc<Self>) -> Result<Waiting, RequestError> {
        let (sender, answer) = oneshot::channel();
        let id = Id::from_random(crate::entropy::random());
        let mut state = self.state.lock();
        if state.outcome.is_some() {
            return Err(RequestError::Reset);
        }
        if state.waiting.len() >= self.waiting_max {
            return Err(RequestError::TooMany);
        }
        state.waiting.insert(id, sender);
        drop(state);
        Ok(Waiting {
            id,
            answer,
            requests: Arc::clone(self),
        })
    }

    fn answer(&self, id: Id, answer: Answer) {
        let waiting = self.state.lock().waiting.remove(&id);
        if let Some(waiting) = waiting {
            // Whoever has given up has taken his entry away, or is just about to.
            let _given_up = waiting.send(answer);
        }
    }

    /// Keeps a message; of too many the oldest goes.
    fn keep(&self, message: MessageRef<'_>) {
        let mut state = self.state.lock();
        state.unread_bytes += message.encoded_len();
        state.unread.push_back(message.to_message());
        while state.unread_bytes > self.unread_bytes_max && state.unread.len() > 1 {
            state.take_oldest();
            state.missed += 1;
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// The oldest message, or `None` when there will be none.
    pub(super) async fn next(&self) -> Option<Message> {
        loop {
            let changed = self.changed.notified();
            {
                let mut state = self.state.lock();
                if let Some(message) = state.take_oldest() {
                    return Some(message);
                }
                if state.outcome.is_some() && !state.is_lasting {
                    return None;
                }
            }
            changed.await;
        }
    }

    pub(super) fn missed(&self) -> u64 {
        self.state.lock().missed
    }

    pub(super) async fn ended(&self) -> Result<(), SessionError> {
        loop {
            let changed = self.changed.notified();
            if let Some(outcome) = self.state.lock().outcome.clone() {
                return outcome;
            }
            changed.await;
        }
    }

    pub(super) fn end(&self, outcome: Result<(), SessionError>) {
        let mut state = self.state.lock();
        state.outcome.get_or_insert(outcome);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for (_id, waiting) in waiting {
            let _given_up = waiting.send(Err(RequestError::Reset));
        }
        self.changed.notify_waiters();
    }
}

impl State {
    fn take_oldest(&mut self) -> Option<Message> {
        let message = self.unread.pop_front()?;
        self.unread_bytes -= message.as_ref().encoded_len();
        Some(message)
    }
}

/// Sends a request and waits for its answer, as long as the connection lasts.
pub(super) async fn ask(requests: &Arc<Requests>, sender: &Sender, message: &str) -> Answer {
    let mut waiting = requests.begin()?;
    let id = waiting.id;
    sender.send(MessageRef::Request { id, message }).await?;
    waiting.answered().await
}

/// Holds a request's answer to its time limit.
pub(super) async fn within(
    limit: Option<Duration>,
    answered: impl Future<Output = Answer>,
) -> Answer {
    match limit {
        None => answered.await,
        Some(limit) => timeout(limit, answered)
            .await
            .unwrap_or(Err(RequestError::TimedOut)),
    }
}

/// A request that waits for its answer.
struct Waiting {
    id: Id,
    answer: oneshot::Receiver<Answer>,
    requests: Arc<Requests>,
}

impl Waiting {
    async fn answered(&mut self) -> Answer {
        let answer = (&mut self.answer).await;
        answer.unwrap_or(Err(RequestError::Reset))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.requests.state.lock().waiting.remove(&self.id);
    }
}

/// The client's side of a connection.
pub(super) struct Answers(pub(super) Arc<Requests>);

impl Handler for Answers {
    fn received(&mut self, _session: &mut Session<'_, '_>, message: MessageRef<'_>) {
        match message {
            MessageRef::Response { id, length, hash } => {
                self.0.answer(id, Ok(Response { length, hash }));
            }
            MessageRef::Reject { id, error } => {
                self.0
                    .answer(id, Err(RequestError::Rejected(error.to_owned())));
            }
            MessageRef::Request { .. }
            | MessageRef::Notify { .. }
            | MessageRef::Disconnect { .. } => self.0.keep(message),
        }
    }

    fn closed(&mut self, outcome: Result<(), &SessionError>) {
        self.0.end(outcome.map_err(Clone::clone));
    }
}

impl Drop for Answers {
    /// The task may end without a last call: its runtime goes.
    fn drop(&mut self) {
        let aborted = crate::tcp::RecvError::Aborted;
        self.0.end(Err(SessionError::Tcp(aborted)));
    }
}
