//! A hub with its store and clock, and clients that play the connection's task.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
        mpsc::sync_channel,
    },
    task::{Context, Poll, Wake, Waker},
};

use jiff::Timestamp;
use serde_json::{Value, json};
use tidewire_dialect::{Classic, Close, Dialect as _, Ending, Payload};
use tidewire_hub::{
    Accepted, ApiError, Clock, Command, CommandError, Config, Connect, ConnectError, Event,
    Executor, Hub, Job, Outgoing, Ports, Session, Settings, UserId,
};

use crate::mailbox::PumpedMailbox;

pub(crate) struct Desk {
    pub(crate) hub: Arc<Hub>,
    pub(crate) mailbox: Arc<PumpedMailbox>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) executor: Arc<PumpedExecutor>,
}

/// Keeps the hub's jobs until the test runs them.
#[derive(Default)]
pub(crate) struct PumpedExecutor(Mutex<VecDeque<Job>>);

impl PumpedExecutor {
    /// Runs one job, counted from the oldest; returns whether there was any.
    pub(crate) fn run(&self, index: usize) -> bool {
        let mut jobs = self.0.lock().unwrap();
        let index = index % jobs.len().max(1);
        let job = jobs.remove(index);
        drop(jobs);
        job.map(|job| job()).is_some()
    }

    pub(crate) fn pump(&self) {
        while self.run(0) {}
    }

    pub(crate) fn queued(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Executor for PumpedExecutor {
    fn execute(&self, jobs: Vec<Job>) {
        self.0.lock().unwrap().extend(jobs);
    }
}

impl fmt::Debug for PumpedExecutor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PumpedExecutor")
    }
}

/// Unix seconds set by the test.
#[derive(Debug)]
pub(crate) struct ManualClock(AtomicI64);

impl ManualClock {
    pub(crate) fn set(&self, unix_seconds: i64) {
        self.0.store(unix_seconds, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::Relaxed)).unwrap()
    }
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let mailbox = Arc::new(PumpedMailbox::new(1000));
        let clock = Arc::new(ManualClock(AtomicI64::new(1_543_348_410)));
        let settings = Settings::try_from(config).unwrap();
        let executor = Arc::new(PumpedExecutor::default());
        let ports = Ports {
            clock: clock.clone(),
            executor: executor.clone(),
            ..Ports::new(mailbox.clone())
        };
        Self {
            hub: Hub::with_ports(settings, ports),
            mailbox,
            clock,
            executor,
        }
    }

    /// Runs everything that store and executor have.
    pub(crate) fn settle(&self) {
        while self.mailbox.step() || self.executor.run(0) {}
    }

    pub(crate) fn is_online(&self, user: &str) -> bool {
        let (send, receive) = sync_channel(1);
        let done = Box::new(move |answer| send.send(answer).unwrap());
        self.hub.is_online(&user.parse().unwrap(), done);
        receive.try_recv().unwrap().unwrap()
    }

    pub(crate) fn online_users(&self, limit: usize) -> Vec<UserId> {
        let (send, receive) = sync_channel(1);
        let done = Box::new(move |answer| send.send(answer).unwrap());
        self.hub.online_users(limit, done);
        receive.try_recv().unwrap().unwrap()
    }

    /// A client whose first read is queued.
    pub(crate) fn connect(&self, user: &str) -> Client {
        self.connect_with(Connect::from(user.parse::<UserId>().unwrap()))
    }

    fn connect_with(&self, connect: Connect) -> Client {
        let session = self.hub.connect(connect).unwrap();
        let count = Arc::new(WakeCount::default());
        Client {
            session: Some(session),
            waker: Waker::from(count.clone()),
            wakes: count,
            end: None,
        }
    }

    /// A client that is up to date.
    pub(crate) fn online(&self, user: &str) -> Client {
        let client = self.connect(user);
        self.mailbox.pump();
        client
    }

    /// The same, with receipts for itself.
    pub(crate) fn online_with_receipts(&self, user: &str) -> Client {
        let client = self.connect_with(Connect {
            receipts: true,
            ..Connect::from(user.parse::<UserId>().unwrap())
        });
        self.mailbox.pump();
        client
    }

    pub(crate) fn send_api(&self, payload: &str) -> ApiAnswer {
        let answer = Arc::new(Mutex::new(None));
        let answered = answer.clone();
        let done = Box::new(move |result| *answered.lock().unwrap() = Some(result));
        let command =
            Classic::decode(payload.as_bytes(), &UserId::BOT, self.hub.settings()).unwrap();
        let Command::Publish(draft) = command else {
            panic!("expected a message in {payload}");
        };
        self.hub.submit_api(draft, done);
        ApiAnswer(answer)
    }
}

pub(crate) struct ApiAnswer(Arc<Mutex<Option<Result<Accepted, ApiError>>>>);

impl ApiAnswer {
    pub(crate) fn get(&self) -> Option<Result<Accepted, ApiError>> {
        self.0.lock().unwrap().clone()
    }
}

#[derive(Default)]
pub(crate) struct WakeCount(AtomicUsize);

impl Wake for WakeCount {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) struct Client {
    session: Option<Session>,
    waker: Waker,
    wakes: Arc<WakeCount>,
    pub(crate) end: Option<Close>,
}

impl Client {
    pub(crate) fn session(&self) -> &Session {
        self.session.as_ref().unwrap()
    }

    pub(crate) fn user(&self) -> UserId {
        self.session().user().clone()
    }

    /// Sends a payload as the connection does; the error is how it closes.
    pub(crate) fn submit(&self, payload: &[u8]) -> Result<(), Close> {
        let session = self.session();
        let command =
            Classic::decode(payload, session.user(), session.settings()).map_err(|error| {
                session.count_invalid();
                Classic::close(&Ending::Invalid(error))
            })?;
        let submitted = session.submit(command, payload.len());
        submitted.map_err(|error| {
            Classic::close(&match error {
                CommandError::Ended(reason) => Ending::Session(reason),
                CommandError::ForeignSender | _ => Ending::ForeignSender,
            })
        })
    }

    /// Sends a text message.
    pub(crate) fn send(&self, recipients: &[&str], text: &str) {
        let sender = self.user();
        self.submit(message(&sender, recipients, text).as_bytes())
            .unwrap();
    }

    /// One poll with a bound on bytes: the payloads handed out.
    pub(crate) fn poll_once(&mut self, bytes_max: usize) -> Vec<Value> {
        let payloads = self.poll_payloads(bytes_max);
        let value = |payload: &String| serde_json::from_str(payload).unwrap();
        payloads.iter().map(value).collect()
    }

    fn poll_payloads(&mut self, bytes_max: usize) -> Vec<String> {
        let mut events = Vec::new();
        let mut cx = Context::from_waker(&self.waker);
        let session = self.session.as_ref().unwrap();
        match session.poll_outgoing(&mut cx, &mut events, bytes_max) {
            Poll::Ready(Outgoing::Events) => assert!(!events.is_empty()),
            Poll::Ready(Outgoing::End(reason)) => {
                self.end = Some(Classic::close(&Ending::Session(reason)));
            }
            Poll::Pending => assert!(events.is_empty()),
        }
        let payload = |event: &Event| {
            let payload = match event {
                Event::Publication(publication) => Classic::publication(publication),
                Event::Notice(notice) => Classic::notice(notice, session.user()),
            };
            let Some(Payload::Text(text)) = payload else {
                panic!("expected text, got {payload:?}");
            };
            session.count_sent(text.len());
            text
        };
        events.iter().map(payload).collect()
    }

    /// Everything there is, byte by byte.
    pub(crate) fn receive_raw(&mut self) -> Vec<String> {
        self.poll_payloads(usize::MAX)
    }

    /// The close code and reason its connection gets.
    pub(crate) fn close(&self) -> (u16, String) {
        let end = self.end.as_ref().unwrap();
        (end.code, end.reason.to_string())
    }

    /// Everything there is, unconfirmed.
    pub(crate) fn receive(&mut self) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let some = self.poll_once(usize::MAX);
            if some.is_empty() {
                return all;
            }
            all.extend(some);
        }
    }

    /// The texts of everything there is.
    pub(crate) fn texts(&mut self) -> Vec<String> {
        self.receive().iter().map(text).collect()
    }

    pub(crate) fn confirm(&self) {
        self.session().confirm(self.session().mark());
    }

    pub(crate) fn is_ready_to_submit(&self) -> bool {
        self.is_ready_to_submit_when(false)
    }

    /// `peer_reads`: everything handed out was written.
    pub(crate) fn is_ready_to_submit_when(&self, peer_reads: bool) -> bool {
        let mut cx = Context::from_waker(&self.waker);
        self.session()
            .poll_ready_to_submit(&mut cx, peer_reads)
            .is_ready()
    }

    pub(crate) fn into_unproven(mut self) -> tidewire_hub::Unproven {
        let session = self.session.take().unwrap();
        let mark = session.mark();
        session.into_unproven(mark)
    }

    /// The connection is gone, its client had proved nothing although the system had everything.
    pub(crate) fn vanish(self) {
        self.session().written(self.session().mark());
    }

    /// Wakes `waker` from now on.
    pub(crate) fn wake_with(&mut self, waker: Waker) {
        self.waker = waker;
    }

    pub(crate) fn wakes(&self) -> usize {
        self.wakes.0.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Client({:?})", self.session)
    }
}

pub(crate) fn text(message: &Value) -> String {
    message["text"].as_str().unwrap().to_owned()
}

/// The close code and reason of a connection that becomes no session.
pub(crate) fn close_of(error: ConnectError) -> (u16, String) {
    let close = Classic::close(&Ending::Refused(error));
    (close.code, close.reason.into_owned())
}

/// A payload of type `text`.
pub(crate) fn message(sender: &UserId, recipients: &[&str], text: &str) -> String {
    let recipients: Vec<UserId> = recipients.iter().map(|id| id.parse().unwrap()).collect();
    json!({"type": "text", "sender": sender, "recipients": recipients, "text": text}).to_string()
}
