//! Rates: [`Rate`], [`Bucket`], and the bounded table of buckets by key, [`Buckets`].
//!
//! In: amounts and the time at which they come. Out: how long to wait for what follows. Invariants: a bucket is one
//! number (the generic cell rate algorithm: when an even flow would have brought what has come); a table holds so many
//! entries and no more, and one that is forgotten had most of its allowance back.

use std::{collections::HashMap, hash::Hash, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// Longest time a bucket makes anybody wait, however much came at once: what is not read cannot show that it is alive.
const DEBT_MAX: Duration = Duration::from_secs(30);

/// So much in the long run, and what `burst` brings at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    count: u64,
    period: Duration,
    burst: Duration,
}

impl Rate {
    /// `count` per `period`; `None` where that is 0, which means no limit.
    pub(crate) fn new(count: u64, period: Duration, burst: Duration) -> Option<Self> {
        (count > 0).then_some(Self {
            count,
            period,
            burst,
        })
    }

    /// The time in which an even flow brings `amount`.
    fn time_of(self, amount: u64) -> Duration {
        let nanos = self.period.as_nanos() * u128::from(amount) / u128::from(self.count);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(DEBT_MAX + self.burst)
    }
}

/// Counts the events of one kind.
#[derive(Debug, Default)]
pub(crate) struct Bucket(Mutex<Option<Instant>>);

impl Bucket {
    /// Counts `amount`, which has come; returns how long to wait before more of it is within the rate.
    pub(crate) fn charge(&self, rate: Rate, amount: u64, now: Instant) -> Duration {
        let mut due = self.0.lock();
        let next = due.unwrap_or(now).max(now) + rate.time_of(amount);
        let next = next.min(now + rate.burst + DEBT_MAX);
        *due = Some(next);
        (next - now).saturating_sub(rate.burst)
    }

    /// Counts one if it is within the rate.
    ///
    /// # Errors
    /// How long to wait until it is.
    pub(crate) fn admit(&self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let mut due = self.0.lock();
        let next = due.unwrap_or(now).max(now) + rate.time_of(1);
        let beyond = (next - now).saturating_sub(rate.burst.max(rate.time_of(1)));
        if beyond > Duration::ZERO {
            return Err(beyond);
        }
        *due = Some(next);
        Ok(())
    }

    /// When it is as good as new.
    fn empty_at(&self) -> Option<Instant> {
        *self.0.lock()
    }
}

/// Buckets by key. Whoever holds one keeps it from being forgotten.
#[derive(Debug)]
pub(crate) struct Buckets<K>(Mutex<Table<K>>);

#[derive(Debug)]
struct Table<K> {
    entries_max: usize,
    entries: HashMap<K, Arc<Bucket>>,
    swept_at: Option<Instant>,
}

impl<K: Eq + Hash + Clone> Buckets<K> {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self(Mutex::new(Table {
            entries_max,
            entries: HashMap::new(),
            swept_at: None,
        }))
    }

    /// From now on so many at most.
    pub(crate) fn bound(&self, entries_max: usize) {
        self.0.lock().entries_max = entries_max;
    }

    /// The bucket of a key. When the table is full and all of it is in use, it is one that nobody shares.
    pub(crate) fn of(&self, key: &K, now: Instant) -> Arc<Bucket> {
        let mut table = self.0.lock();
        if let Some(found) = table.entries.get(key) {
            return Arc::clone(found);
        }
        let bucket = Arc::<Bucket>::default();
        if table.has_room(now) {
            table.entries.insert(key.clone(), Arc::clone(&bucket));
        }
        bucket
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.lock().entries.len()
    }
}

impl<K: Eq + Hash + Clone> Table<K> {
    /// Makes room where there is none: first those that are as good as new, then one of a few that is nearest to it.
    fn has_room(&mut self, now: Instant) -> bool {
        if self.entries.len() < self.entries_max {
            return true;
        }
        let is_idle = |bucket: &Arc<Bucket>| Arc::strong_count(bucket) == 1;
        let swept_before = self.swept_at.replace(now);
        if swept_before.is_none_or(|at| now.saturating_duration_since(at) >= SWEEP_INTERVAL) {
            self.entries.retain(|_, bucket| {
                !is_idle(bucket) || bucket.empty_at().is_some_and(|at| at > now)
            });
        } else {
            self.swept_at = swept_before;
        }
        if self.entries.len() < self.entries_max {
            return true;
        }
        // The order of a map with a secret seed is as good as chance.
        let few = self.entries.iter().filter(|(_, it)| is_idle(it)).take(8);
        let nearest = few.min_by_key(|(_, bucket)| bucket.empty_at());
        let Some(key) = nearest.map(|(key, _)| key.clone()) else {
            return false;
        };
        self.entries.remove(&key);
        self.entries.len() < self.entries_max
    }
}

/// A sweep looks at every entry.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rate(count: u64, burst: Duration) -> Rate {
        Rate::new(count, SECOND, burst).unwrap()
    }

    #[test]
    fn a_burst_costs_no_wait_and_what_is_beyond_does() {
        let (bucket, rate, now) = (Bucket::default(), rate(100, SECOND * 2), Instant::now());
        assert_eq!(bucket.charge(rate, 200, now), Duration::ZERO);
        assert_eq!(bucket.charge(rate, 50, now), SECOND / 2);
        assert_eq!(bucket.charge(rate, 0, now + SECOND / 2), Duration::ZERO);
        assert_eq!(bucket.charge(rate, 1, now + SECOND / 2), SECOND / 100);
    }

    #[test]
    fn nobody_waits_longer_than_half_a_minute_and_no_amount_overflows() {
        let (bucket, rate, now) = (Bucket::default(), rate(1, SECOND), Instant::now());
        for amount in [1_000_000, u64::MAX, u64::MAX] {
            assert_eq!(bucket.charge(rate, amount, now), DEBT_MAX);
        }
    }

    #[test]
    fn one_is_admitted_when_it_is_within_the_rate() {
        let rate = Rate::new(10, SECOND * 60, SECOND * 60).unwrap();
        let (bucket, now) = (Bucket::default(), Instant::now());
        let admitted = (0..100).filter(|_| bucket.admit(rate, now).is_ok());
        assert_eq!(admitted.count(), 10);
        assert_eq!(bucket.admit(rate, now).unwrap_err(), SECOND * 6);
        assert!(bucket.admit(rate, now + SECOND * 6).is_ok());
    }

    #[test]
    fn a_full_table_forgets_what_is_as_good_as_new_and_never_grows() {
        let (buckets, rate, now) = (Buckets::new(3), rate(1, SECOND), Instant::now());
        for key in 0..3 {
            buckets.of(&key, now).charge(rate, 5, now);
        }
        let later = now + SECOND * 10;
        let held = buckets.of(&7, later);
        assert_eq!(buckets.len(), 1, "the others had their allowance back");
        held.charge(rate, 9, later);
        for key in 10..1000 {
            buckets.of(&key, later).charge(rate, 9, later);
        }
        assert_eq!(buckets.len(), 3);
        assert!(Arc::ptr_eq(&held, &buckets.of(&7, later)), "it is in use");
    }

    #[test]
    fn when_all_entries_are_in_use_a_new_key_has_a_bucket_of_its_own() {
        let (buckets, now) = (Buckets::new(2), Instant::now());
        let held = [buckets.of(&1, now), buckets.of(&2, now)];
        let one = buckets.of(&3, now);
        assert!(!Arc::ptr_eq(&one, &buckets.of(&3, now)));
        assert_eq!((buckets.len(), held.len()), (2, 2));
        buckets.bound(3);
        assert!(Arc::ptr_eq(&buckets.of(&3, now), &buckets.of(&3, now)) || buckets.len() == 3);
    }
}
