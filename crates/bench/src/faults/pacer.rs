//! A client that sends a message at fixed times, each after the echo of the last, and measures the round trips.
//!
//! What is late because the echo before it was late counts from when it was due, so that a stall is not counted once only
//! (no coordinated omission). An echo may be missing, and a socket lost, only while the own backend is in trouble.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};

use tokio::{
    sync::watch,
    time::{sleep, sleep_until, timeout},
};

use super::{
    channel::{Channel, Connector, Received},
    latency::Latencies,
    outage::Outage,
    stage::{Place, Stage},
    tally::Tally,
};

/// How often a client that waits looks up.
const LOOKED_UP_EVERY: Duration = Duration::from_millis(20);

/// After the backend's return, until a message in doubt is not waited for any longer.
const GIVEN_UP_AFTER: Duration = Duration::from_millis(500);

/// Until an echo that must come is said to be missing, and until a socket must be open again.
const PATIENCE: Duration = Duration::from_secs(20);

/// Between attempts to open a socket again.
const REOPENED_EVERY: Duration = Duration::from_millis(100);

/// One client.
pub(super) struct Pacer {
    pub(super) connector: Connector,
    pub(super) channel: Channel,
    /// Counts as [`DIALECTS`](super::channel::DIALECTS) do.
    pub(super) dialect: usize,
    /// Which endpoint.
    pub(super) index: usize,
    pub(super) outage: Arc<Outage>,
    pub(super) stage: Arc<Stage>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) notes: Notes,
}

/// When the newest message was sent that has come back.
#[derive(Debug, Default)]
pub(super) struct Pulse(Mutex<Option<Instant>>);

/// The figures of a client.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) tally: Tally,
    /// Sockets that ended with their backend and were opened again.
    pub(super) reopened: u64,
    /// By [`Place::index`], then by victim.
    pub(super) latencies: Vec<Vec<Latencies>>,
    next: u64,
    in_doubt: HashSet<u64>,
}

impl Pulse {
    /// Returns whether something was sent after that moment and has come back.
    pub(super) fn is_newer(&self, than: Instant) -> bool {
        self.lock().is_some_and(|sent| sent > than)
    }

    fn beat(&self, sent: Instant) {
        *self.lock() = Some(sent);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock()
    }
}

impl Notes {
    pub(super) fn new(victims: usize) -> Self {
        Self {
            latencies: vec![vec![Latencies::default(); victims]; Place::COUNT],
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.tally.add(other.tally);
        self.reopened += other.reopened;
        let sums = self.latencies.iter_mut().flatten();
        for (sum, more) in sums.zip(other.latencies.iter().flatten()) {
            sum.add(more);
        }
    }
}

impl Pacer {
    /// Until `stop` is set; `first` is when the first message is due.
    pub(super) async fn run(
        mut self,
        first: Instant,
        every: Duration,
        stop: watch::Receiver<bool>,
    ) -> (usize, Notes) {
        let mut due = first;
        let mut is_late = false;
        while !*stop.borrow() {
            sleep_until(due.into()).await;
            // The timer is not the gateway's fault.
            let begun = if is_late { due } else { Instant::now() };
            let place = self.stage.place_of(self.index);
            match self.round_trip().await {
                Ok(true) => {
                    if let Some(place) = place {
                        self.notes.latencies[place.index()][place.victim].push(begun.elapsed());
                    }
                    due += every;
                }
                Ok(false) => due = Instant::now() + every,
                Err(why) => {
                    if !self.reopened(&why).await {
                        break;
                    }
                    due = Instant::now() + every;
                }
            }
            is_late = Instant::now() > due;
        }
        (self.dialect, self.notes)
    }

    /// Returns whether the echo came; not always if the backend is in trouble. An error if the socket is lost.
    async fn round_trip(&mut self) -> Result<bool, String> {
        let number = self.notes.next;
        self.notes.next += 1;
        let sent = Instant::now();
        self.channel
            .send(&format!("{} {number}", self.mark()))
            .await?;
        self.notes.tally.sent += 1;
        loop {
            match timeout(LOOKED_UP_EVERY, self.channel.next()).await {
                Ok(Received::Text(text)) => {
                    if self.is_echo(&text, number)? {
                        self.pulse.beat(sent);
                        return Ok(true);
                    }
                }
                Ok(Received::Ended(why)) => return Err(why),
                Err(_) if self.outage.may_have_hurt(sent) => {
                    let back = self.outage.since_back();
                    if back.is_some_and(|since| since > GIVEN_UP_AFTER) {
                        self.notes.in_doubt.insert(number);
                        self.notes.tally.in_doubt += 1;
                        return Ok(false);
                    }
                }
                Err(_) if sent.elapsed() > PATIENCE => {
                    let what = format!("{} {number}", self.mark());
                    self.notes.tally.lost(&what);
                    return Ok(false);
                }
                Ok(Received::Down | Received::Up) | Err(_) => {}
            }
        }
    }

    /// Returns whether this is the echo of that message. An error object ends the socket of a backend in trouble.
    fn is_echo(&mut self, text: &str, number: u64) -> Result<bool, String> {
        let mark = self.mark();
        let rest = text.strip_prefix(&mark).map(str::trim_start);
        match rest.and_then(|rest| rest.parse::<u64>().ok()) {
            Some(echoed) if echoed == number => {
                self.notes.tally.echoed += 1;
                return Ok(true);
            }
            Some(late) if self.notes.in_doubt.remove(&late) => {
                self.notes.tally.in_doubt -= 1;
                self.notes.tally.echoed += 1;
            }
            Some(again) => self.notes.tally.twice(&format!("{mark} {again}")),
            None if text.starts_with('{') && self.outage.may_have_hurt(Instant::now()) => {
                return Err(text.to_owned());
            }
            None => self.notes.tally.misled(&format!("{mark}: {text}")),
        }
        Ok(false)
    }

    /// Opens another socket if this one may be lost; whether there is one.
    async fn reopened(&mut self, why: &str) -> bool {
        let mark = self.mark();
        if !self.outage.may_have_hurt(Instant::now()) {
            self.notes.tally.socket_lost(&format!("{mark}: {why}"));
        }
        self.notes.reopened += 1;
        let begun = Instant::now();
        loop {
            match self.connector.open(&self.endpoint()).await {
                Ok(channel) => {
                    self.channel = channel;
                    return true;
                }
                Err(error) if begun.elapsed() > PATIENCE => {
                    let what = format!("{mark}: not opened again: {error}");
                    self.notes.tally.socket_lost(&what);
                    return false;
                }
                Err(_) => sleep(REOPENED_EVERY).await,
            }
        }
    }

    fn endpoint(&self) -> String {
        format!("e{}", self.index)
    }

    /// The canary, and which of the endpoint's clients this is.
    fn mark(&self) -> String {
        format!("e{} d{}", self.index, self.dialect)
    }
}
