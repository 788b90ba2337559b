//! Counters as `OpenMetrics` text.
//!
//! In: the plain counters that all parts keep. Out: one text per scrape. Invariant: names stand here only; labels are
//! endpoints, their upstreams' hosts, dialects and fixed words: as many as the configuration says, never as clients do.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, atomic::Ordering},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};

use super::owner::Owner;
use crate::{
    gateway::Gateway,
    process::state::ProcessPhase,
    routing::target::Target,
    settings::Endpoint,
    upstream::{BreakerState, HealthStatus, UpstreamSnapshot},
};

/// Renders the counters.
pub(super) struct Metrics {
    registry: Registry,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    pub(super) fn new(gateway: &Arc<Gateway>, owner: &Arc<dyn Owner>) -> Self {
        let mut registry = Registry::with_prefix("tidewire_gateway");
        registry.register_collector(Box::new(Snapshot {
            gateway: Arc::clone(gateway),
            owner: Arc::clone(owner),
        }));
        Self { registry }
    }

    /// As `OpenMetrics` text.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string cannot fail");
        text
    }
}

#[derive(Debug)]
struct Snapshot {
    gateway: Arc<Gateway>,
    owner: Arc<dyn Owner>,
}

/// Labels and value of one line.
type Row<const N: usize> = ([(&'static str, String); N], u64);

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let table = self.gateway.table();
        let endpoints: Vec<_> = table
            .targets()
            .iter()
            .map(|target| (target, target.endpoint()))
            .collect();
        self.encode_whole(&mut encoder)?;
        self.encode_turned_away(&mut encoder)?;
        self.encode_memory(&mut encoder)?;
        encode_endpoints(&mut encoder, &endpoints)?;
        encode_upstreams(&mut encoder, &endpoints)?;
        self.encode_processes(&mut encoder, &endpoints)
    }
}

impl Snapshot {
    fn encode_whole(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        gauges(
            to,
            ("build", "Always 1; tells the version"),
            [([("version", version)], 1)],
        )?;
        let census = self.gateway.sessions.census();
        let sessions = census.into_iter().map(|((endpoint, dialect), count)| {
            let endpoint = endpoint.as_deref().unwrap_or_default().to_owned();
            let dialect = dialect.name().to_owned();
            ([("endpoint", endpoint), ("dialect", dialect)], count as u64)
        });
        gauges(
            to,
            (
                "sessions",
                "Open sessions; without endpoint: connections that carry logical sockets",
            ),
            sessions,
        )?;
        let backends = ConstGauge::new(self.gateway.backend_connections() as u64);
        let kind = backends.metric_type();
        let help = "Places taken by connections to backends, of all endpoints";
        backends.encode(to.encode_descriptor("backend_connections", help, None, kind)?)?;
        let dropped = self.gateway.sessions.log().dropped();
        let metric = ConstCounter::new(dropped);
        let kind = metric.metric_type();
        let help = "Access log lines that found no room, or could not be written";
        metric.encode(to.encode_descriptor("access_log_dropped", help, None, kind)?)
    }

    fn encode_turned_away(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let counts = self.gateway.connections.turned_away();
        let by_reason = [
            ("connections_max", counts.connections),
            ("address_connections_max", counts.address),
            ("accept_rate", counts.rate),
            ("handshake_timeout", counts.late),
            ("half_open_max", counts.displaced),
        ];
        let what = (
            "connections_turned_away",
            "Connections that ended before there was a request, of all listeners, by reason",
        );
        let rows = by_reason.map(|(reason, count)| ([("reason", reason.to_owned())], count));
        counters(to, what, None, rows)?;
        let refused = self.gateway.sessions.refusals();
        let what = (
            "requests_refused",
            "Requests and logical sockets that were refused, of all endpoints and of none, by reason",
        );
        let rows = refused.map(|(reason, count)| ([("reason", reason.to_owned())], count));
        counters(to, what, None, rows)
    }

    fn encode_memory(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let stats = self.gateway.memory.stats();
        let held = "Memory that clients make the gateway hold: what has not ended, queues, what is not read";
        for (name, help, bytes) in [
            ("memory_held", held, stats.bytes_used),
            ("memory_budget", "The most of it", stats.bytes_max),
        ] {
            let metric = ConstGauge::new(bytes as u64);
            let kind = metric.metric_type();
            metric.encode(to.encode_descriptor(name, help, Some(&Unit::Bytes), kind)?)?;
        }
        let evicted =
            "Connections closed because they held most for longest, and others needed memory";
        for (name, help, count) in [
            ("memory_evicted", evicted, stats.evicted),
            (
                "memory_refused",
                "Times a connection got no more memory, and ended",
                stats.refused,
            ),
        ] {
            let metric = ConstCounter::new(count);
            let kind = metric.metric_type();
            metric.encode(to.encode_descriptor(name, help, None, kind)?)?;
        }
        Ok(())
    }

    fn encode_processes(
        &self,
        to: &mut DescriptorEncoder<'_>,
        endpoints: &[(&Arc<Target>, Arc<Endpoint>)],
    ) -> fmt::Result {
        let states: Vec<_> = endpoints
            .iter()
            .filter_map(|(_, endpoint)| {
                let state = self.owner.process(&endpoint.name)?;
                Some((endpoint.name.clone(), state))
            })
            .collect();
        let running = states.iter().map(|(name, state)| {
            let running = state.phase == ProcessPhase::Running;
            ([("endpoint", name.clone())], u64::from(running))
        });
        gauges(
            to,
            ("process_running", "1 while the process is ready"),
            running,
        )?;
        let restarts = states
            .iter()
            .map(|(name, state)| ([("endpoint", name.clone())], state.restarts));
        let what = ("process_restarts", "Times the process was started again");
        counters(to, what, None, restarts)
    }
}

fn encode_endpoints(
    to: &mut DescriptorEncoder<'_>,
    endpoints: &[(&Arc<Target>, Arc<Endpoint>)],
) -> fmt::Result {
    let connections = endpoints.iter().map(|(target, endpoint)| {
        let count = target.connections.count() as u64;
        ([("endpoint", endpoint.name.clone())], count)
    });
    let what = (
        "connections",
        "Connections that hold a place of the endpoint",
    );
    gauges(to, what, connections)?;
    for (what, read) in COUNTERS {
        let rows = endpoints
            .iter()
            .map(|(target, endpoint)| ([("endpoint", endpoint.name.clone())], read(target)));
        counters(to, *what, None, rows)?;
    }
    for (name, help, unit, both) in DIRECTIONS {
        let rows = endpoints.iter().flat_map(|(target, endpoint)| {
            let [received, sent] = both(target);
            [("in", received), ("out", sent)].map(|(direction, count)| {
                let endpoint = ("endpoint", endpoint.name.clone());
                ([endpoint, ("direction", direction.to_owned())], count)
            })
        });
        counters(to, (name, help), unit.as_ref(), rows)?;
    }
    Ok(())
}

type ReadTarget = fn(&Target) -> u64;

/// Names, what they mean, and where they are read.
const COUNTERS: &[((&str, &str), ReadTarget)] = &[
    (("opened", "Sockets opened, logical ones too"), |target| {
        target.counters.opened.load(Ordering::Relaxed)
    }),
    (
        ("refused", "Openings that were refused or failed"),
        |target| target.counters.refused.load(Ordering::Relaxed),
    ),
    (
        ("backends_lost", "Backends lost behind a living client"),
        |target| target.counters.lost.load(Ordering::Relaxed),
    ),
    (
        ("backends_resumed", "Lost backends that were found again"),
        |target| target.counters.resumed.load(Ordering::Relaxed),
    ),
    (
        (
            "messages_overflowed",
            "Messages refused or dropped for want of room",
        ),
        |target| target.counters.overflowed.load(Ordering::Relaxed),
    ),
    (
        ("no_upstream", "Times no upstream could be picked"),
        |target| target.pool.snapshot().refused,
    ),
];

type ReadBoth = fn(&Target) -> [u64; 2];

/// The same, of what goes from clients and to them.
const DIRECTIONS: &[(&str, &str, Option<Unit>, ReadBoth)] = &[
    (
        "messages",
        "Messages, where the gateway reads them",
        None,
        |target| {
            let counters = &target.counters;
            [&counters.messages_in, &counters.messages_out]
                .map(|counter| counter.load(Ordering::Relaxed))
        },
    ),
    (
        "transferred",
        "From clients and to them",
        Some(Unit::Bytes),
        |target| {
            let counters = &target.counters;
            [&counters.bytes_in, &counters.bytes_out].map(|counter| counter.load(Ordering::Relaxed))
        },
    ),
];

fn encode_upstreams(
    to: &mut DescriptorEncoder<'_>,
    endpoints: &[(&Arc<Target>, Arc<Endpoint>)],
) -> fmt::Result {
    let upstreams: Vec<_> = endpoints
        .iter()
        .flat_map(|(target, endpoint)| {
            let all = target.pool.snapshot().upstreams.into_iter();
            all.map(|upstream| (endpoint.name.clone(), upstream))
        })
        .collect();
    // Two paths on one host share their lines.
    let rows = |read: ReadUpstream| {
        let mut rows = BTreeMap::new();
        for (endpoint, upstream) in &upstreams {
            let count = read(upstream);
            *rows
                .entry((endpoint.clone(), upstream.host.clone()))
                .or_default() += count;
        }
        rows.into_iter().map(|((endpoint, upstream), count)| {
            ([("endpoint", endpoint), ("upstream", upstream)], count)
        })
    };
    for (what, read) in UPSTREAM_GAUGES {
        gauges(to, *what, rows(*read))?;
    }
    for (what, read) in UPSTREAM_COUNTERS {
        counters(to, *what, None, rows(*read))?;
    }
    Ok(())
}

type ReadUpstream = fn(&UpstreamSnapshot) -> u64;

const UPSTREAM_GAUGES: &[((&str, &str), ReadUpstream)] = &[
    (
        (
            "upstream_active",
            "Connections being opened, open, and closing",
        ),
        |upstream| upstream.active as u64,
    ),
    (
        ("upstream_healthy", "1 unless its checks fail"),
        |upstream| u64::from(upstream.health != HealthStatus::Unhealthy),
    ),
    (
        (
            "upstream_ejected",
            "1 while it is ejected, its trials included",
        ),
        |upstream| {
            let in_use = matches!(
                upstream.breaker,
                BreakerState::Closed { .. } | BreakerState::Suspected
            );
            u64::from(!in_use)
        },
    ),
    (
        (
            "upstream_disabled",
            "1 while the operator has switched it off",
        ),
        |upstream| u64::from(upstream.disabled),
    ),
];

const UPSTREAM_COUNTERS: &[((&str, &str), ReadUpstream)] = &[
    (("upstream_opened", "Openings that succeeded"), |upstream| {
        upstream.totals.opened
    }),
    (("upstream_failed", "Openings that failed"), |upstream| {
        upstream.totals.failed
    }),
    (
        ("upstream_lost", "Established connections that broke"),
        |upstream| upstream.totals.lost,
    ),
    (("upstream_ejections", "Times it was ejected"), |upstream| {
        upstream.totals.ejected
    }),
    (
        ("upstream_checks_failed", "Active checks that failed"),
        |upstream| upstream.totals.checks_failed,
    ),
];

fn counters<const N: usize>(
    to: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    unit: Option<&Unit>,
    rows: impl IntoIterator<Item = Row<N>>,
) -> fmt::Result {
    let kind = ConstCounter::new(0_u64).metric_type();
    let mut metric = to.encode_descriptor(name, help, unit, kind)?;
    for (labels, value) in rows {
        ConstCounter::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn gauges<const N: usize>(
    to: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    rows: impl IntoIterator<Item = Row<N>>,
) -> fmt::Result {
    let kind = ConstGauge::new(0_u64).metric_type();
    let mut metric = to.encode_descriptor(name, help, None, kind)?;
    for (labels, value) in rows {
        ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}
