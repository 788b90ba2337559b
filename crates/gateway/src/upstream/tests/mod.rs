//! Behaviour of pools, in made-up time.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use super::*;
use crate::settings::{Balance, Ejection, Endpoint, HashKey, Health, Upstream};

mod breaking;
mod doubting;
mod ejecting;
mod one_client;
mod picking;
mod probing;
mod reloading;
mod sequences;

/// An endpoint with these upstreams, by turns, with ejection after three failures and checks.
pub(super) fn endpoint(upstreams: Vec<Upstream>) -> Endpoint {
    Endpoint {
        health: Some(Health::default()),
        ejection: Some(Ejection {
            failures: 3,
            ..Ejection::default()
        }),
        ..Endpoint::new("test", upstreams)
    }
}

/// `ws://NAME/`, with weight 1.
pub(super) fn upstream(name: &str) -> Upstream {
    Upstream {
        url: tidewire::ws::Url::parse(&format!("ws://{name}/")).unwrap(),
        weight: 1,
        zone: None,
        connections_max: usize::MAX,
    }
}

fn weighted(name: &str, weight: u32) -> Upstream {
    Upstream {
        weight,
        ..upstream(name)
    }
}

fn zoned(name: &str, zone: &str) -> Upstream {
    Upstream {
        zone: Some(zone.into()),
        ..upstream(name)
    }
}

/// A pool under test and its time.
struct Bench {
    pool: Pool,
    now: Instant,
}

impl Bench {
    fn new(endpoint: &Endpoint) -> Self {
        Self {
            pool: Pool::new(endpoint),
            now: Instant::now(),
        }
    }

    fn of(names: &[&str]) -> Self {
        Self::new(&endpoint(names.iter().map(|name| upstream(name)).collect()))
    }

    fn pick(&self) -> Result<Lease, NoUpstream> {
        self.pool.pick(self.now, &ClientKey::default(), &[])
    }

    /// Picks `count` times, each connection over before the next; the hosts, in a row.
    fn picks(&self, count: usize) -> String {
        (0..count)
            .map(|_| self.pick().unwrap().upstream().url.host().to_owned())
            .collect()
    }

    fn id(&self, host: &str) -> UpstreamId {
        let address = format!("ws://{host}/");
        let all = self.pool.snapshot().upstreams;
        let found = all.iter().find(|upstream| upstream.address == address);
        found.expect("in the pool").id
    }

    fn snapshot(&self, host: &str) -> UpstreamSnapshot {
        let id = self.id(host);
        let mut all = self.pool.snapshot().upstreams.into_iter();
        all.find(|upstream| upstream.id == id).expect("in the pool")
    }

    /// Picks until it is this one's turn.
    fn lease_of(&self, host: &str) -> Lease {
        (0..100)
            .map(|_| self.pick().unwrap())
            .find(|lease| lease.upstream().url.host() == host)
            .expect("its turn comes")
    }

    /// Openings of this one fail, once its turn comes.
    fn fail(&self, host: &str, times: u32) {
        for _ in 0..times {
            self.lease_of(host).failed(self.now, Fault::Unreachable);
        }
    }

    /// Openings of this one get no answer, once its turn comes.
    fn doubt(&self, host: &str, times: u32) {
        for _ in 0..times {
            self.lease_of(host).failed(self.now, Fault::Unanswered);
        }
    }

    /// The gateway asks those whom it wants to ask, who answer or not; their hosts, in a row.
    fn ask(&self, evidence: Evidence) -> String {
        let begun = self.pool.begin_probes(self.now);
        let all = self.pool.snapshot().upstreams;
        let mut asked = String::new();
        for (id, probe) in begun {
            let upstream = all.iter().find(|upstream| upstream.id == id);
            asked.push_str(&upstream.expect("in the pool").host);
            self.pool.probed(self.now, id, probe, evidence);
        }
        asked
    }

    fn check(&self, host: &str, succeeds: bool) {
        let result = if succeeds {
            Ok(())
        } else {
            Err("refused".to_owned())
        };
        self.pool.checked(self.now, self.id(host), result);
    }

    fn make_unhealthy(&self, host: &str) {
        self.check(host, false);
        self.check(host, false);
    }

    fn wait(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }
}
