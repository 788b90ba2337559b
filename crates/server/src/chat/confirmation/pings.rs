//! Pings that were sent and not answered: [`Pings`], and what a pong says: [`Pong`].

use std::collections::VecDeque;

use tokio::time::Instant;

use super::Queued;

/// A ping on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct SentPing {
    serial: u32,
    /// What it stands behind.
    pub(super) queued: Queued,
    pub(super) sent_at: Instant,
    /// Another one was sent at once with it, right behind.
    is_paired: bool,
}

/// What a pong answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pong {
    /// The ping of this number, and all before it.
    Ours(u32),
    /// It has no payload.
    Empty,
    /// Nothing of ours.
    Foreign,
}

/// The unanswered pings of a connection, oldest first.
#[derive(Debug)]
pub(super) struct Pings {
    seed: u32,
    serial: u32,
    /// Empty pongs that came.
    empty_pongs: u32,
    sent: VecDeque<SentPing>,
}

impl Pings {
    pub(super) fn new(seed: u32) -> Self {
        Self {
            seed,
            serial: 0,
            empty_pongs: 0,
            sent: VecDeque::new(),
        }
    }

    /// Notes one ping more, behind `queued`; or two.
    pub(super) fn send(&mut self, queued: Queued, is_pair: bool, now: Instant) {
        self.send_one(queued, is_pair, now);
        if is_pair {
            self.send_one(queued, false, now);
        }
    }

    fn send_one(&mut self, queued: Queued, is_paired: bool, now: Instant) {
        self.serial = self.serial.wrapping_add(1);
        if self.sent.len() == UNANSWERED_MAX {
            // A mute peer's: its answer would say no more than that of a later one.
            self.sent.remove(1);
        }
        self.sent.push_back(SentPing {
            serial: self.serial,
            queued,
            sent_at: now,
            is_paired,
        });
    }

    /// The payload of the last ping but `before_last`.
    pub(super) fn payload(&self, before_last: u8) -> [u8; 8] {
        let serial = self.serial.wrapping_sub(u32::from(before_last));
        let mut payload = [0; 8];
        payload[..4].copy_from_slice(&self.seed.to_be_bytes());
        payload[4..].copy_from_slice(&serial.to_be_bytes());
        payload
    }

    /// What a pong with this payload answers. Ours may stand anywhere in it: some peers put two bytes
    /// before it.
    pub(super) fn recognise(&self, payload: &[u8]) -> Pong {
        if payload.is_empty() {
            return Pong::Empty;
        }
        let seed = self.seed.to_be_bytes();
        let serial = payload.windows(8).find_map(|part| {
            let serial = part.strip_prefix(&seed)?.try_into().ok()?;
            let serial = u32::from_be_bytes(serial);
            // Nobody can answer a ping that was not sent.
            (1..=self.serial).contains(&serial).then_some(serial)
        });
        serial.map_or(Pong::Foreign, Pong::Ours)
    }

    /// Counts an empty pong; true when more have come than there were pings, so that some answered none.
    #[must_use]
    pub(super) fn count_empty_pong(&mut self) -> bool {
        let is_excess = self.empty_pongs >= self.serial;
        self.empty_pongs = self.empty_pongs.saturating_add(1);
        is_excess
    }

    /// Takes out the ping of this number and all before it; returns the last of them.
    pub(super) fn take_up_to(&mut self, serial: u32) -> Option<SentPing> {
        let mut last = None;
        while self
            .sent
            .front()
            .is_some_and(|first| first.serial <= serial)
        {
            last = self.sent.pop_front();
        }
        last
    }

    /// Takes out everything up to the oldest two that were sent at once, if as many empty pongs have come as
    /// there were pings up to them; returns the first of the two.
    pub(super) fn take_pair(&mut self) -> Option<SentPing> {
        let is_answered = |ping: &SentPing| ping.is_paired && self.empty_pongs > ping.serial;
        let at = self.sent.iter().position(is_answered)?;
        let first = self.sent.get(at).copied();
        self.sent.drain(..(at + 2).min(self.sent.len()));
        first
    }

    /// Whether two were sent at once and are not answered.
    pub(super) fn has_pair(&self) -> bool {
        self.sent.iter().any(|ping| ping.is_paired)
    }

    pub(super) fn first(&self) -> Option<&SentPing> {
        self.sent.front()
    }

    pub(super) fn last(&self) -> Option<&SentPing> {
        self.sent.back()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }
}

/// More are not kept: the oldest, and the latest.
const UNANSWERED_MAX: usize = 8;
