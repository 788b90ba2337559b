//! How much memory connections may make a process hold together.
//!
//! In: what a connection holds for its peer, as buffers grow. Out: leave to hold it, or the news that the budget is
//! used up. Limits of a single connection do not bound the sum: ten thousand clients, each well within its own limits,
//! are too much for a small machine. A [`MemoryBudget`] counts them together: beginnings of messages that have not
//! ended, queues of peers that do not read, and whatever else is [reserved](MemoryAccount::reserve).
//!
//! If the budget is used up, room is made at the cost of those who hold most for longest: of the accounts that hold at least
//! half of the average, the one with the most bytes times seconds is evicted, and its connection closed with 1013. If that
//! is who asks, it is refused. Who holds less loses nothing.
//!
//! Invariants: what is counted is never above the budget, besides what evicted accounts have not let go of yet, at most a quarter of
//! it; a reservation that is dropped is given back; no lock is held while a holder is told.

mod account; // what one connection holds
mod machine; // how much there is

use std::{
    fmt,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use tokio::time::Instant;

use self::account::Account;
pub use self::{
    account::{MemoryAccount, MemoryExhausted, Reservation},
    machine::machine_bytes,
};
use crate::sync::Mutex;

/// Who holds memory of an account, and can be asked to let go of it.
pub(crate) trait Holder: Send + Sync {
    /// The account was evicted. Called without a lock held; it must neither block nor reserve.
    fn evicted(&self);
}

/// A bound for the memory that connections hold, shared by all that are given a clone.
///
/// ```
/// use tidewire::{memory::MemoryBudget, ws::ServerConfig};
///
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let budget = MemoryBudget::new(64 << 20);
/// let public = ServerConfig::new("127.0.0.1:0".parse()?).memory(budget.clone());
/// let internal = ServerConfig::new("127.0.0.1:0".parse()?).memory(budget.clone());
/// assert_eq!(budget.stats().bytes_used, 0);
/// # Ok(()) }
/// # run().unwrap();
/// ```
#[derive(Clone)]
pub struct MemoryBudget(Arc<Budget>);

/// How a budget stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryStats {
    /// Bytes that may be held.
    pub bytes_max: usize,
    /// Bytes that one connection may hold.
    pub share_bytes_max: usize,
    /// Bytes that are held now.
    pub bytes_used: usize,
    /// Accounts that were evicted to make room for others.
    pub evicted: u64,
    /// Reservations that were refused, because who asked held most or had its share.
    pub refused: u64,
}

struct Budget {
    bytes_max: AtomicUsize,
    /// Most for one account.
    share_max: AtomicUsize,
    used: AtomicUsize,
    /// Of evicted accounts, until they let go.
    leaving: AtomicUsize,
    evicted: AtomicU64,
    refused: AtomicU64,
    /// Accounts that have held something, and may again.
    accounts: Mutex<Vec<Weak<Account>>>,
    /// Ages of reservations count from here.
    epoch: Instant,
}

/// Accounts evicted at a time: so the accounts are not looked through for each reservation while the budget stays used up.
const EVICTED_AT_A_TIME: usize = 16;

/// So much of the budget is made free at a time, if there are so many to evict.
const FREED_PART: usize = 64;

/// Most that evicted accounts may still hold, as a part of the budget.
const LEAVING_PART: usize = 4;

/// A connection's share, if none is told: a part of the budget.
const SHARE_PART: usize = 4;

impl fmt::Debug for MemoryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryBudget").field(&self.stats()).finish()
    }
}

/// The budget of the [process](MemoryBudget::process).
impl Default for MemoryBudget {
    fn default() -> Self {
        Self::process()
    }
}

impl PartialEq for MemoryBudget {
    /// Returns whether both are the same budget; two that are as large are not.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl MemoryBudget {
    /// A budget of so many bytes, a quarter of which may be held by one connection.
    pub fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Budget {
            bytes_max: AtomicUsize::new(bytes_max),
            share_max: AtomicUsize::new(bytes_max / SHARE_PART),
            used: AtomicUsize::new(0),
            leaving: AtomicUsize::new(0),
            evicted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            accounts: Mutex::default(),
            epoch: Instant::now(),
        }))
    }

    /// A budget that is never used up; it counts all the same.
    pub fn unlimited() -> Self {
        Self::new(usize::MAX).share_max(usize::MAX)
    }

    /// A budget of half of [`machine_bytes`], or an unlimited one where that is not known.
    pub fn of_machine() -> Self {
        let budget = Self::new(usize::MAX);
        budget.set_limits(None, None);
        budget
    }

    /// The budget of everything in this process that was given no other, once made [`of_machine`](Self::of_machine).
    pub fn process() -> Self {
        static PROCESS: OnceLock<MemoryBudget> = OnceLock::new();
        PROCESS.get_or_init(Self::of_machine).clone()
    }

    /// Sets how much one connection may hold. Default: a quarter of the budget.
    #[must_use]
    pub fn share_max(self, bytes: usize) -> Self {
        self.0.share_max.store(bytes, Ordering::Relaxed);
        self
    }

    /// Changes the bounds while it is in use: of all, by default half of [`machine_bytes`], and of one connection, by
    /// default a quarter of that. Nobody is evicted before more is asked for.
    pub fn set_limits(&self, bytes_max: Option<usize>, share_max: Option<usize>) {
        let half = || machine_bytes().map(|bytes| usize::try_from(bytes / 2).unwrap_or(usize::MAX));
        let bytes_max = bytes_max.or_else(half).unwrap_or(usize::MAX);
        let share_max = share_max.unwrap_or(bytes_max / SHARE_PART);
        self.0.bytes_max.store(bytes_max, Ordering::Relaxed);
        self.0.share_max.store(share_max, Ordering::Relaxed);
    }

    /// How it stands.
    pub fn stats(&self) -> MemoryStats {
        let budget = &self.0;
        let used = budget.used.load(Ordering::Relaxed);
        MemoryStats {
            bytes_max: budget.bytes_max.load(Ordering::Relaxed),
            share_bytes_max: budget.share_max.load(Ordering::Relaxed),
            bytes_used: used.saturating_add(budget.leaving.load(Ordering::Relaxed)),
            evicted: budget.evicted.load(Ordering::Relaxed),
            refused: budget.refused.load(Ordering::Relaxed),
        }
    }

    /// An account for what one connection, or one request, holds.
    pub fn account(&self) -> MemoryAccount {
        MemoryAccount::new(Arc::clone(&self.0))
    }
}

impl Budget {
    /// Milliseconds since the budget was made.
    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The account may be evicted from now on. Those that are gone make place for it.
    fn register(&self, account: &Arc<Account>) {
        let mut accounts = self.accounts.lock();
        if accounts.len() == accounts.capacity() {
            accounts.retain(|account| account.strong_count() > 0);
        }
        accounts.push(Arc::downgrade(account));
    }

    /// Takes `bytes` more for `asking`, which has been counted in none of the sums yet.
    fn take(&self, bytes: usize, asking: &Arc<Account>) -> Result<(), MemoryExhausted> {
        if self.try_take(bytes) {
            return Ok(());
        }
        self.make_room(bytes, asking)
    }

    fn try_take(&self, bytes: usize) -> bool {
        let bytes_max = self.bytes_max.load(Ordering::Relaxed);
        let used = self.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = used.saturating_add(bytes) <= bytes_max;
        if !fits {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }

    #[cold]
    fn make_room(&self, bytes: usize, asking: &Arc<Account>) -> Result<(), MemoryExhausted> {
        let bytes_max = self.bytes_max.load(Ordering::Relaxed);
        if self.leaving.load(Ordering::Relaxed) > bytes_max / LEAVING_PART {
            return Err(self.refuse());
        }
        let wanted = bytes.saturating_add(bytes_max / FREED_PART);
        let mut freed = 0_usize;
        for account in self.most_costly(bytes, asking) {
            if Arc::ptr_eq(&account, asking) || freed >= wanted {
                break;
            }
            if let Some(held) = account.evict() {
                freed = freed.saturating_add(held);
                self.evicted.fetch_add(1, Ordering::Relaxed);
                account.tell();
            }
        }
        if self.try_take(bytes) {
            Ok(())
        } else {
            Err(self.refuse())
        }
    }

    fn refuse(&self) -> MemoryExhausted {
        self.refused.fetch_add(1, Ordering::Relaxed);
        MemoryExhausted(())
    }

    /// Accounts that hold at least half of the average, the most costly first, as far as they may be evicted at a time.
    fn most_costly(&self, bytes: usize, asking: &Arc<Account>) -> Vec<Arc<Account>> {
        let now = self.now();
        let accounts: Vec<Arc<Account>> = {
            let accounts = self.accounts.lock();
            accounts.iter().filter_map(Weak::upgrade).collect()
        };
        // Who asks may hold nothing yet.
        let others = accounts.into_iter().filter(|it| !Arc::ptr_eq(it, asking));
        let others = others.map(|account| (account.held(), account));
        let asked = (asking.held().saturating_add(bytes), Arc::clone(asking));
        let holding: Vec<_> = others
            .filter(|(held, _)| *held > 0)
            .chain([asked])
            .collect();
        let sum = holding
            .iter()
            .fold(0_usize, |sum, (held, _)| sum.saturating_add(*held));
        let little = sum / holding.len() / 2;
        let mut costly: Vec<_> = holding
            .into_iter()
            .filter(|(held, _)| *held >= little)
            .map(|(held, account)| (account.age(now).saturating_mul(held as u128), account))
            .collect();
        costly.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
        costly.truncate(EVICTED_AT_A_TIME);
        costly.into_iter().map(|(_cost, account)| account).collect()
    }
}

#[cfg(test)]
mod tests;
