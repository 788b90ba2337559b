//! Counters of all parts as `OpenMetrics` text.
//!
//! In: snapshots of the plain counters that hub, store and listeners keep. Out: one text per
//! scrape. Invariant: names stand here only, labels are a fixed set; no user id becomes a label.

mod events; // the outbox and its targets
mod refusals; // what was not taken
mod listeners; // what listeners count

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};
use tidewire::memory::MemoryBudget;
use tidewire_engine::Mailbox;
use tidewire_hub::Hub;
use tidewire_notify::Targets;

use self::refusals::{encode_denied, encode_refused, turned_away};
pub(crate) use self::{listeners::Listeners, refusals::refused_by_reason};
use crate::shaping::Reasons;

/// Renders the counters.
pub(crate) struct Telemetry {
    registry: Registry,
    memory: MemoryBudget,
}

impl Telemetry {
    pub(crate) fn new(
        hub: Arc<Hub>,
        mailbox: Arc<dyn Mailbox>,
        listeners: Listeners,
        memory: MemoryBudget,
        reasons: Arc<Reasons>,
        targets: Targets,
    ) -> Self {
        let mut registry = Registry::with_prefix("tidewire");
        registry.register_collector(Box::new(Snapshot {
            hub,
            mailbox,
            listeners,
            memory: memory.clone(),
            reasons,
            targets,
        }));
        Self { registry, memory }
    }

    /// The memory that clients may make the process hold.
    pub(crate) fn memory(&self) -> &MemoryBudget {
        &self.memory
    }

    /// The text of one scrape.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string cannot fail");
        text
    }
}

struct Snapshot {
    hub: Arc<Hub>,
    mailbox: Arc<dyn Mailbox>,
    listeners: Listeners,
    memory: MemoryBudget,
    reasons: Arc<Reasons>,
    targets: Targets,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Snapshot")
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_connections(&mut encoder)?;
        encode_denied(&mut encoder)?;
        self.encode_memory(&mut encoder)?;
        self.encode_messages(&mut encoder)?;
        self.encode_store(&mut encoder)?;
        self.encode_trace(&mut encoder)?;
        events::encode(&mut encoder, &self.targets, self.hub.events_lost())
    }
}

impl Snapshot {
    fn encode_connections(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let stats = self.listeners.messaging();
        gauge(
            to,
            "connections",
            "Connections of the messaging listener, in any state",
            stats.connections as u64,
        )?;
        counter(to, "websockets_opened", "WebSockets opened", stats.opened)?;
        counter(
            to,
            "handshakes_refused",
            "Handshakes refused, malformed or too slow",
            stats.refused,
        )?;
        self.encode_turned_away(to)?;
        self.encode_reasons(to)?;
        gauge(
            to,
            "sessions",
            "Live sessions of users",
            self.hub.totals().sessions,
        )
    }

    fn encode_turned_away(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut metric = to.encode_descriptor(
            "connections_turned_away",
            "Connections that ended before there was a request, by listener and reason",
            None,
            ConstCounter::new(0_u64).metric_type(),
        )?;
        for (listener, counts) in &self.listeners.connections {
            for (reason, count) in turned_away(counts.turned_away()) {
                let labels = [("listener", *listener), ("reason", reason)];
                ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn encode_reasons(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        by_reason(
            to,
            "requests_refused",
            "Requests that were refused, over HTTP and before a WebSocket was opened, by reason",
            self.reasons.refusals(),
        )?;
        self.encode_answers(to)?;
        by_reason(
            to,
            "websockets_closed",
            "WebSockets that have ended, by reason",
            self.reasons.closes(),
        )
    }

    fn encode_answers(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut metric = to.encode_descriptor(
            "http_requests",
            "HTTP requests that were answered, by listener and class of the status; WebSockets are none",
            None,
            ConstCounter::new(0_u64).metric_type(),
        )?;
        for ([listener, status], count) in self.reasons.answers() {
            let labels = [("listener", listener), ("status", status)];
            ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
        }
        counter(
            to,
            "access_log_dropped",
            "Access log lines that found no room, or could not be written",
            self.reasons.access_log().dropped(),
        )
    }

    fn encode_memory(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let stats = self.memory.stats();
        let gauges = [
            (
                "memory_held",
                "Memory that clients make the server hold: what has not ended, what is not read",
                stats.bytes_used,
            ),
            ("memory_budget", "The most of it", stats.bytes_max),
        ];
        for (name, help, bytes) in gauges {
            let metric = ConstGauge::new(bytes as u64);
            let kind = metric.metric_type();
            metric.encode(to.encode_descriptor(name, help, Some(&Unit::Bytes), kind)?)?;
        }
        counter(
            to,
            "memory_evicted",
            "Connections closed because they held most for longest, and others needed memory",
            stats.evicted,
        )?;
        counter(
            to,
            "memory_refused",
            "Times a connection or request got no more memory, and ended",
            stats.refused,
        )
    }

    fn encode_messages(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let totals = self.hub.totals();
        let counters = [
            (
                "messages_accepted",
                "Messages on disk for every recipient who has room",
                totals.accepted,
            ),
            (
                "messages_live_only",
                "Messages passed on without being stored",
                totals.live_only,
            ),
            (
                "recipients_refused",
                "Recipients who could not take a message that others took",
                totals.refused_recipients,
            ),
            (
                "messages_for_bot",
                "Messages for the administrator alone",
                totals.for_bot,
            ),
            (
                "messages_invalid",
                "Payloads that broke a rule",
                totals.invalid,
            ),
            (
                "messages_delivered",
                "Messages handed to connections",
                totals.delivered,
            ),
            (
                "messages_caught_up",
                "Of these: read from a mailbox",
                totals.caught_up,
            ),
            (
                "messages_confirmed",
                "Messages whose arrival was confirmed",
                totals.confirmed,
            ),
            (
                "messages_released_unproven",
                "Messages that left a mailbox without a proof, given to clients that never answer a ping",
                totals.released,
            ),
            (
                "notices_dropped",
                "Copies and receipts dropped before a slow connection",
                totals.ephemeral_dropped,
            ),
        ];
        for (name, help, value) in counters {
            counter(to, name, help, value)?;
        }
        encode_refused(to, &totals)
    }

    fn encode_store(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let stats = self.mailbox.stats();
        gauge(
            to,
            "mailbox_pending_messages",
            "Messages waiting in mailboxes",
            stats.pending_messages,
        )?;
        gauge(
            to,
            "mailbox_pending_users",
            "Users with messages waiting",
            stats.pending_users,
        )?;
        let bytes = ConstGauge::new(stats.pending_bytes);
        let kind = bytes.metric_type();
        bytes.encode(to.encode_descriptor(
            "mailbox_pending",
            "Payload waiting in mailboxes",
            Some(&Unit::Bytes),
            kind,
        )?)?;
        counter(to, "mailbox_appended", "Messages stored", stats.appended)?;
        counter(
            to,
            "mailbox_acked",
            "Messages that left by confirmation",
            stats.acked,
        )?;
        counter(
            to,
            "mailbox_expired",
            "Messages that left by age",
            stats.expired,
        )?;
        counter(
            to,
            "mailbox_purged",
            "Messages removed on request",
            stats.purged,
        )?;
        counter(
            to,
            "mailbox_corrupt",
            "Messages found damaged and set aside",
            stats.corrupt,
        )?;
        counter(
            to,
            "mailbox_commits",
            "Transactions committed",
            stats.commits,
        )?;
        self.encode_store_state(to)
    }

    fn encode_trace(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let stats = self.hub.trace_stats();
        let bytes = ConstGauge::new(stats.bytes);
        let kind = bytes.metric_type();
        bytes.encode(to.encode_descriptor(
            "trace",
            "Memory for what has become of messages",
            Some(&Unit::Bytes),
            kind,
        )?)?;
        counter(
            to,
            "trace_dropped",
            "Steps of messages that were forgotten before their time, because the memory was used up",
            stats.dropped,
        )
    }

    fn encode_store_state(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let stats = self.mailbox.stats();
        counter(
            to,
            "mailbox_lost_commits",
            "Committed transactions that were missing at the start",
            stats.lost_commits,
        )?;
        let gap = ConstGauge::new(stats.clock_gap_ms / 1000);
        let kind = gap.metric_type();
        gap.encode(to.encode_descriptor(
            "mailbox_clock_gap",
            "Time before this start that expires nothing until it is confirmed",
            Some(&Unit::Seconds),
            kind,
        )?)?;
        gauge(
            to,
            "mailbox_store_full",
            "1 while the store is at its limit",
            u64::from(stats.store_full),
        )?;
        gauge(
            to,
            "mailbox_disk_full",
            "1 while the disk is full",
            u64::from(stats.disk_full),
        )?;
        gauge(
            to,
            "mailbox_failed",
            "1 when the store has failed for good",
            u64::from(stats.failed.is_some()),
        )
    }
}

fn by_reason(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    counts: impl Iterator<Item = (&'static str, u64)>,
) -> fmt::Result {
    let kind = ConstCounter::new(0_u64).metric_type();
    let mut metric = to.encode_descriptor(name, help, None, kind)?;
    for (reason, count) in counts {
        ConstCounter::new(count).encode(metric.encode_family(&[("reason", reason)])?)?;
    }
    Ok(())
}

fn counter(to: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let metric = ConstCounter::new(value);
    let kind = metric.metric_type();
    metric.encode(to.encode_descriptor(name, help, None, kind)?)
}

fn gauge(to: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let metric = ConstGauge::new(value);
    let kind = metric.metric_type();
    metric.encode(to.encode_descriptor(name, help, None, kind)?)
}
