//! The promise of the breaker: no behaviour of one client changes what others get from an upstream that answers by more
//! than one probe interval.
//!
//! Two worlds are compared, in one of which a client does what it likes. In both the upstreams fail for real now and then,
//! which is seen by everybody, and the gateway asks when it wants to ask.

use proptest::prelude::*;

use super::*;
use crate::upstream::breaker::Probe;

/// From one look at what is due to the next, and the time until a question is answered: an interval of probes.
const TICK_MS: u64 = 50;

/// The deeds of one client.
#[derive(Clone, Copy, Debug)]
enum Deed {
    /// Its request gets no answer, or none that is HTTP.
    Unanswered,
    /// It is refused.
    Refused,
    /// It is opened, and makes the server break the connection at once, or after so many ticks.
    Breaks(u8),
    /// Its opening hangs, for so many ticks.
    Hangs(u8),
    /// It is opened and goes.
    Goes,
}

/// Something that happens between two ticks.
#[derive(Clone, Copy, Debug)]
enum Event {
    Client(Deed),
    /// This upstream is down for so many ticks; connections are refused.
    Down(u8, u8),
    Tick,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => Just(Deed::Unanswered),
        1 => Just(Deed::Refused),
        3 => (0_u8..30).prop_map(Deed::Breaks),
        3 => (0_u8..100).prop_map(Deed::Hangs),
        1 => Just(Deed::Goes),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        20 => deed().prop_map(Event::Client),
        1 => (any::<u8>(), 1_u8..60).prop_map(|(which, ticks)| Event::Down(which, ticks)),
        10 => Just(Event::Tick),
    ]
}

/// A pool in one of the worlds.
struct World {
    bench: Bench,
    count: usize,
    tick: u64,
    /// Until when each upstream is down.
    down_until: Vec<u64>,
    /// The connections that the client holds, and until when.
    held: Vec<(Lease, u64)>,
    asked: Vec<(UpstreamId, Probe)>,
}

impl World {
    fn new(count: usize) -> Self {
        let names = ["u0", "u1", "u2"];
        Self {
            bench: Bench::of(&names[..count]),
            count,
            tick: 0,
            down_until: vec![0; count],
            held: Vec::new(),
            asked: Vec::new(),
        }
    }

    fn is_down(&self, id: UpstreamId) -> bool {
        let index = (0..self.count).find(|index| self.bench.id(&format!("u{index}")) == id);
        self.down_until[index.unwrap()] > self.tick
    }

    fn act(&mut self, deed: Deed) {
        let Ok(mut lease) = self.bench.pick() else {
            return;
        };
        let now = self.bench.now;
        if self.is_down(lease.id()) {
            lease.failed(now, Fault::Unreachable);
            return;
        }
        match deed {
            Deed::Unanswered => lease.failed(now, Fault::Unanswered),
            Deed::Refused => lease.ended(now, Evidence::Answered),
            Deed::Goes => lease.succeeded(now),
            Deed::Breaks(ticks) => {
                lease.succeeded(now);
                self.held.push((lease, self.tick + u64::from(ticks)));
            }
            Deed::Hangs(ticks) => self.held.push((lease, self.tick + u64::from(ticks))),
        }
    }

    /// Others come, time passes, questions are answered.
    fn tick(&mut self) {
        for _ in 0..4 {
            let Ok(mut lease) = self.bench.pick() else {
                break;
            };
            let now = self.bench.now;
            if self.is_down(lease.id()) {
                lease.failed(now, Fault::Unreachable);
            } else {
                lease.succeeded(now);
            }
        }
        self.tick += 1;
        self.bench.wait(TICK_MS);
        let now = self.bench.now;
        let due = |(_, until): &mut (Lease, u64)| *until <= self.tick;
        for (lease, _) in self.held.extract_if(.., due) {
            // Broken after it was opened, or given up without an answer.
            let opened = lease.is_open();
            if opened {
                lease.lost(now);
            } else {
                lease.failed(now, Fault::Unanswered);
            }
        }
        for (id, probe) in std::mem::take(&mut self.asked) {
            let evidence = if self.is_down(id) {
                Evidence::Fault(Fault::Unreachable)
            } else {
                Evidence::Answered
            };
            self.bench.pool.probed(now, id, probe, evidence);
        }
        self.asked = self.bench.pool.begin_probes(now);
    }

    /// Which upstreams others get.
    fn given(&self) -> Vec<bool> {
        let hosts = (0..self.count).map(|index| format!("u{index}"));
        hosts
            .map(|host| match self.bench.snapshot(&host).breaker {
                BreakerState::Closed { .. } | BreakerState::Suspected => true,
                BreakerState::Open { .. } | BreakerState::HalfOpen { .. } => false,
            })
            .collect()
    }
}

proptest! {
    #[test]
    fn no_behaviour_of_one_client_takes_an_upstream_that_answers_from_others(
        count in 1_usize..4,
        deeds in prop::collection::vec(deed(), 1..300),
    ) {
        let mut world = World::new(count);
        for (index, deed) in deeds.into_iter().enumerate() {
            world.act(deed);
            prop_assert!(world.given().into_iter().all(|given| given));
            if index % 7 == 0 {
                world.tick();
            }
        }
    }

    #[test]
    fn an_upstream_that_was_down_is_back_for_others_whatever_one_client_does(
        count in 1_usize..4,
        events in prop::collection::vec(event(), 1..400),
    ) {
        let mut world = World::new(count);
        // Ticks in a row in which each was up, its ejection over, and yet it was not given to others.
        let mut withheld = vec![0_u64; count];
        for event in events {
            match event {
                Event::Client(deed) => world.act(deed),
                Event::Down(which, ticks) => {
                    let until = world.tick + u64::from(ticks);
                    world.down_until[usize::from(which) % count] = until;
                }
                Event::Tick => {
                    world.tick();
                    for (index, withheld) in withheld.iter_mut().enumerate() {
                        let is_up = world.down_until[index] <= world.tick;
                        let waits = match world.bench.snapshot(&format!("u{index}")).breaker {
                            BreakerState::Closed { .. } | BreakerState::Suspected => false,
                            BreakerState::Open { until } => until <= world.bench.now,
                            BreakerState::HalfOpen { .. } => true,
                        };
                        *withheld = if is_up && waits { *withheld + 1 } else { 0 };
                        // The tick in which the question is asked, and the one in which it is answered.
                        prop_assert!(*withheld <= 2, "u{index} for {withheld} ticks");
                    }
                }
            }
        }
    }

    #[test]
    fn a_client_that_spoils_or_holds_up_every_trial_delays_nobody_by_more_than_a_probe(
        deeds in prop::collection::vec(deed(), 200),
        per_tick in 1_usize..5,
    ) {
        let outcome = |deeds: &[Deed]| {
            let mut world = World::new(1);
            world.down_until[0] = 1;
            for _ in 0..3 {
                world.act(Deed::Goes); // it is down: a failure
            }
            assert!(!world.given()[0]);
            let mut deeds = deeds.iter();
            while !world.given()[0] {
                for deed in deeds.by_ref().take(per_tick) {
                    world.act(*deed);
                }
                world.tick();
                assert!(world.tick < 1_000, "never back");
            }
            world.tick
        };
        let alone = outcome(&[]);
        let disturbed = outcome(&deeds);
        prop_assert!(disturbed <= alone + 1, "{disturbed} ticks instead of {alone}");
    }
}
