//! The backend session between a logical socket and its backend, which may change behind it.
//!
//! In: what the client's task puts into the upward [`PieceQueue`]. Out: what comes down from the backend, the news
//! about it, and the end, into the downward one. Without [`Resume`] messages pass in pieces as they
//! come, and both ends end together. With it, whole messages pass, and when the backend is lost it is
//! looked for again while the client's socket lives on.
//!
//! Invariants: a message goes to a backend in the order it came, and with [`Replay::Unsent`](crate::settings::Replay) never
//! twice; the downward queue is never filled beyond its bound by more than one read; what the
//! client sent before it closed is still delivered; where pings pass end to end, a backend gets a pong only for what
//! its client's pong has proved.

mod ledger; // what a backend may not have got
mod pings; // which of its pings wait for the client
mod relay; // while the backend is there
mod search; // while it is not

use std::{
    future::poll_fn,
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use bytes::BytesMut;
use tidewire::{
    memory::{MemoryAccount, Reservation},
    proto::handshake::ResponseHead,
    ws::{CloseCode, CloseFrame, Config, DeflateConfig, Kind, Refusal, WebSocket},
};
use tokio::time::Instant;

use self::{ledger::Ledger, pings::Pings, relay::Outcome};
use crate::{
    ambient::now,
    backend::{
        answer::{self, CONFIRM},
        queue::{Down, PieceQueue, Proved, Up},
        reach::{self, Reached, UpstreamRequest},
    },
    record::{Record, sessions::Session},
    routing::target::{Target, add},
    settings::{Endpoint, Extensions, Limits, PingAnswers, Resume},
    upstream::Lease,
};

/// IANA's registry of close codes: the server behind a gateway gave no good answer.
pub(crate) const BAD_GATEWAY: CloseCode = CloseCode(1014);

/// What may wait for one backend's system to take it. A client may have hundreds of logical sockets, so
/// this is much less than a socket's default; a message of any size fits an empty queue.
const SEND_QUEUE_BYTES_MAX: usize = 64 << 10;

/// The close frame of who gives no code.
pub(crate) fn no_status() -> CloseFrame {
    CloseFrame::new(CloseCode::NO_STATUS, "")
}

/// The close frame of a client that cannot go on elsewhere when its backend is unhealthy.
pub(crate) fn unhealthy() -> CloseFrame {
    CloseFrame::new(CloseCode::SERVICE_RESTART, "the backend is unhealthy")
}

/// What may wait on its way down, per logical socket.
const DOWN_BYTES_MAX: usize = 64 << 10;
const DOWN_ITEMS_MAX: usize = 1024;

/// Both directions of a logical socket, as the client's task sees them.
#[derive(Debug)]
pub(crate) struct Queues {
    pub(crate) up: Arc<PieceQueue<Up>>,
    pub(crate) down: Arc<PieceQueue<Down>>,
    /// Which of the backend's pings in the downward queue the client has answered.
    pub(crate) proved: Arc<Proved>,
    account: MemoryAccount,
}

impl Queues {
    /// Queues whose upward one has room for so much. Their memory, and that of the backend session, counts for the client's
    /// account.
    pub(crate) fn new(up_bytes_max: usize, up_items_max: usize, account: &MemoryAccount) -> Self {
        Self {
            up: Arc::new(PieceQueue::new(up_bytes_max, up_items_max, account)),
            down: Arc::new(PieceQueue::new(DOWN_BYTES_MAX, DOWN_ITEMS_MAX, account)),
            proved: Arc::default(),
            account: account.clone(),
        }
    }
}

impl Drop for Queues {
    /// The client's task lets go. What the client has sent is still delivered, unless it had to make room for others.
    fn drop(&mut self) {
        if self.account.is_evicted() {
            self.up.abandon();
        }
        self.up.end();
        self.down.abandon();
    }
}

/// A logical socket's way to its backend.
pub(crate) struct BackendSession {
    target: Arc<Target>,
    ask: UpstreamRequest,
    up: Arc<PieceQueue<Up>>,
    down: Arc<PieceQueue<Down>>,
    proved: Arc<Proved>,
    /// The client's.
    account: MemoryAccount,
    /// Pings of the backend that wait for the client's answer.
    pings: Pings,
    ping_answers: PingAnswers,
    record: Arc<Record>,
    resume: Option<Resume>,
    /// Messages are put together before they go down.
    whole: bool,
    config: Config,
    ledger: Ledger,
    /// How the backend was found again last.
    last_return: Option<Return>,
    /// It has said something since.
    has_spoken: bool,
    /// The beginning of a message that is put together on its way up.
    partial: BytesMut,
    /// The part of the client's account that it holds.
    partial_memory: Reservation,
    /// What it is the beginning of.
    partial_kind: Kind,
}

impl BackendSession {
    /// A backend session of `session` to `target`, for which `ask` asks.
    pub(crate) fn new(
        target: Arc<Target>,
        ask: UpstreamRequest,
        queues: &Queues,
        session: &Session,
        limits: &Limits,
    ) -> Self {
        let endpoint = target.endpoint();
        Self::with_resume(
            target,
            ask,
            queues,
            session,
            limits,
            endpoint.resume.clone(),
        )
    }

    /// As [`new`](Self::new), with a resume of the client's dialect.
    pub(crate) fn with_resume(
        target: Arc<Target>,
        ask: UpstreamRequest,
        queues: &Queues,
        session: &Session,
        limits: &Limits,
        resume: Option<Resume>,
    ) -> Self {
        let endpoint = target.endpoint();
        Self {
            config: config(&endpoint, resume.as_ref(), limits),
            ledger: Ledger::new(
                resume.as_ref().map(|resume| resume.replay),
                queues.account.reserve(),
            ),
            account: queues.account.clone(),
            whole: resume.is_some(),
            resume,
            target,
            ask,
            up: Arc::clone(&queues.up),
            down: Arc::clone(&queues.down),
            proved: Arc::clone(&queues.proved),
            pings: Pings::default(),
            ping_answers: endpoint.pings,
            record: Arc::clone(&session.record),
            last_return: None,
            has_spoken: false,
            partial: BytesMut::new(),
            partial_memory: queues.account.reserve(),
            partial_kind: Kind::Binary,
        }
    }

    /// Opens the backend.
    ///
    /// # Errors
    /// What the client is told.
    pub(crate) async fn open(&mut self) -> Result<Backend, Refusal> {
        let opened = tokio::select! {
            opened = reach::socket(&self.target, &self.ask, &self.config) => opened,
            frame = self.record.asked_to_end() => {
                return Err(Refusal::new(503, frame.reason));
            }
            () = self.account.evicted() => {
                return Err(Refusal::new(503, "the memory for connections is used up"));
            }
        };
        match opened {
            Ok(reached) => {
                add(&self.target.counters.opened, 1);
                Ok(self.backend(reached))
            }
            Err(unreachable) => {
                add(&self.target.counters.refused, 1);
                Err(unreachable.refusal())
            }
        }
    }

    /// Opens the backend, tells the client's task, and runs. `patient`: a backend that is not there yet
    /// is looked for like one that was lost.
    pub(crate) async fn open_and_run(mut self, patient: bool) -> (Option<CloseCode>, &'static str) {
        let opened = match self.open().await {
            Err(refusal) if patient && refusal.status >= 502 => {
                self.search().await.map_err(|frame| {
                    self.down.push(Down::Closed(Some(frame)));
                })
            }
            Err(refusal) => {
                self.down
                    .push(Down::Rejected(refusal.status, refusal.reason));
                Err(())
            }
            Ok(backend) => Ok(backend),
        };
        let Ok(backend) = opened else {
            return (None, "not opened");
        };
        let chosen = backend.subprotocol().map(str::to_owned);
        self.down.push(Down::Opened(chosen));
        self.run(backend).await
    }

    /// Runs until either side has ended. Returns how, for the access record.
    pub(crate) async fn run(mut self, mut backend: Backend) -> (Option<CloseCode>, &'static str) {
        loop {
            let outcome = self.relay(&mut backend).await;
            match outcome {
                Outcome::Client(frame) => {
                    let code = frame.as_ref().map(|frame| frame.code);
                    let frame = frame.unwrap_or_else(no_status);
                    end(backend, &frame).await;
                    return (code, "closed by the client");
                }
                Outcome::ClientLost => {
                    let frame = CloseFrame::new(CloseCode::GOING_AWAY, "the client has gone");
                    end(backend, &frame).await;
                    return (None, "client lost");
                }
                Outcome::Ended(frame) => {
                    let code = frame.code;
                    self.down.push(Down::Closed(Some(frame)));
                    let away = CloseFrame::new(CloseCode::GOING_AWAY, "the gateway ends this");
                    end(backend, &away).await;
                    return (Some(code), "ended by the gateway");
                }
                Outcome::Backend(frame) if !self.is_loss(frame.as_ref()) => {
                    let code = frame.as_ref().map(|frame| frame.code);
                    self.down.push(Down::Closed(frame));
                    return (code, "closed by the backend");
                }
                // It has said that it goes: nothing is wrong with it, perhaps with this client.
                Outcome::Backend(_) => {
                    self.target.tell_loss("a backend has closed under a client");
                    self.ledger.settle(backend.socket.stats().bytes_sent);
                    drop(backend);
                }
                Outcome::BackendLost => {
                    self.target.tell_loss("a backend was lost under a client");
                    self.ledger.settle(backend.socket.stats().bytes_sent);
                    backend.lease.lost(now());
                    drop(backend.socket);
                }
                Outcome::Unhealthy => {
                    self.target.tell_loss("an unhealthy backend was left");
                    self.ledger.settle(backend.socket.stats().bytes_sent);
                    leave(backend).await;
                }
            }
            add(&self.target.counters.lost, 1);
            backend = match self.search().await {
                Ok(found) => found,
                Err(_frame) if self.up.is_over() => return (None, "client lost"),
                Err(frame) => {
                    let code = frame.code;
                    self.down.push(Down::Closed(Some(frame)));
                    return (Some(code), "backend lost");
                }
            };
        }
    }

    /// Returns whether a backend that closes like this is to be looked for again.
    fn is_loss(&self, frame: Option<&CloseFrame>) -> bool {
        let Some(resume) = &self.resume else {
            return false;
        };
        let code = frame.map_or(CloseCode::NO_STATUS, |frame| frame.code);
        resume.codes.contains(&code.0)
    }

    /// It was opened.
    fn backend(&self, reached: Reached) -> Backend {
        let Reached {
            mut lease,
            socket,
            head,
        } = reached;
        let confirms_by_pong = head.has_token(CONFIRM.0, CONFIRM.1);
        self.record.served_by(&lease.upstream().url.server());
        let movable = self.resume.is_some();
        if let Some(health) = &self.target.endpoint().health
            && health.on_unhealthy.leaves(movable)
        {
            lease.watch();
        }
        Backend {
            socket: socket.charge_to(&self.account),
            lease,
            end_to_end: match self.ping_answers {
                PingAnswers::Auto => confirms_by_pong,
                PingAnswers::EndToEnd => true,
                PingAnswers::Gateway => false,
            },
            head,
        }
    }

    fn count_up(&self, bytes: usize, last: bool) {
        let counters = &self.target.counters;
        add(&counters.bytes_in, bytes as u64);
        add(&counters.messages_in, u64::from(last));
        self.record
            .bytes_in
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn count_down(&self, bytes: usize, last: bool) {
        let counters = &self.target.counters;
        add(&counters.bytes_out, bytes as u64);
        add(&counters.messages_out, u64::from(last));
        self.record
            .bytes_out
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Drop for BackendSession {
    /// However it ends, the client's task learns of it.
    fn drop(&mut self) {
        self.down.end();
        self.up.abandon();
    }
}

/// A backend that was found again.
#[derive(Clone, Copy)]
struct Return {
    /// How long was waited before the attempt.
    wait: Duration,
    at: Instant,
    /// Until when it had to be back.
    deadline: Instant,
}

/// An open backend.
pub(crate) struct Backend {
    socket: WebSocket,
    lease: Lease,
    /// Its pings are answered by the client, not here.
    end_to_end: bool,
    head: ResponseHead,
}

impl Backend {
    /// Returns what the client gets of its answer, where there is a handshake of the client's own to put it into.
    pub(crate) fn answer_fields(&self) -> Vec<(String, String)> {
        let mut fields = answer::fields_without_confirm(&self.head);
        if self.end_to_end {
            // For a gateway in front of this one.
            let (name, value) = CONFIRM;
            fields.push((name.to_owned(), value.to_owned()));
        }
        fields
    }

    /// Returns what it chose.
    pub(crate) fn subprotocol(&self) -> Option<&str> {
        self.socket.subprotocol()
    }
}

/// Lets go of a backend that may hang. What it was not sent is sent elsewhere, so nothing more may be written
/// but, where that costs no time, a goodbye: it may live and only want to be left.
async fn leave(mut backend: Backend) {
    let socket = &mut backend.socket;
    if socket.queued() > 0 {
        return;
    }
    socket.start_close(CloseCode::GOING_AWAY, "the backend is unhealthy");
    let flushed = poll_fn(|cx| Poll::Ready(socket.poll_flush(cx))).await;
    if let Poll::Ready(Err(error)) = flushed {
        tracing::debug!(error = %tidewire::ErrorChain(&error), "a backend was not told that it is left");
    }
}

async fn end(mut backend: Backend, frame: &CloseFrame) {
    if let Err(error) = backend.socket.close(frame.code, &frame.reason).await {
        tracing::debug!(error = %tidewire::ErrorChain(&error), "a backend did not take part in the close");
    }
}

/// How the gateway speaks to a backend.
fn config(endpoint: &Endpoint, resume: Option<&Resume>, limits: &Limits) -> Config {
    let mut config = Config::default();
    config.ping_interval = Some(limits.ping_interval);
    config.message_timeout = limits.message_timeout;
    // Who answers is known once the backend is open.
    config.answer_pings = false;
    config.send_queue_bytes_max = SEND_QUEUE_BYTES_MAX;
    if endpoint.rates.message_bytes_max > 0 {
        config.message_bytes_max = endpoint.rates.message_bytes_max;
    }
    if let Some(resume) = resume {
        config.message_bytes_max = config.message_bytes_max.min(resume.bytes_max);
    }
    config.frame_bytes_max = config.message_bytes_max;
    if endpoint.extensions == Extensions::PerHop {
        let mut deflate = DeflateConfig::default();
        // A backend is no stranger: what it has compressed well is no attack, and what comes out of it is bounded by
        // the message's limit, or passed on as it does.
        deflate.ratio_max = u32::MAX;
        config.deflate = Some(deflate);
    }
    config
}
