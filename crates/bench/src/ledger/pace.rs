//! [`Pace`]: how fast time runs in a round.

use std::{ops::RangeInclusive, time::Duration};

use super::random::Random;

/// Times are stated for a server that waits 10 s for pongs, and divided by the speed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    speed: u32,
}

impl Pace {
    pub(super) fn new(speed: u32) -> Self {
        Self { speed }
    }

    pub(super) fn of(self, duration: Duration) -> Duration {
        duration / self.speed
    }

    /// A random time between these milliseconds of normal speed.
    pub(super) fn pick(self, random: &mut Random, range: &RangeInclusive<u64>) -> Duration {
        self.of(random.milliseconds(range))
    }

    /// `server.keep_alive.pong_timeout` and `ping_interval` of the server, in seconds, which are the least it takes.
    pub(super) fn keep_alive_seconds(self) -> (u32, u32) {
        let pong = (10 / self.speed).max(1);
        (pong, (25 / self.speed).max(pong + 1))
    }
}
