//! Totals of the hub: [`HubStats`].
//!
//! In: events of all sessions. Out: a snapshot for telemetry. Invariant: plain counters that
//! only grow, except the gauge `sessions`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

use crate::Refusal;

/// Counters since the hub was made; gauges where marked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HubStats {
    /// Gauge: live sessions.
    pub sessions: u64,
    /// Messages accepted: on disk for every recipient who could take them.
    pub accepted: u64,
    /// Messages passed on to live sessions without being stored.
    pub live_only: u64,
    /// Messages for the administrator alone: counted, neither stored nor delivered.
    pub for_bot: u64,
    /// Payloads that broke a rule.
    pub invalid: u64,
    /// Recipients who could not take a message that was accepted for others.
    pub refused_recipients: u64,
    /// Refused: the mailbox of every recipient is full.
    pub refused_mailbox_full: u64,
    /// Refused: too much of the sender is waiting.
    pub refused_sender_quota: u64,
    /// Refused: the store is full.
    pub refused_store_full: u64,
    /// Refused: the disk is full.
    pub refused_disk_full: u64,
    /// Refused: the store has failed or is closed.
    pub refused_store_failed: u64,
    /// Refused: too much is pending.
    pub refused_busy: u64,
    /// Refused: more than the sender may send in this time.
    pub refused_rate_limited: u64,
    /// Refused: the hub accepts nothing any more.
    pub refused_stopping: u64,
    /// Refused: too large for so many recipients.
    pub refused_fanout: u64,
    /// Refused: the sender may send to none of the recipients.
    pub refused_not_allowed: u64,
    /// Messages refused because they are beyond a bound for one message: recipients, type, nesting, numbers.
    pub refused_beyond_bounds: u64,
    /// Durable messages handed to connections.
    pub delivered: u64,
    /// Of these: read from mailboxes instead of passed on when they were stored.
    pub caught_up: u64,
    /// Durable messages whose arrival was confirmed.
    pub confirmed: u64,
    /// Durable messages that left their mailbox without a proof: a client that never answers pings had been
    /// given them, and its system had acknowledged them.
    pub released: u64,
    /// Copies and receipts dropped because a connection's outbox was full.
    pub ephemeral_dropped: u64,
    /// Records in mailboxes that are no messages.
    pub undecodable: u64,
}

macro_rules! counters {
    ($($name:ident),* $(,)?) => {
        /// The counters behind [`HubStats`].
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
        }

        impl Counters {
            pub(crate) fn snapshot(&self, sessions: usize) -> HubStats {
                HubStats { sessions: sessions as u64, $($name: self.$name.load(),)* }
            }
        }
    };
}

counters!(
    accepted,
    live_only,
    for_bot,
    invalid,
    refused_recipients,
    refused_mailbox_full,
    refused_sender_quota,
    refused_store_full,
    refused_disk_full,
    refused_store_failed,
    refused_busy,
    refused_rate_limited,
    refused_stopping,
    refused_fanout,
    refused_not_allowed,
    refused_beyond_bounds,
    delivered,
    caught_up,
    confirmed,
    released,
    ephemeral_dropped,
    undecodable,
);

impl Counters {
    pub(crate) fn refused(&self, refusal: Refusal) {
        match refusal {
            Refusal::MailboxFull => self.refused_mailbox_full.add(1),
            Refusal::SenderQuota => self.refused_sender_quota.add(1),
            Refusal::StoreFull => self.refused_store_full.add(1),
            Refusal::DiskFull => self.refused_disk_full.add(1),
            Refusal::StoreFailed => self.refused_store_failed.add(1),
            Refusal::Busy => self.refused_busy.add(1),
            Refusal::RateLimited => self.refused_rate_limited.add(1),
            Refusal::Stopping => self.refused_stopping.add(1),
            Refusal::FanoutTooLarge => self.refused_fanout.add(1),
            Refusal::NotAllowed => self.refused_not_allowed.add(1),
            Refusal::TooManyRecipients { .. }
            | Refusal::TypeTooLong { .. }
            | Refusal::TooDeep { .. }
            | Refusal::NumberTooLarge { .. } => self.refused_beyond_bounds.add(1),
        }
    }
}

/// A number that grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    fn load(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
