//! Counters of the events out. Their label is the name of a target, of which the configuration has at most 64.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};
use tidewire_notify::{BreakerState, TargetStatus, Targets};

use super::{counter, gauge};

pub(super) fn encode(to: &mut DescriptorEncoder<'_>, targets: &Targets, lost: u64) -> fmt::Result {
    let stats = targets.outbox_stats();
    gauge(
        to,
        "events_pending",
        "Events that not all targets have taken",
        stats.pending_events,
    )?;
    let bytes = ConstGauge::new(stats.pending_bytes);
    let kind = bytes.metric_type();
    bytes.encode(to.encode_descriptor(
        "events_pending",
        "Disk that they take, about",
        Some(&Unit::Bytes),
        kind,
    )?)?;
    gauge(
        to,
        "events_dead_letters",
        "Events that a target could not be given, kept",
        stats.dead_letters,
    )?;
    for (name, help, value) in [
        ("events_stored", "Events stored", stats.appended),
        (
            "events_refused",
            "Messages and events refused because the outbox was full",
            stats.refused,
        ),
        (
            "events_lost",
            "Events that were not stored because there was no room",
            stats.lost + lost,
        ),
        (
            "events_dead_letters_dropped",
            "Dead letters that went because there were too many",
            stats.dead_letters_dropped,
        ),
    ] {
        counter(to, name, help, value)?;
    }
    encode_targets(to, &targets.status())
}

type Read = fn(&TargetStatus) -> u64;

fn encode_targets(to: &mut DescriptorEncoder<'_>, targets: &[TargetStatus]) -> fmt::Result {
    let counters: [(&str, &str, Read); 6] = [
        (
            "target_delivered",
            "Events that the target has taken",
            |target| target.counts.delivered,
        ),
        (
            "target_failures",
            "Deliveries to the target that failed",
            |target| target.counts.failures,
        ),
        (
            "target_rescued",
            "Events of the target that a fallback has taken",
            |target| target.counts.rescued,
        ),
        (
            "target_dead",
            "Events of the target that became dead letters",
            |target| target.counts.dead,
        ),
        (
            "target_dropped",
            "Events that the target has missed because the outbox was full",
            |target| target.dropped,
        ),
        (
            "target_filtered",
            "Events that the target was not to get",
            |target| target.counts.filtered,
        ),
    ];
    for (name, help, read) in counters {
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut metric = to.encode_descriptor(name, help, None, kind)?;
        for target in targets {
            let label = [("target", &*target.name)];
            ConstCounter::new(read(target)).encode(metric.encode_family(&label)?)?;
        }
    }
    let gauges: [(&str, &str, Read); 2] = [
        (
            "target_pending",
            "Events that the target has not taken",
            |target| target.pending,
        ),
        (
            "target_open",
            "1 while the target is left alone because it does not work",
            |target| u64::from(target.breaker != BreakerState::Closed),
        ),
    ];
    for (name, help, read) in gauges {
        let kind = ConstGauge::new(0_u64).metric_type();
        let mut metric = to.encode_descriptor(name, help, None, kind)?;
        for target in targets {
            let label = [("target", &*target.name)];
            ConstGauge::new(read(target)).encode(metric.encode_family(&label)?)?;
        }
    }
    Ok(())
}
