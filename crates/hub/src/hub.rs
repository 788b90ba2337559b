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
//! woken: a shard of the registry; a session's state; the table of user statistics; the gate's
//! list.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use jiff::Timestamp;
use tidewire_engine::Mailbox;
use tidewire_proto::Prepared;

use crate::{
    Clock, HubStats, Mark, MessageId, Settings, Stat, SystemClock, UserId, envelope, gate::Gate,
    live::Live, message_id::MessageIds, outbox::Limits, registry::Registry, stats::Counters,
    user_stats::UserStats,
};

/// Users, their live sessions and the way of messages between them. Share one per process.
pub struct Hub {
    settings: Settings,
    pub(crate) limits: Limits,
    pub(crate) mailbox: Arc<dyn Mailbox>,
    clock: Arc<dyn Clock>,
    ids: MessageIds,
    pub(crate) registry: Registry,
    pub(crate) gate: Gate,
    pub(crate) user_stats: UserStats,
    pub(crate) counters: Counters,
    accepting: AtomicBool,
}

impl Hub {
    /// A hub on `mailbox` with the system's clock.
    pub fn new(settings: Settings, mailbox: Arc<dyn Mailbox>) -> Arc<Self> {
        Self::with_clock(settings, mailbox, Arc::new(SystemClock))
    }

    /// A hub whose time of day comes from `clock`.
    pub fn with_clock(
        settings: Settings,
        mailbox: Arc<dyn Mailbox>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let config = settings.config();
        Arc::new(Self {
            limits: Limits::from(config),
            registry: Registry::new(config.sessions_max, config.sessions_per_user_max),
            user_stats: UserStats::new(config.stats_users_max),
            settings,
            mailbox,
            clock,
            ids: MessageIds::new(),
            gate: Gate::default(),
            counters: Counters::default(),
            accepting: AtomicBool::new(true),
        })
    }

    /// From now on connects and submissions are refused; sessions go on receiving.
    pub fn stop_accepting(&self) {
        self.accepting.store(false, Ordering::Release);
    }

    /// Whether the user has a live session.
    pub fn is_online(&self, user: &UserId) -> bool {
        self.registry.sessions(user).is_some()
    }

    /// At most `limit` users with a live session, in ascending order.
    pub fn online_users(&self, limit: usize) -> Vec<UserId> {
        self.registry.online_users(limit)
    }

    /// Live sessions.
    pub fn sessions_len(&self) -> usize {
        self.registry.len()
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

    /// Totals.
    pub fn totals(&self) -> HubStats {
        self.counters.snapshot(self.registry.len())
    }

    /// The settings it runs with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn disconnect(&self, live: &Arc<Live>) {
        self.registry.remove(live);
        live.close();
        self.user_stats
            .disconnected(&live.user, self.now().as_second());
        tracing::debug!(user = %live.user, "session ended");
    }

    pub(crate) fn confirm(&self, live: &Live, mark: Mark) {
        let status = self.settings.config().delivery_status;
        let mut receipts = Vec::new();
        let confirmed = live.confirm(mark, |receipt| {
            // A status for the administrator has nowhere to go (S-29).
            if status && !receipt.sender.is_bot() {
                receipts.push(receipt);
            }
        });
        let Some((count, up_to)) = confirmed else {
            return;
        };
        self.counters.confirmed.add(count);
        if let Err(error) = self.mailbox.ack(&live.key, up_to) {
            tracing::debug!(%error, "not acknowledged: delivered again after the restart");
        }
        for receipt in receipts {
            let json = envelope::received(&receipt.sender, receipt.id, &live.user);
            self.offer_all(&receipt.sender, &Prepared::text(&json));
        }
    }

    /// Offers something that may be lost to all live sessions of a user.
    pub(crate) fn offer_all(&self, user: &UserId, frame: &Prepared) {
        for live in self
            .registry
            .sessions(user)
            .iter()
            .flat_map(|sessions| sessions.iter())
        {
            if !live.offer(frame.clone()) {
                self.counters.ephemeral_dropped.add(1);
            }
        }
    }

    pub(crate) fn next_id(&self, now: Timestamp) -> MessageId {
        self.ids.next(now.as_second())
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
