//! Counters of all parts as `OpenMetrics` text.
//!
//! In: snapshots of the plain counters that hub, store and listeners keep. Out: one text per
//! scrape. Invariant: names stand here only, labels are a fixed set; no user id becomes a label.

mod events; // the outbox and its targets

use std::{
    fmt,
    sync::{Arc, OnceLock, Weak},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};
use tidewire::{
    memory::MemoryBudget,
    net::{ConnectionCounts, TurnedAway},
    ws::{RunningServer, ServerStats},
};
use tidewire_engine::Mailbox;
use tidewire_hub::{Hub, HubStats};
use tidewire_notify::Targets;

use crate::shaping::Reasons;

/// What the listeners count.
#[derive(Clone)]
pub(crate) struct Listeners {
    messaging: Weak<OnceLock<RunningServer>>,
    /// By the `listener` label.
    pub(crate) connections: [(&'static str, ConnectionCounts); 3],
}

impl Listeners {
    /// `messaging` is filled when that listener has started.
    pub(crate) fn new(messaging: &Arc<OnceLock<RunningServer>>) -> Self {
        let counts = |listener| (listener, ConnectionCounts::default());
        Self {
            messaging: Arc::downgrade(messaging),
            connections: ["messaging", "rest", "admin"].map(counts),
        }
    }

    /// Counts of the messaging listener, once there is one.
    pub(crate) fn messaging(&self) -> ServerStats {
        let messaging = self.messaging.upgrade();
        let running = messaging.as_ref().and_then(|it| it.get());
        running.map(RunningServer::stats).unwrap_or_default()
    }
}

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

    /// What clients may make the process hold.
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

fn turned_away(counts: TurnedAway) -> [(&'static str, u64); 5] {
    [
        ("connections_max", counts.connections),
        ("address_connections_max", counts.address),
        ("accept_rate", counts.rate),
        ("handshake_timeout", counts.late),
        ("half_open_max", counts.displaced),
    ]
}

fn encode_denied(to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut metric = to.encode_descriptor(
        "logins_denied",
        "Requests without valid credentials, of both listeners, by reason",
        None,
        ConstCounter::new(0_u64).metric_type(),
    )?;
    for (reason, count) in tidewire_access::denials() {
        ConstCounter::new(count).encode(metric.encode_family(&[("reason", reason)])?)?;
    }
    Ok(())
}

/// Well-formed messages that were not accepted, by reason.
pub(crate) fn refused_by_reason(totals: &HubStats) -> [(&'static str, u64); 11] {
    [
        ("mailbox_full", totals.refused_mailbox_full),
        ("sender_quota", totals.refused_sender_quota),
        ("store_full", totals.refused_store_full),
        ("disk_full", totals.refused_disk_full),
        ("store_failed", totals.refused_store_failed),
        ("busy", totals.refused_busy),
        ("rate_limited", totals.refused_rate_limited),
        ("stopping", totals.refused_stopping),
        ("fanout_too_large", totals.refused_fanout),
        ("not_allowed", totals.refused_not_allowed),
        ("beyond_bounds", totals.refused_beyond_bounds),
    ]
}

fn encode_refused(to: &mut DescriptorEncoder<'_>, totals: &HubStats) -> fmt::Result {
    by_reason(
        to,
        "messages_refused",
        "Well-formed messages that were not accepted, by reason",
        refused_by_reason(totals).into_iter(),
    )
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
