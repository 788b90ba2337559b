//! The messaging core: [`Hub`].
//!
//! In: confirmations, disconnects and questions here; connects (`session`), submissions
//! (`submission`) and reads (`reading`) stand above, each with its completion of the store. Out:
//! commands to the store and wake-ups of sessions. Invariant: every accepted message goes
//! through the mailbox of each recipient, online or not; live sessions are looked up *inside*
//! the append's completion, so nobody can go offline between look-up and delivery without the
//! mailbox still having it.
//!
//! Locks, all leaves, none held while another is taken, the mailbox is called or a waker is
//! woken: a shard of the session table; a session's state; the table of user statistics; the gate's
//! list; a shard's queue of deliveries.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use jiff::Timestamp;
use tidewire_engine::{
    Mailbox, Outbox, Purge, Registry, RegistryError, UserKey, embedded::LocalRegistry,
};

use crate::{
    Clock, Event, Executor, HubStats, Inline, Mark, MessageId, Notice, Refusal, Settings, Stat,
    SystemClock, UserId,
    events_out::EventsOut,
    fan_out::FanOut,
    gate::Gate,
    live::Live,
    message_id::MessageIds,
    publication::Receipt,
    redelivery::Redeliveries,
    send_queue::{Limits, Room},
    session_table::SessionTable,
    stats::Counters,
    trace::{Departure, Trace, TraceStep, Which},
    user_stats::UserStats,
};

/// Users, their live sessions and the way of messages between them. Share one per process.
pub struct Hub {
    settings: Settings,
    pub(crate) limits: Limits,
    pub(crate) mailbox: Arc<dyn Mailbox>,
    clock: Arc<dyn Clock>,
    ids: MessageIds,
    pub(crate) session_table: SessionTable,
    pub(crate) online: Arc<dyn Registry>,
    pub(crate) redeliveries: Redeliveries,
    pub(crate) gate: Gate,
    pub(crate) fan_out: FanOut,
    pub(crate) user_stats: UserStats,
    pub(crate) events_out: EventsOut,
    pub(crate) counters: Counters,
    pub(crate) trace: Trace,
    accepting: AtomicBool,
    sessions_begun: AtomicU64,
    pub(crate) receipt_sessions: ReceiptSessions,
}

/// The ports that a hub stands on.
#[derive(Clone, Debug)]
pub struct Ports {
    /// Where messages are kept.
    pub mailbox: Arc<dyn Mailbox>,
    /// Where events for other systems are kept. Default: nowhere, and none are made.
    pub outbox: Option<Arc<dyn Outbox>>,
    /// Who is online. Default: the sessions of this process.
    pub registry: Arc<dyn Registry>,
    /// The time of day. Default: the system's.
    pub clock: Arc<dyn Clock>,
    /// Where messages to many sessions are delivered. Default: [`Inline`], on the store's thread.
    pub executor: Arc<dyn Executor>,
}

impl Ports {
    /// The defaults on `mailbox`.
    pub fn new(mailbox: Arc<dyn Mailbox>) -> Self {
        Self {
            mailbox,
            outbox: None,
            registry: Arc::new(LocalRegistry::default()),
            clock: Arc::new(SystemClock),
            executor: Arc::new(Inline),
        }
    }
}

/// How many live sessions have asked for receipts. While there are none, and none are given to all,
/// a confirmation looks nobody up.
#[derive(Debug, Default)]
pub(crate) struct ReceiptSessions(AtomicUsize);

impl ReceiptSessions {
    pub(crate) fn add(&self, live: &Live) {
        self.0
            .fetch_add(usize::from(live.receipts), Ordering::Relaxed);
    }

    fn remove(&self, live: &Live) {
        self.0
            .fetch_sub(usize::from(live.receipts), Ordering::Relaxed);
    }

    fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// Sessions that were offered something that may be lost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Offered {
    pub(crate) taken: u32,
    /// Their queues were full.
    pub(crate) missed: u32,
}

/// Which messages [`Hub::purge`] removes.
#[derive(Clone, Copy, Debug)]
pub enum PurgeSelection<'a> {
    /// All that wait for this user.
    Recipient(&'a UserId),
    /// All that this user has sent.
    Sender(&'a UserId),
    /// Those that `sender` has sent to `recipient`.
    Between {
        /// For whom they wait.
        recipient: &'a UserId,
        /// Who has sent them.
        sender: &'a UserId,
    },
}

impl PurgeSelection<'_> {
    fn which(&self) -> Which {
        let (recipient, sender) = match *self {
            Self::Recipient(recipient) => (Some(recipient), None),
            Self::Sender(sender) => (None, Some(sender)),
            Self::Between { recipient, sender } => (Some(recipient), Some(sender)),
        };
        Which::Of {
            recipient: recipient.cloned(),
            sender: sender.cloned(),
        }
    }
}

/// Called once with the answer to [`Hub::is_online`].
pub type OnIsOnline = Box<dyn FnOnce(Result<bool, RegistryError>) + Send>;

/// Called once with the answer to [`Hub::online_users`].
pub type OnOnline = Box<dyn FnOnce(Result<Vec<UserId>, RegistryError>) + Send>;

/// Called once with the outcome of [`Hub::purge`].
pub type OnPurged = Box<dyn FnOnce(Result<u64, Refusal>) + Send>;

impl Hub {
    /// A hub on `mailbox` with the system's clock, which delivers on the store's thread.
    pub fn new(settings: Settings, mailbox: Arc<dyn Mailbox>) -> Arc<Self> {
        Self::with_ports(settings, Ports::new(mailbox))
    }

    /// A hub that is told what it stands on.
    pub fn with_ports(settings: Settings, ports: Ports) -> Arc<Self> {
        let Ports {
            mailbox,
            outbox,
            registry,
            clock,
            executor,
        } = ports;
        let config = settings.config();
        let fan_out = FanOut::new(executor, config.fanout_pending_max);
        let hub = Arc::new(Self {
            limits: Limits::from(config),
            session_table: SessionTable::new(config.sessions_max, config.sessions_per_user_max),
            redeliveries: Redeliveries::new(
                config.unproven_deliveries_max,
                config.unproven_users_max,
            ),
            user_stats: UserStats::new(config.stats_users_max),
            events_out: EventsOut::new(outbox, config.events.clone()),
            trace: Trace::new(&config.trace, clock.now()),
            mailbox,
            online: registry,
            clock,
            ids: MessageIds::new(),
            gate: Gate::default(),
            fan_out,
            counters: Counters::default(),
            accepting: AtomicBool::new(true),
            sessions_begun: AtomicU64::new(0),
            receipt_sessions: ReceiptSessions::default(),
            settings,
        });
        hub.watch_expired();
        hub
    }

    /// From now on connects and submissions are refused; sessions go on receiving.
    pub fn stop_accepting(&self) {
        self.accepting.store(false, Ordering::Release);
    }

    /// Removes waiting messages: those for `recipient`, those of `sender`, or those of the one for
    /// the other. `done` is called once with how many left, unless this is an error.
    ///
    /// # Errors
    /// [`Refusal`]: nothing was removed.
    pub fn purge(
        self: &Arc<Self>,
        selection: PurgeSelection<'_>,
        done: OnPurged,
    ) -> Result<(), Refusal> {
        let purge = match selection {
            PurgeSelection::Recipient(recipient) => Purge::Recipient(recipient.mailbox_key()),
            PurgeSelection::Sender(sender) => Purge::Sender(sender.mailbox_key()),
            PurgeSelection::Between { recipient, sender } => Purge::Between {
                recipient: recipient.mailbox_key(),
                sender: sender.mailbox_key(),
            },
        };
        let hub = Arc::clone(self);
        let which = selection.which();
        let completed = Box::new(move |result: Result<u64, _>| {
            if matches!(result, Ok(1..)) {
                let now = hub.now();
                hub.trace.note_departure(now, which, Departure::Removed);
            }
            done(result.map_err(|_failed| Refusal::StoreFailed));
            hub.command_completed();
        });
        self.gate.begin();
        self.mailbox.purge(purge, completed).map_err(|error| {
            self.command_not_taken(error);
            Refusal::from(error)
        })
    }

    /// Asks the registry for whether the user has a live session, on any node. `done` is called once, perhaps before
    /// this returns.
    pub fn is_online(&self, user: &UserId, done: OnIsOnline) {
        let answer = |online: Vec<bool>| online.first().copied().unwrap_or_default();
        let done = Box::new(move |result: Result<_, _>| done(result.map(answer)));
        self.online.are_online(vec![user.mailbox_key()], done);
    }

    /// Asks the registry for at most `limit` users with a live session, on any node; they are told in ascending
    /// order. `done` is called once, perhaps before this returns.
    pub fn online_users(&self, limit: usize, done: OnOnline) {
        let answer = |keys: Vec<UserKey>| {
            // A key is made from an id, so each is one.
            let mut users: Vec<UserId> = keys.iter().filter_map(|key| key.parse().ok()).collect();
            users.sort_unstable();
            users
        };
        let done = Box::new(move |result: Result<_, _>| done(result.map(answer)));
        self.online.online_users(limit, done);
    }

    /// Live sessions of this process.
    pub fn sessions_len(&self) -> usize {
        self.session_table.len()
    }

    /// Statistics of one user; all zero if he never connected.
    pub fn stat(&self, user: &UserId) -> Stat {
        self.user_stats.stat(user, self.now().as_second())
    }

    /// Statistics of at most `count` known users behind `after`, in ascending order; from the
    /// first user if that is `None`. Fewer than `count` are the last ones.
    pub fn stats_page(&self, after: Option<&UserId>, count: usize) -> Vec<Stat> {
        self.user_stats.page(after, count, self.now().as_second())
    }

    /// Counts a payload that broke a rule of its dialect, so that there is no command in it.
    pub fn count_invalid(&self) {
        self.counters.invalid.add(1);
    }

    /// Counts a message over the API that is beyond a bound of this server; a session counts its own.
    pub fn count_refused(&self, refusal: Refusal) {
        self.counters.refused(refusal);
    }

    /// Totals.
    pub fn totals(&self) -> HubStats {
        self.counters.snapshot(self.session_table.len())
    }

    /// Events for other systems that were not stored because the outbox, the store's queue or the disk was full.
    pub fn events_lost(&self) -> u64 {
        self.events_out.lost()
    }

    /// The settings it runs with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn disconnect(&self, live: &Arc<Live>) {
        self.session_table.remove(live);
        self.online.leave(&live.key);
        self.receipt_sessions.remove(live);
        let (epoch, outcome) = live.close();
        self.redeliveries.record(&live.user, epoch, outcome);
        self.user_stats
            .disconnected(&live.user, self.now().as_second());
        tracing::debug!(user = %live.user, "session ended");
    }

    pub(crate) fn confirm(&self, live: &Live, mark: Mark) {
        let mut receipts = Vec::new();
        let mut ids = Vec::new();
        let is_traced = self.trace.is_on();
        let confirmed = live.confirm(mark, |receipt| {
            if is_traced {
                ids.push(receipt.id);
            }
            if self.tells_delivery(&receipt) {
                receipts.push(receipt);
            }
        });
        self.note_confirmed(live, &ids);
        if let Some((count, up_to)) = confirmed {
            self.proved(live, count, up_to, receipts);
        }
    }

    pub(crate) fn note_confirmed(&self, live: &Live, ids: &[MessageId]) {
        if ids.is_empty() {
            return;
        }
        let now = self.now();
        let step = TraceStep::Confirmed { session: live.id };
        for id in ids {
            self.trace.note(*id, now, &live.user, step);
        }
    }

    /// Whether the sender of a message is told that it has arrived.
    pub(crate) fn tells_delivery(&self, receipt: &Receipt) -> bool {
        let wanted = self.settings.config().delivery_status || self.receipt_sessions.any();
        // A status for the administrator goes nowhere but to other systems (S-29).
        (wanted && !receipt.sender.is_bot()) || self.tells_deliveries()
    }

    /// `count` messages of the user, the last at offset `up_to`, were received.
    pub(crate) fn proved(&self, live: &Live, count: u64, up_to: u64, receipts: Vec<Receipt>) {
        self.counters.confirmed.add(count);
        if let Err(error) = self.mailbox.ack(&live.key, up_to) {
            tracing::debug!(%error, "not acknowledged: delivered again after the restart");
        }
        let status = self.settings.config().delivery_status;
        let tells = self.tells_deliveries();
        for receipt in receipts {
            if tells {
                self.tell_delivered(receipt.id, &receipt.sender, &live.user);
            }
            if receipt.sender.is_bot() {
                continue;
            }
            let notice = Event::Notice(Box::new(Notice::Received {
                id: receipt.id,
                recipient: live.user.clone(),
            }));
            self.offer_if(&receipt.sender, &notice, |live| status || live.receipts);
        }
    }

    pub(crate) fn forget_unproven(&self, live: &Live, mark: Mark) {
        let config = self.settings.config();
        let keep = Room {
            messages: config
                .unproven_messages_kept
                .min(config.in_flight_messages_max / 2)
                .min(config.mailbox_messages_max / 2),
            bytes: config.in_flight_bytes_max / 2,
        };
        live.forget(mark, keep);
    }

    pub(crate) fn release_unproven(&self, live: &Live) {
        let Some((count, up_to)) = live.take_held() else {
            return;
        };
        self.counters.released.add(count);
        let which = Which::UpTo(live.user.clone(), up_to);
        let now = self.now();
        self.trace.note_departure(now, which, Departure::Released);
        tracing::debug!(user = %live.user, count, "let messages go that a client without pongs was given");
        if let Err(error) = self.mailbox.ack(&live.key, up_to) {
            tracing::debug!(%error, "not let go: delivered again after the restart");
        }
    }

    /// Offers something that may be lost to all live sessions of a user.
    pub(crate) fn offer_all(&self, user: &UserId, event: &Event) -> Offered {
        self.offer_if(user, event, |_| true)
    }

    /// Offers something that may be lost to those live sessions of a user that are meant.
    fn offer_if(&self, user: &UserId, event: &Event, is_meant: impl Fn(&Live) -> bool) -> Offered {
        let mut offered = Offered::default();
        let sessions = self.session_table.sessions(user);
        let live = sessions.iter().flat_map(|sessions| sessions.iter());
        for live in live.filter(|live| is_meant(live)) {
            if live.offer(event.clone()) {
                offered.taken += 1;
            } else {
                offered.missed += 1;
                self.counters.ephemeral_dropped.add(1);
            }
        }
        offered
    }

    pub(crate) fn next_id(&self, now: Timestamp) -> MessageId {
        self.ids.next(now.as_second())
    }

    /// The number of one more session.
    pub(crate) fn next_session(&self) -> u64 {
        self.sessions_begun.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn is_accepting(&self) -> bool {
        self.accepting.load(Ordering::Acquire)
    }

    pub(crate) fn is_gate_shut(&self) -> bool {
        self.gate.is_shut()
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Hub")
            .field("totals", &self.totals())
            .finish_non_exhaustive()
    }
}
