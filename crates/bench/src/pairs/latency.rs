//! How long messages take, from when they were (or should have been) sent until their answer is there.
//!
//! Of a client with many messages under way only some are timed, evenly spread: a clock read for each of several
//! million messages in a second would be a good part of what is measured. Answers come in the order of the messages, so
//! that a count is enough to know which answer has come.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use parking_lot::Mutex;

/// Times of one thread's clients.
#[derive(Clone, Debug)]
pub(super) struct Recorder(Arc<Mutex<Histogram<u64>>>);

impl Recorder {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(histogram())))
    }

    pub(super) fn record(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0.lock().saturating_record(nanos.max(1));
    }

    pub(super) fn add_to(&self, sum: &mut Latencies) {
        // Both have the same bounds, so that nothing can be out of range.
        let is_added = sum.0.add(&*self.0.lock());
        debug_assert!(is_added.is_ok(), "{is_added:?}");
    }
}

/// Times of all clients.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    pub(super) fn new() -> Self {
        Self(histogram())
    }

    /// How many were taken.
    pub fn samples(&self) -> u64 {
        self.0.len()
    }

    /// The time within which this part of them lies, 0 to 1.
    pub fn quantile(&self, part: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(part))
    }
}

/// From a nanosecond to a minute, to two significant digits: less than 40 KiB.
fn histogram() -> Histogram<u64> {
    const MINUTE: u64 = 60_000_000_000;
    Histogram::new_with_bounds(1, MINUTE, 2).expect("the bounds are in order")
}

/// Which of a client's messages are timed.
#[derive(Debug)]
pub(super) enum Probes {
    /// Every so many-th message, from when it was sent.
    Sampled {
        every: u64,
        sent: u64,
        /// Numbers of timed messages, and when each was sent.
        waiting: VecDeque<(u64, Instant)>,
    },
    /// Each, from when it was due (open loop).
    Scheduled(Schedule),
    /// None.
    Off,
}

/// When each message of a client is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    pub(super) start: Instant,
    /// Between two messages.
    pub(super) interval: Duration,
}

impl Schedule {
    /// How many messages are due by now.
    pub(super) fn due(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.start).as_nanos();
        u64::try_from(passed / self.interval.as_nanos().max(1)).unwrap_or(u64::MAX)
    }

    /// When message `number`, from 1, is due.
    pub(super) fn time_of(&self, number: u64) -> Instant {
        let nanos = u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX);
        self.start + Duration::from_nanos(nanos.saturating_mul(number))
    }
}

impl Probes {
    /// For clients with so many messages under way.
    pub(super) fn sampled(in_flight: usize) -> Self {
        Self::Sampled {
            every: (in_flight as u64 / SAMPLES_UNDER_WAY).max(1),
            sent: 0,
            waiting: VecDeque::new(),
        }
    }

    /// One more message is being sent.
    #[inline]
    pub(super) fn sending(&mut self) {
        if let Self::Sampled {
            every,
            sent,
            waiting,
        } = self
        {
            if sent.is_multiple_of(*every) {
                waiting.push_back((*sent, Instant::now()));
            }
            *sent += 1;
        }
    }

    /// Answers `before` to `received` have come. Returns the time if the clock was read.
    #[inline]
    pub(super) fn received(
        &mut self,
        before: u64,
        received: u64,
        recorder: &Recorder,
    ) -> Option<Instant> {
        match self {
            Self::Sampled { waiting, .. } => {
                waiting.front().filter(|(number, _)| *number < received)?;
                let now = Instant::now();
                while let Some((_, sent)) = waiting.pop_front_if(|(number, _)| *number < received) {
                    recorder.record(now - sent);
                }
                Some(now)
            }
            Self::Scheduled(schedule) => {
                let now = Instant::now();
                for number in before + 1..=received {
                    recorder.record(now.saturating_duration_since(schedule.time_of(number)));
                }
                Some(now)
            }
            Self::Off => None,
        }
    }

    /// All messages under way are lost: nobody waits for it any more.
    pub(super) fn forget(&mut self, received: u64) {
        if let Self::Sampled { sent, waiting, .. } = self {
            waiting.clear();
            *sent = received;
        }
    }
}

const SAMPLES_UNDER_WAY: u64 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(recorder: &Recorder) -> u64 {
        let mut sum = Latencies::new();
        recorder.add_to(&mut sum);
        sum.samples()
    }

    #[test]
    fn with_one_message_under_way_each_is_timed() {
        let (recorder, mut probes) = (Recorder::new(), Probes::sampled(1));
        for number in 0..10 {
            probes.sending();
            assert!(probes.received(number, number + 1, &recorder).is_some());
        }
        assert_eq!(samples(&recorder), 10);
    }

    #[test]
    fn with_many_under_way_some_are_timed_in_order() {
        let (recorder, mut probes) = (Recorder::new(), Probes::sampled(80));
        for _ in 0..80 {
            probes.sending();
        }
        assert!(
            probes.received(0, 1, &recorder).is_some(),
            "the first is timed"
        );
        assert!(
            probes.received(1, 10, &recorder).is_none(),
            "nor are its next nine"
        );
        assert!(probes.received(10, 80, &recorder).is_some());
        assert_eq!(samples(&recorder), 8);
    }

    #[test]
    fn an_open_loop_counts_from_when_a_message_was_due() {
        let recorder = Recorder::new();
        let interval = Duration::from_millis(10);
        let start = Instant::now()
            .checked_sub(Duration::from_secs(1))
            .expect("the machine runs for longer");
        let schedule = Schedule { start, interval };
        assert!(schedule.due(Instant::now()) >= 100);
        Probes::Scheduled(schedule).received(0, 1, &recorder);
        let mut sum = Latencies::new();
        recorder.add_to(&mut sum);
        // Due 10 ms after the start, answered a second after it.
        assert!(sum.quantile(0.5) >= Duration::from_millis(980), "{sum:?}");
    }
}
