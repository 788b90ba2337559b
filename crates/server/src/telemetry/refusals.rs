//! Counters of connections, credentials and messages that were not taken, by reason.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::counter::ConstCounter,
};
use tidewire::net::TurnedAway;
use tidewire_hub::HubStats;

use super::by_reason;

pub(super) fn turned_away(counts: TurnedAway) -> [(&'static str, u64); 5] {
    [
        ("connections_max", counts.connections),
        ("address_connections_max", counts.address),
        ("accept_rate", counts.rate),
        ("handshake_timeout", counts.late),
        ("half_open_max", counts.displaced),
    ]
}

pub(super) fn encode_denied(to: &mut DescriptorEncoder<'_>) -> fmt::Result {
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

pub(super) fn encode_refused(to: &mut DescriptorEncoder<'_>, totals: &HubStats) -> fmt::Result {
    by_reason(
        to,
        "messages_refused",
        "Well-formed messages that were not accepted, by reason",
        refused_by_reason(totals).into_iter(),
    )
}
