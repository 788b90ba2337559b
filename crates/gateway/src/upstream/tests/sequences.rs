//! Any sequence of events keeps the invariants.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn over_a_cycle_everybody_is_picked_exactly_by_weight(
        weights in prop::collection::vec(1_u32..20, 1..8),
        cycles in 1_u32..4,
    ) {
        let upstreams = weights.iter().enumerate();
        let upstreams = upstreams.map(|(index, weight)| weighted(&format!("u{index}"), *weight));
        let bench = Bench::new(&endpoint(upstreams.collect()));
        let sum: u32 = weights.iter().sum();
        for _ in 0..cycles {
            let mut counts = BTreeMap::new();
            for _ in 0..sum {
                let lease = bench.pick().unwrap();
                *counts.entry(lease.upstream().url.host().to_owned()).or_insert(0_u32) += 1;
            }
            for (index, weight) in weights.iter().enumerate() {
                prop_assert_eq!(counts.get(&format!("u{index}")), Some(weight));
            }
        }
    }

    #[test]
    fn nobody_is_picked_who_must_not_be_and_counts_return_to_zero(
        balance in 0..3,
        events in prop::collection::vec(any::<Event>(), 1..200),
    ) {
        let names: [&str; 5] = ["a", "b", "c", "d", "e"];
        let settings = |present: u8| Endpoint {
            balance: match balance {
                0 => Balance::RoundRobin,
                1 => Balance::LeastConnections,
                _ => Balance::Hash(HashKey::Query("k".into())),
            },
            ..endpoint((0..5).filter(|bit| present & 1 << bit != 0 || *bit == 0).map(|bit| Upstream {
                connections_max: 3 + bit,
                weight: u32::try_from(bit).unwrap() + 1,
                ..upstream(names[bit])
            }).collect())
        };
        let mut bench = Bench::new(&settings(0xFF));
        let mut leases: Vec<Lease> = Vec::new();
        for event in events {
            bench.step(event, &mut leases, &settings)?;
        }
        leases.clear();
        bench.pool.update(&settings(0xFF));
        for upstream in bench.pool.snapshot().upstreams {
            prop_assert_eq!(upstream.active, 0);
            prop_assert!(!upstream.removed);
            let trying = matches!(upstream.breaker, BreakerState::HalfOpen { trying: true });
            prop_assert!(!trying, "a trial without lease");
        }
    }
}

/// Something that happens to a pool; numbers choose among what there is.
#[derive(Clone, Copy, Debug)]
enum Event {
    Pick { key: u8, tried: u8 },
    Succeeded(u8),
    Failed(u8),
    Lost(u8),
    Dropped(u8),
    Checked(u8, bool),
    Waited(u16),
    Updated(u8),
    CameBack,
    Probed(u8),
}

impl Arbitrary for Event {
    type Parameters = ();
    type Strategy = BoxedStrategy<Self>;

    fn arbitrary_with((): ()) -> Self::Strategy {
        prop_oneof![
            6 => (any::<u8>(), any::<u8>()).prop_map(|(key, tried)| Self::Pick { key, tried: tried & 3 }),
            2 => any::<u8>().prop_map(Self::Succeeded),
            4 => any::<u8>().prop_map(Self::Failed),
            1 => any::<u8>().prop_map(Self::Lost),
            1 => any::<u8>().prop_map(Self::Dropped),
            2 => any::<(u8, bool)>().prop_map(|(which, result)| Self::Checked(which, result)),
            2 => (0_u16..3_000).prop_map(Self::Waited),
            1 => any::<u8>().prop_map(Self::Updated),
            1 => Just(Self::CameBack),
            2 => any::<u8>().prop_map(Self::Probed),
        ]
        .boxed()
    }
}

impl Bench {
    fn step(
        &mut self,
        event: Event,
        leases: &mut Vec<Lease>,
        settings: &dyn Fn(u8) -> Endpoint,
    ) -> Result<(), TestCaseError> {
        let mut take = |which: u8| {
            let index = usize::from(which).checked_rem(leases.len())?;
            Some(leases.swap_remove(index))
        };
        match event {
            Event::Pick { key, tried } => {
                let lease = self.pick_checked(key, tried)?;
                leases.extend(lease);
            }
            Event::Succeeded(which) => {
                if let Some(mut lease) = take(which) {
                    lease.succeeded(self.now);
                    leases.push(lease);
                }
            }
            Event::Failed(which) => {
                if let Some(lease) = take(which) {
                    lease.failed(
                        self.now,
                        if which & 1 == 0 {
                            Fault::Unreachable
                        } else {
                            Fault::Unanswered
                        },
                    );
                }
            }
            Event::Lost(which) => {
                if let Some(lease) = take(which) {
                    lease.lost(self.now);
                }
            }
            Event::Dropped(which) => drop(take(which)),
            Event::Checked(which, succeeds) => {
                let all = self.pool.snapshot().upstreams;
                let id = all[usize::from(which) % all.len()].id;
                let result = if succeeds { Ok(()) } else { Err(String::new()) };
                self.pool.checked(self.now, id, result);
            }
            Event::Waited(ms) => self.wait(ms.into()),
            Event::Updated(present) => self.pool.update(&settings(present)),
            Event::CameBack => self.pool.came_back(self.now),
            Event::Probed(outcome) => {
                self.ask(match outcome % 4 {
                    0 => Evidence::Answered,
                    1 => Evidence::Fault(Fault::Unreachable),
                    2 => Evidence::Fault(Fault::Unanswered),
                    _ => Evidence::Nothing,
                });
            }
        }
        let counted: usize = self
            .pool
            .snapshot()
            .upstreams
            .iter()
            .map(|u| u.active)
            .sum();
        prop_assert_eq!(counted, leases.len());
        Ok(())
    }

    /// Picks, and compares with what the snapshot says may be picked.
    fn pick_checked(&self, key: u8, tried: u8) -> Result<Option<Lease>, TestCaseError> {
        let before = self.pool.snapshot();
        let present = before.upstreams.iter().filter(|upstream| !upstream.removed);
        let tried: Vec<UpstreamId> = present
            .clone()
            .take(tried.into())
            .map(|upstream| upstream.id)
            .collect();
        let usable: Vec<UpstreamId> = present
            .filter(|upstream| !tried.contains(&upstream.id))
            .filter(|upstream| upstream.active < upstream.connections_max)
            .filter(|upstream| before.panicking || upstream.health != HealthStatus::Unhealthy)
            .filter(|upstream| match upstream.breaker {
                BreakerState::Closed { .. } | BreakerState::Suspected => true,
                BreakerState::Open { until } => until <= self.now,
                BreakerState::HalfOpen { trying } => !trying,
            })
            .map(|upstream| upstream.id)
            .collect();
        let client = ClientKey {
            ip: None,
            value: Some(&[key]),
        };
        match self.pool.pick(self.now, &client, &tried) {
            Ok(lease) => {
                prop_assert!(usable.contains(&lease.id()), "picked who must not be");
                Ok(Some(lease))
            }
            Err(error) => {
                prop_assert!(usable.is_empty(), "{} and yet {:?}", error, usable);
                prop_assert!(error.retry_at.is_none_or(|at| at > self.now));
                Ok(None)
            }
        }
    }
}
