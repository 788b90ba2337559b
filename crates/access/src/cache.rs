//! [`Cache`]: answers that are believed for a while.
//!
//! Invariant: there are never more than the bound, the oldest are forgotten for new ones; what the keys stand for cannot
//! be read from memory.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use ring::digest;
use tidewire_auth::{RemoteAnswer, Secret};
use tokio::time::Instant;

/// A credential, but not readable.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(crate) fn of(credential: &Secret) -> Self {
        let hash = digest::digest(&digest::SHA256, credential.expose().as_bytes());
        Self(hash.as_ref().try_into().unwrap_or([0; 32]))
    }
}

pub(crate) struct Cache {
    entries_max: usize,
    /// With the number of its place in the order.
    entries: HashMap<Fingerprint, (u64, Instant, RemoteAnswer)>,
    /// By age; those that were replaced leave their place behind.
    order: VecDeque<(u64, Fingerprint)>,
    places: u64,
}

impl Cache {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self {
            entries_max,
            entries: HashMap::new(),
            order: VecDeque::new(),
            places: 0,
        }
    }

    pub(crate) fn get(&self, key: Fingerprint) -> Option<RemoteAnswer> {
        let (_, until, answer) = self.entries.get(&key)?;
        (Instant::now() < *until).then(|| answer.clone())
    }

    pub(crate) fn insert(&mut self, key: Fingerprint, answer: RemoteAnswer, ttl: Duration) {
        if self.entries_max == 0 || ttl.is_zero() {
            return;
        }
        let Some(until) = Instant::now().checked_add(ttl) else {
            return;
        };
        self.places += 1;
        self.order.push_back((self.places, key));
        self.entries.insert(key, (self.places, until, answer));
        while self.order.len() > self.entries_max {
            let Some((place, key)) = self.order.pop_front() else {
                break;
            };
            if self
                .entries
                .get(&key)
                .is_some_and(|(own, ..)| *own == place)
            {
                self.entries.remove(&key);
            }
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    //! Kinds: there, too old, pushed out, replaced, never there.

    use super::*;

    fn key(text: &str) -> Fingerprint {
        Fingerprint::of(&Secret::from(text))
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_believed_for_its_time() {
        let mut cache = Cache::new(10);
        cache.insert(key("a"), RemoteAnswer::No, Duration::from_secs(5));
        tokio::time::advance(Duration::from_millis(4999)).await;
        assert_eq!(cache.get(key("a")), Some(RemoteAnswer::No));
        assert_eq!(cache.get(key("b")), None);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(cache.get(key("a")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_are_forgotten_for_new_ones_and_nothing_grows() {
        let mut cache = Cache::new(2);
        for name in ["a", "b", "c"] {
            cache.insert(key(name), RemoteAnswer::No, Duration::from_secs(5));
        }
        let there = ["a", "b", "c"].map(|name| cache.get(key(name)).is_some());
        assert_eq!(there, [false, true, true]);
        for _ in 0..1000 {
            cache.insert(key("c"), RemoteAnswer::No, Duration::from_secs(5));
        }
        assert_eq!((cache.len(), cache.order.len()), (1, 2));
        let mut off = Cache::new(0);
        off.insert(key("a"), RemoteAnswer::No, Duration::from_secs(5));
        assert_eq!((off.len(), off.order.len()), (0, 0));
    }
}
