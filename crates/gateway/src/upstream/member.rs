//! [`Member`]: one upstream with all that is known about it.
//!
//! In: what becomes of it. Out: whether it may be picked. Invariant: `active` is the number of
//! leases that exist.

use std::{sync::Arc, time::Instant};

use super::{
    alarm::Alarms,
    breaker::{Breaker, BreakerState},
    hash,
    health::{Condition, HealthStatus},
};
use crate::settings::Upstream;

/// Names an upstream of a pool: the same number as long as its address is in the settings or a
/// lease of it exists, never given to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamId(pub(super) u64);

impl UpstreamId {
    /// The number, for the admin API.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// One upstream of a pool.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: UpstreamId,
    pub(super) upstream: Arc<Upstream>,
    /// Hash of its address: its place among the keys.
    pub(super) place: u64,
    /// Leases that exist: connections being opened, open, and closing.
    pub(super) active: usize,
    /// Switched off by the operator: gets no new connection.
    pub(super) disabled: bool,
    /// Its credit in the smooth round robin.
    pub(super) turn: i64,
    pub(super) breaker: Breaker,
    pub(super) condition: Condition,
    pub(super) alarms: Alarms,
    pub(super) totals: Totals,
}

/// Counters of an upstream since it was added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Times it was picked.
    pub picked: u64,
    /// Openings that succeeded.
    pub opened: u64,
    /// Openings that failed.
    pub failed: u64,
    /// Established connections that broke.
    pub lost: u64,
    /// Times it was ejected.
    pub ejected: u64,
    /// Active checks that failed.
    pub checks_failed: u64,
}

/// Whether a member may be picked, and if not, the first reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Usable,
    Disabled,
    Full,
    Ejected,
    Unhealthy,
}

/// One upstream, for the admin page and the metrics.
#[derive(Clone, Debug)]
pub struct UpstreamSnapshot {
    /// Its name in the pool.
    pub id: UpstreamId,
    /// Its address without query, which may hold secrets.
    pub address: String,
    /// Its host, with the port where it is not the scheme's own.
    pub host: String,
    /// Where it stands.
    pub zone: Option<String>,
    /// Its share.
    pub weight: u32,
    /// Most connections at a time; `usize::MAX`: no limit.
    pub connections_max: usize,
    /// Connections being opened, open, and closing.
    pub active: usize,
    /// Switched off by the operator: gets no new connection.
    pub disabled: bool,
    /// No longer in the settings: never picked again, gone with its last connection.
    pub removed: bool,
    /// What the active checks say.
    pub health: HealthStatus,
    /// Since when; `None` until the first result.
    pub health_since: Option<Instant>,
    /// Why the last check failed; `None` if it succeeded.
    pub health_error: Option<String>,
    /// What the openings say.
    pub breaker: BreakerState,
    /// Counters since it was added.
    pub totals: Totals,
}

impl Member {
    pub(super) fn new(id: UpstreamId, upstream: &Upstream) -> Self {
        Self {
            id,
            upstream: Arc::new(upstream.clone()),
            place: hash::of(upstream.url.to_string().as_bytes()),
            active: 0,
            disabled: false,
            turn: 0,
            breaker: Breaker::default(),
            condition: Condition::default(),
            alarms: Alarms::default(),
            totals: Totals::default(),
        }
    }

    /// Returns whether it may be picked; `panic` leaves health aside.
    pub(super) fn standing(&self, now: Instant, panic: bool) -> Standing {
        if self.disabled {
            Standing::Disabled
        } else if self.condition.is_unhealthy() && !panic {
            Standing::Unhealthy
        } else if !self.breaker.admits(now) {
            Standing::Ejected
        } else if self.is_full() {
            Standing::Full
        } else {
            Standing::Usable
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.active >= self.upstream.connections_max
    }

    pub(super) fn weight(&self) -> u32 {
        self.upstream.weight.max(1)
    }

    pub(super) fn snapshot(&self, removed: bool) -> UpstreamSnapshot {
        UpstreamSnapshot {
            id: self.id,
            address: address(&self.upstream),
            host: self.upstream.url.server(),
            zone: self.upstream.zone.clone(),
            weight: self.upstream.weight,
            connections_max: self.upstream.connections_max,
            active: self.active,
            disabled: self.disabled,
            removed,
            health: self.condition.status(),
            health_since: self.condition.since(),
            health_error: self.condition.error().map(str::to_owned),
            breaker: self.breaker.state(),
            totals: self.totals,
        }
    }
}

/// Scheme, host, port and path.
fn address(upstream: &Upstream) -> String {
    let url = upstream.url.to_string();
    match url.split_once('?') {
        Some((before, _query)) => before.to_owned(),
        None => url,
    }
}
