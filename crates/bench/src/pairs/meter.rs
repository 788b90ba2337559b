//! The counts of one client, and the messages that it is to send next.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use super::latency::{Probes, Recorder, Schedule};

/// Something that a client tells the thread that waits for all of them.
#[derive(Debug)]
pub(super) enum Event {
    /// Connected, and about to send.
    Connected,
    /// The server cannot be reached, for this reason.
    Unreachable(String),
    /// Its share of the messages to receive has come.
    Finished,
    /// The connection was lost, for this reason.
    Lost(String),
}

/// Counts of one client that others read while it runs. Only the client writes, so that a store is enough.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) messages: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) lost: AtomicU64,
    /// When the last timed message came: nanoseconds since the start of the run.
    pub(super) last: AtomicU64,
}

/// The plan of a client, the same for all clients of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Messages under way; 0 for clients that only receive.
    pub(super) in_flight: usize,
    /// Between two messages of a client of an open loop.
    pub(super) interval: Option<Duration>,
    /// When the run began.
    pub(super) start: Instant,
}

/// The messages that a client sends without having received anything.
#[derive(Clone, Copy, Debug)]
pub(super) enum Opening {
    /// So many messages, now.
    AtOnce(u64),
    /// All that is due, for as long as the run goes on.
    Paced(Schedule),
}

/// The counts of one client, in its own hands.
#[derive(Debug)]
pub(super) struct Meter {
    plan: Plan,
    /// How many messages it may send and has to receive.
    share: u64,
    sent: u64,
    received: u64,
    bytes: u64,
    probes: Probes,
    recorder: Recorder,
    counts: Arc<Counts>,
    events: mpsc::SyncSender<Event>,
}

impl Meter {
    pub(super) fn new(
        plan: Plan,
        share: u64,
        recorder: &Recorder,
        events: &mpsc::SyncSender<Event>,
    ) -> Self {
        Self {
            plan,
            share,
            sent: 0,
            received: 0,
            bytes: 0,
            probes: if plan.in_flight > 0 {
                Probes::sampled(plan.in_flight)
            } else {
                Probes::Off
            },
            recorder: recorder.clone(),
            counts: Arc::default(),
            events: events.clone(),
        }
    }

    pub(super) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// The client is connected. Returns what it is to send by itself.
    #[must_use]
    pub(super) fn connected(&mut self) -> Opening {
        self.tell(Event::Connected);
        if self.share == 0 {
            self.tell(Event::Finished);
        }
        let Some(interval) = self.plan.interval else {
            return Opening::AtOnce(self.take(self.plan.in_flight as u64));
        };
        let start = Instant::now();
        let schedule = Schedule { start, interval };
        self.probes = Probes::Scheduled(schedule);
        Opening::Paced(schedule)
    }

    /// Whole messages came. Returns how many the client is to send now.
    #[inline]
    #[must_use]
    pub(super) fn received(&mut self, messages: u64, bytes: usize) -> u64 {
        let before = self.received;
        self.received += messages;
        self.bytes += bytes as u64;
        let counts = &*self.counts;
        counts.bytes.store(self.bytes, Ordering::Relaxed);
        counts.messages.store(self.received, Ordering::Relaxed);
        if let Some(now) = self.probes.received(before, self.received, &self.recorder) {
            self.note(now);
        }
        if before < self.share && self.received >= self.share {
            self.note(Instant::now());
            self.tell(Event::Finished);
        }
        if self.plan.in_flight == 0 || self.plan.interval.is_some() {
            return 0;
        }
        self.take(messages)
    }

    /// The messages under way will not come any more. Returns how many messages the client is to send for it.
    #[must_use]
    pub(super) fn lost(&mut self) -> u64 {
        let lost = self.sent.saturating_sub(self.received);
        self.counts.lost.fetch_add(lost, Ordering::Relaxed);
        self.sent = self.received;
        self.probes.forget(self.received);
        self.take(lost)
    }

    /// How many messages have come.
    pub(super) fn messages(&self) -> u64 {
        self.received
    }

    /// Returns whether there is nothing more to receive.
    pub(super) fn is_finished(&self) -> bool {
        self.received >= self.share
    }

    /// The connection is gone before its time.
    pub(super) fn failed(&self, reason: String) {
        self.tell(Event::Lost(reason));
    }

    /// Takes `count` messages of what the client may still send.
    #[inline]
    fn take(&mut self, count: u64) -> u64 {
        let count = count.min(self.share - self.sent.min(self.share));
        for _ in 0..count {
            self.probes.sending();
        }
        self.sent += count;
        count
    }

    fn note(&self, now: Instant) {
        let nanos = now.saturating_duration_since(self.plan.start).as_nanos();
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
        self.counts.last.store(nanos, Ordering::Relaxed);
    }

    pub(super) fn tell(&self, event: Event) {
        // Nobody waits any more when the run was given up.
        self.events.send(event).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(in_flight: usize, share: u64) -> (Meter, mpsc::Receiver<Event>) {
        let (events, told) = mpsc::sync_channel(8);
        let plan = Plan {
            in_flight,
            interval: None,
            start: Instant::now(),
        };
        (Meter::new(plan, share, &Recorder::new(), &events), told)
    }

    #[test]
    fn an_answer_is_followed_by_a_message_until_the_share_is_sent() {
        let (mut meter, told) = meter(4, 6);
        assert!(matches!(meter.connected(), Opening::AtOnce(4)));
        assert_eq!(meter.received(3, 96), 2, "only two of three are left");
        assert_eq!(meter.received(2, 64), 0);
        assert_eq!(meter.received(1, 32), 0);
        assert_eq!(meter.counts().bytes.load(Ordering::Relaxed), 192);
        let told: Vec<_> = told.try_iter().collect();
        assert!(
            matches!(told[..], [Event::Connected, Event::Finished]),
            "{told:?}"
        );
    }

    #[test]
    fn lost_messages_are_counted_and_sent_again() {
        let (mut meter, _told) = meter(4, 100);
        assert!(matches!(meter.connected(), Opening::AtOnce(4)));
        assert_eq!(meter.received(1, 32), 1);
        assert_eq!(meter.lost(), 4);
        assert_eq!(meter.counts().lost.load(Ordering::Relaxed), 4);
        assert_eq!(meter.received(4, 128), 4);
        assert!(!meter.is_finished());
    }

    #[test]
    fn who_only_receives_sends_nothing() {
        let (mut meter, _told) = meter(0, u64::MAX);
        assert!(matches!(meter.connected(), Opening::AtOnce(0)));
        assert_eq!(meter.received(1000, 32_000), 0);
    }
}
