//! Pings that were sent and not answered: [`Pings`], and what a pong says: [`Pong`].

use std::{
    collections::VecDeque,
    hash::{BuildHasher as _, RandomState},
};

use tidewire_hub::Mark;
use tokio::time::Instant;

use super::Queued;

/// A ping on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct SentPing {
    serial: u32,
    /// What it stands behind: messages, and their bytes.
    pub(super) mark: Mark,
    pub(super) bytes: u64,
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
    /// Usually there is one at most: it needs no allocation.
    first: Option<SentPing>,
    #[expect(clippy::box_collection, reason = "most connections never have one")]
    others: Option<Box<VecDeque<SentPing>>>,
}

impl Pings {
    pub(super) fn new(seed: u32) -> Self {
        Self {
            seed,
            serial: 0,
            empty_pongs: 0,
            first: None,
            others: None,
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
        let ping = SentPing {
            serial: self.serial,
            mark: queued.mark,
            bytes: queued.bytes,
            sent_at: now,
            is_paired,
        };
        if self.first.is_none() {
            self.first = Some(ping);
            return;
        }
        let others = self.others.get_or_insert_default();
        if others.len() == OTHERS_MAX {
            // A mute peer's: its answer would say no more than that of a later one.
            others.pop_front();
        }
        others.push_back(ping);
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
        while self.first.is_some_and(|first| first.serial <= serial) {
            last = self.pop();
        }
        last
    }

    /// Takes out everything up to the oldest two that were sent at once, if as many empty pongs have come as
    /// there were pings up to them; returns the first of the two.
    pub(super) fn take_pair(&mut self) -> Option<SentPing> {
        let is_answered = |ping: &SentPing| ping.is_paired && self.empty_pongs > ping.serial;
        let serial = self.iter().find(|ping| is_answered(ping))?.serial;
        let first = self.take_up_to(serial);
        if self
            .first
            .is_some_and(|ping| ping.serial == serial.wrapping_add(1))
        {
            self.pop();
        }
        first
    }

    /// Whether two were sent at once and are not answered.
    pub(super) fn has_pair(&self) -> bool {
        self.iter().any(|ping| ping.is_paired)
    }

    pub(super) fn first(&self) -> Option<&SentPing> {
        self.first.as_ref()
    }

    pub(super) fn last(&self) -> Option<&SentPing> {
        let others = self.others.as_deref();
        others.and_then(VecDeque::back).or(self.first.as_ref())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    fn iter(&self) -> impl Iterator<Item = &SentPing> {
        self.first
            .iter()
            .chain(self.others.iter().flat_map(|others| others.iter()))
    }

    fn pop(&mut self) -> Option<SentPing> {
        let next = self.others.as_mut().and_then(|others| others.pop_front());
        if next.is_none() {
            self.others = None;
        }
        std::mem::replace(&mut self.first, next)
    }
}

/// Besides the oldest, so many of the latest are kept.
const OTHERS_MAX: usize = 7;

/// A number that the pings of other connections do not have.
pub(in super::super) fn seed() -> u32 {
    let hash = RandomState::new().hash_one(());
    u32::try_from(hash & u64::from(u32::MAX)).unwrap_or_default()
}
