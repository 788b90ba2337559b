//! What the fault proxy does to one connection: [`Plan`].

use std::{ops::RangeInclusive, time::Duration};

use super::{pace::Pace, random::Random};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Fault {
    /// Cuts behind any byte of either direction, with RST or FIN.
    Cut,
    /// Passes nothing to the server for a while, then cuts or goes on.
    StallUp,
    /// Passes nothing to the client for a while, then cuts or goes on.
    StallDown,
    /// Drops everything from some moment on and keeps both sockets open.
    HalfOpen,
    /// Writes a few bytes at a time.
    Slice,
    /// Limits the bytes per second.
    Rate,
}

/// What may happen to connections.
#[derive(Clone, Debug)]
pub(super) struct Faults {
    pub(super) kinds: Vec<Fault>,
    /// How long stalls last, in milliseconds of normal speed.
    pub(super) stall: RangeInclusive<u64>,
    pub(super) pace: Pace,
}

/// What will happen to a connection.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) up: Direction,
    pub(super) down: Direction,
    /// Cut with RST, not with FIN.
    pub(super) is_reset: bool,
    pub(super) silence: Option<Silence>,
}

/// What will happen to what flows in one direction.
#[derive(Debug)]
pub(super) struct Direction {
    pub(super) random: Random,
    /// Bytes that pass before the connection is cut.
    pub(super) bytes_until_cut: Option<u64>,
    pub(super) stalls: Option<Stalls>,
    pub(super) is_sliced: bool,
    pub(super) bytes_per_second: Option<u64>,
}

/// Stalls that follow each other until one of them ends with a cut.
#[derive(Clone, Debug)]
pub(super) struct Stalls {
    range: RangeInclusive<u64>,
    pace: Pace,
}

/// A stall.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stall {
    /// Time until it begins.
    pub(super) after: Duration,
    pub(super) lasts: Duration,
    pub(super) ends_with_cut: bool,
}

/// From some moment on nothing passes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Silence {
    pub(super) after: Duration,
    /// Whether the proxy goes on reading, so that the system acknowledges to both ends.
    pub(super) is_read: bool,
}

impl Plan {
    pub(super) fn new(faults: &Faults, mut random: Random) -> Self {
        let disruptive: Vec<Fault> = faults
            .kinds
            .iter()
            .copied()
            .filter(|fault| !matches!(fault, Fault::Slice | Fault::Rate))
            .collect();
        // One connection in ten lives as long as its client wants.
        let chosen = if random.is_within(10) {
            None
        } else {
            random.pick(&disruptive)
        };
        let mut plan = Self {
            is_reset: random.is_within(50),
            silence: None,
            up: Direction::new(faults, &mut random),
            down: Direction::new(faults, &mut random),
        };
        let stalls = Stalls {
            range: faults.stall.clone(),
            pace: faults.pace,
        };
        match chosen {
            Some(Fault::Cut) => {
                // As often within the first bytes of the handshake as after many messages.
                let magnitude = 1 << random.below(17);
                let bytes = magnitude + random.below(magnitude);
                let cut = if random.is_within(50) {
                    &mut plan.up
                } else {
                    &mut plan.down
                };
                cut.bytes_until_cut = Some(bytes);
            }
            Some(Fault::StallUp) => plan.up.stalls = Some(stalls),
            Some(Fault::StallDown) => plan.down.stalls = Some(stalls),
            Some(Fault::HalfOpen) => {
                plan.silence = Some(Silence {
                    after: faults.pace.pick(&mut random, &(0..=15_000)),
                    is_read: random.is_within(50),
                });
            }
            Some(Fault::Slice | Fault::Rate) | None => {}
        }
        plan
    }
}

impl Direction {
    /// Only what slows it down.
    fn new(faults: &Faults, random: &mut Random) -> Self {
        let mut has = |fault| faults.kinds.contains(&fault) && random.is_within(25);
        let (is_sliced, is_limited) = (has(Fault::Slice), has(Fault::Rate));
        Self {
            bytes_until_cut: None,
            stalls: None,
            is_sliced,
            bytes_per_second: is_limited.then(|| 2048 << random.below(6)),
            random: random.split(),
        }
    }

    /// The next stall, if this direction stalls.
    pub(super) fn next_stall(&mut self) -> Option<Stall> {
        let Stalls { range, pace } = self.stalls.as_ref()?;
        Some(Stall {
            after: pace.pick(&mut self.random, &(0..=6_000)),
            lasts: pace.pick(&mut self.random, range),
            ends_with_cut: self.random.is_within(50),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plans(kinds: &[Fault]) -> Vec<Plan> {
        let faults = Faults {
            kinds: kinds.to_vec(),
            stall: 1_000..=20_000,
            pace: Pace::new(1),
        };
        (0..200)
            .map(|number| Plan::new(&faults, Random::new(7, number)))
            .collect()
    }

    #[test]
    fn nothing_happens_that_was_not_asked_for() {
        for plan in plans(&[Fault::StallDown]) {
            assert!(plan.up.stalls.is_none() && plan.silence.is_none());
            for direction in [plan.up, plan.down] {
                assert_eq!(direction.bytes_until_cut, None);
                assert_eq!(direction.bytes_per_second, None);
                assert!(!direction.is_sliced);
            }
        }
    }

    #[test]
    fn a_seed_gives_the_same_faults_again() {
        let all = [
            Fault::Cut,
            Fault::StallUp,
            Fault::HalfOpen,
            Fault::Slice,
            Fault::Rate,
        ];
        let (once, again) = (plans(&all), plans(&all));
        assert_eq!(format!("{once:?}"), format!("{again:?}"));
    }

    #[test]
    fn stalls_last_as_long_as_asked_for() {
        let mut plans = plans(&[Fault::StallUp]);
        let stalls: Vec<Stall> = plans
            .iter_mut()
            .filter_map(|plan| plan.up.next_stall())
            .collect();
        assert!(stalls.len() > 100, "nine connections of ten stall");
        for stall in stalls {
            assert!((1..=20).contains(&stall.lasts.as_secs()), "{stall:?}");
        }
    }
}
