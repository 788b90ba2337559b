//! [`Logins`]: wrong credentials, by account and by address.
//!
//! In: attempts and what became of them. Out: which attempts are not even looked at, and for how long. Invariants: who
//! failed too often from one address waits, longer each time; a user of the same account at an address that has not
//! failed gets through, whatever others try; the table is bounded.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    time::Duration,
};

use parking_lot::Mutex;
use tidewire::net::limited_as;
use tokio::time::Instant;

/// How many wrong credentials, and how long the pause is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LoginLimits {
    /// For one account in a minute; `None`: no limit.
    pub(crate) per_account: Option<u32>,
    /// From one address in a minute; `None`: no limit.
    pub(crate) per_address: Option<u32>,
    /// The first pause is a minute, each further one twice as long, up to this.
    pub(crate) pause_max: Duration,
    /// Entries of the table.
    pub(crate) entries_max: usize,
}

/// Whose attempts are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Address(IpAddr),
    /// An account, hashed: names are long, and what a stranger writes is no name.
    Account(u64),
    /// An account from one address; `None`: over a Unix socket.
    Both(u64, Option<IpAddr>),
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    since: Instant,
    /// Pauses so far, one soon after the other.
    pauses: u32,
    paused_until: Option<Instant>,
}

/// Wrong credentials of late.
#[derive(Debug)]
pub(crate) struct Logins {
    hasher: RandomState,
    table: Mutex<HashMap<Key, Failures>>,
}

impl Default for Logins {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            table: Mutex::default(),
        }
    }
}

impl Logins {
    /// Checks that credentials from `address` for `account` are to be looked at.
    ///
    /// # Errors
    /// How long they are not.
    pub(crate) fn check(
        &self,
        limits: &LoginLimits,
        address: Option<IpAddr>,
        account: Option<&str>,
    ) -> Result<(), Duration> {
        let now = Instant::now();
        let address = address.map(limited_as);
        let table = self.table.lock();
        let paused = |key: Key| {
            let failures = table.get(&key)?;
            failures.paused_until.filter(|until| *until > now)
        };
        let by_address = address
            .filter(|_| limits.per_address.is_some())
            .and_then(|address| paused(Key::Address(address)));
        let by_account = account
            .filter(|_| limits.per_account.is_some())
            .and_then(|account| {
                let account = self.hasher.hash_one(account);
                let both = Key::Both(account, address);
                // The account's own pause is for those who have failed.
                let of_all = table.get(&both).and_then(|_| paused(Key::Account(account)));
                paused(both).max(of_all)
            });
        match by_address.max(by_account) {
            None => Ok(()),
            Some(until) => Err(until - now),
        }
    }

    /// The credentials were wrong.
    pub(crate) fn failed(
        &self,
        limits: &LoginLimits,
        address: Option<IpAddr>,
        account: Option<&str>,
    ) {
        let now = Instant::now();
        let address = address.map(limited_as);
        let account = account.map(|account| self.hasher.hash_one(account));
        let keys = [
            (address.map(Key::Address), limits.per_address),
            (account.map(Key::Account), limits.per_account),
            (
                account.map(|account| Key::Both(account, address)),
                limits.per_account,
            ),
        ];
        let mut table = self.table.lock();
        for (key, count_max) in keys {
            if let (Some(key), Some(count_max)) = (key, count_max) {
                make_room(&mut table, limits, now);
                let failures = table.entry(key).or_insert(Failures {
                    count: 0,
                    since: now,
                    pauses: 0,
                    paused_until: None,
                });
                failures.add(count_max, limits.pause_max, now);
            }
        }
    }

    /// The credentials were right: what this address got wrong for the account is forgotten.
    pub(crate) fn passed(&self, address: Option<IpAddr>, account: Option<&str>) {
        let Some(account) = account else { return };
        let mut table = self.table.lock();
        if !table.is_empty() {
            let account = self.hasher.hash_one(account);
            table.remove(&Key::Both(account, address.map(limited_as)));
        }
    }
}

impl Failures {
    fn add(&mut self, count_max: u32, pause_max: Duration, now: Instant) {
        if now.saturating_duration_since(self.since) >= WINDOW {
            self.count = 0;
            self.since = now;
        }
        self.count += 1;
        let is_paused = self.paused_until.is_some_and(|until| until > now);
        if self.count >= count_max && !is_paused {
            let pause = WINDOW.saturating_mul(1 << self.pauses.min(16));
            self.paused_until = Some(now + pause.min(pause_max.max(WINDOW)));
            self.pauses = self.pauses.saturating_add(1);
            self.count = 0;
        }
    }

    /// Nothing of it counts any more: a further failure would be the first.
    fn is_over(&self, pause_max: Duration, now: Instant) -> bool {
        let last = self.paused_until.unwrap_or(self.since);
        let kept = if self.pauses > 0 {
            pause_max
        } else {
            Duration::ZERO
        };
        now.saturating_duration_since(last) >= WINDOW + kept
    }
}

/// Forgets what is over; if nothing is, one of a few that is nearest to it.
fn make_room(table: &mut HashMap<Key, Failures>, limits: &LoginLimits, now: Instant) {
    if table.len() < limits.entries_max {
        return;
    }
    table.retain(|_, failures| !failures.is_over(limits.pause_max, now));
    // So that a table full of those who failed is not looked through for each further one.
    while table.len() >= limits.entries_max - limits.entries_max / 16 {
        let few = table.iter().take(8);
        let oldest =
            few.min_by_key(|(_, failures)| failures.paused_until.max(Some(failures.since)));
        let Some(key) = oldest.map(|(key, _)| *key) else {
            return;
        };
        table.remove(&key);
    }
}

/// In which failures are counted, and the first pause.
const WINDOW: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: LoginLimits = LoginLimits {
        per_account: Some(10),
        per_address: Some(30),
        pause_max: Duration::from_mins(15),
        entries_max: 1000,
    };

    fn address(last: u16) -> IpAddr {
        let [high, low] = last.to_be_bytes();
        IpAddr::from([127, 0, high, low])
    }

    /// Guesses that are looked at, of so many wrong ones.
    fn looked_at(logins: &Logins, from: IpAddr, account: &str, count: usize) -> usize {
        let from = Some(from);
        let guesses = (0..count).filter(|_| {
            let checked = logins.check(&LIMITS, from, Some(account));
            if checked.is_ok() {
                logins.failed(&LIMITS, from, Some(account));
            }
            checked.is_ok()
        });
        guesses.count()
    }

    /// Promise F4.
    #[tokio::test(start_paused = true)]
    async fn ten_guesses_a_minute_are_looked_at_and_the_pause_grows() {
        let logins = Logins::default();
        let mut minutes = Vec::new();
        for _ in 0..60 {
            minutes.push(looked_at(&logins, address(1), "alice", 200));
            tokio::time::advance(WINDOW).await;
        }
        assert!(minutes.iter().all(|count| *count <= 10), "{minutes:?}");
        let total: usize = minutes.iter().sum();
        assert_eq!(minutes[..4], [10, 10, 0, 10], "{minutes:?}");
        assert!(total <= 80, "pauses of up to 15 minutes: {minutes:?}");
    }

    /// Promise F4.
    #[tokio::test(start_paused = true)]
    async fn an_attack_on_an_account_keeps_its_user_at_another_address_out_for_no_moment() {
        let logins = Logins::default();
        for attacker in 1..=1000 {
            looked_at(&logins, address(attacker), "alice", 10);
            let good = logins.check(&LIMITS, Some(address(2000)), Some("alice"));
            assert_eq!(good, Ok(()), "after {attacker}");
            logins.passed(Some(address(2000)), Some("alice"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_addresses_that_failed_share_the_accounts_guesses() {
        let logins = Logins::default();
        let guesses: usize = (1..=100)
            .map(|attacker| looked_at(&logins, address(attacker), "alice", 10))
            .sum();
        assert_eq!(guesses, 10 + 99, "each address has one guess besides");
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_tries_many_accounts_is_stopped_and_a_right_one_does_not_help_it() {
        let logins = Logins::default();
        let mut count = 0;
        for account in 0..100 {
            count += looked_at(&logins, address(1), &account.to_string(), 1);
            logins.passed(Some(address(1)), Some("its own"));
        }
        assert_eq!(count, 30);
        let other = logins.check(&LIMITS, Some(address(2)), Some("1"));
        assert_eq!(other, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn who_mistypes_and_then_gets_it_right_starts_afresh() {
        let logins = Logins::default();
        for _ in 0..5 {
            assert_eq!(looked_at(&logins, address(1), "alice", 5), 5);
            logins.passed(Some(address(1)), Some("alice"));
            tokio::time::advance(WINDOW).await;
        }
        assert_eq!(
            logins.check(&LIMITS, Some(address(1)), Some("alice")),
            Ok(())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_million_failures_leave_a_bounded_table() {
        let logins = Logins::default();
        for number in 0..20_000_u32 {
            let from = Some(IpAddr::from(number.to_be_bytes()));
            logins.failed(&LIMITS, from, Some(&number.to_string()));
        }
        assert!(logins.table.lock().len() <= LIMITS.entries_max);
    }
}
