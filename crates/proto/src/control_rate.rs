//! How many control frames a peer may send: a bucket of tokens that come back with time.
//!
//! In: the time of each frame that is counted. Out: whether it may be. Invariant: within any time t no
//! more than `burst + t * per_second` pass. RFC 6455 sets no bound on pings (section 5.5.2) and unasked pongs
//! (section 5.5.3), so a peer could keep this end busy for ever with frames that no limit of messages sees.

/// How often a peer may send control frames; see [`Config::control_rate`](crate::Config::control_rate).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlRate {
    /// Frames per second in the long run, from 1 to 1000; what is outside counts as the nearest. The time from one
    /// to the next is rounded down to whole milliseconds. Default 10: many times what the liveliest client
    /// needs, and no work worth mentioning.
    pub per_second: u32,
    /// Frames that may come at once. Default 600, a minute's worth: what a peer sent in time comes
    /// at once when the network stood still or this end did not read for a while, and must not be taken
    /// for a flood. So many cost less than the handshake of a new connection.
    pub burst: u32,
}

impl Default for ControlRate {
    fn default() -> Self {
        Self {
            per_second: 10,
            burst: 600,
        }
    }
}

impl ControlRate {
    /// Milliseconds until a token comes back.
    fn back_ms(self) -> u32 {
        1000_u32
            .checked_div(self.per_second.clamp(1, 1000))
            .unwrap_or(1)
    }
}

/// How much a peer has used of its [`ControlRate`]. New ones are full. Four bytes, because every connection has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControlBucket {
    /// When all tokens will have come back; 0: they are there. A time further off than a burst takes
    /// is one that has passed.
    full_at_ms: u32,
}

impl ControlBucket {
    /// A frame came at `now_ms`: whether it is within `rate`. One that is not takes nothing. The milliseconds
    /// are those of any clock that never goes back; it may wrap around.
    pub fn take(&mut self, rate: ControlRate, now_ms: u32) -> bool {
        let back = rate.back_ms();
        let whole = back.saturating_mul(rate.burst).min(u32::MAX / 2);
        let missing = match self.full_at_ms {
            0 => 0,
            at => at.wrapping_sub(now_ms),
        };
        let missing = if missing > whole { 0 } else { missing };
        let missing = missing.saturating_add(back);
        if missing > whole {
            return false;
        }
        self.full_at_ms = now_ms.wrapping_add(missing).max(1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: ControlRate = ControlRate {
        per_second: 10,
        burst: 20,
    };

    /// Also where the clock wraps around.
    const STARTS: [u32; 5] = [0, 1, 12_345, u32::MAX / 2, u32::MAX - 1000];

    #[test]
    fn a_burst_passes_and_then_one_per_interval() {
        for start in STARTS {
            let mut bucket = ControlBucket::default();
            assert!((0..20).all(|_| bucket.take(RATE, start)), "{start}");
            assert!(!bucket.take(RATE, start));
            assert!(!bucket.take(RATE, start.wrapping_add(99)));
            let later = start.wrapping_add(100);
            assert!(bucket.take(RATE, later) && !bucket.take(RATE, later));
        }
    }

    #[test]
    fn the_rate_passes_for_ever_and_never_saves_up_more_than_a_burst() {
        for start in STARTS {
            let (mut bucket, mut now) = (ControlBucket::default(), start);
            for _ in 0..100_000 {
                assert!(bucket.take(RATE, now));
                now = now.wrapping_add(100);
            }
            now = now.wrapping_add(1_000_000_000);
            assert_eq!((0..1000).filter(|_| bucket.take(RATE, now)).count(), 20);
        }
    }

    #[test]
    fn absurd_rates_neither_panic_nor_pass_everything() {
        for (per_second, burst, expected) in [(0, 1, 1), (1, 0, 0), (u32::MAX, 3, 3)] {
            let mut bucket = ControlBucket::default();
            let rate = ControlRate { per_second, burst };
            let passed = (0..1000).filter(|_| bucket.take(rate, 7)).count();
            assert_eq!(passed, expected, "{rate:?}");
        }
        let rate = ControlRate {
            per_second: 0,
            burst: u32::MAX,
        };
        assert!(ControlBucket::default().take(rate, 7));
    }
}
