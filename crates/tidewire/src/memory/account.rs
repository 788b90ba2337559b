//! [`MemoryAccount`]: what one connection holds of a budget.
//!
//! In: reservations that grow and shrink. Out: the same, counted for the budget. Invariant: an evicted account takes nothing
//! more, and what it held counts as leaving until it is given back.

use std::{
    fmt,
    sync::{
        Arc, MutexGuard, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

use super::{Budget, Holder};
use crate::sync::Mutex;

/// The memory budget is used up, and who asks holds most of it, or the whole share of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the memory for connections is used up")]
pub struct MemoryExhausted(pub(super) ());

/// The part of one connection in a [`MemoryBudget`](super::MemoryBudget), in any number of reservations. Clones are the
/// same account.
#[derive(Clone)]
pub struct MemoryAccount(Arc<Account>);

/// Bytes that are held, and given back when this is dropped.
pub struct Reservation {
    account: MemoryAccount,
    bytes: usize,
}

pub(super) struct Account {
    budget: Arc<Budget>,
    /// Changed under the lock.
    held: AtomicUsize,
    /// When it began to hold something, in the budget's time.
    since: AtomicU64,
    evicted: AtomicBool,
    inner: Mutex<Inner>,
}

/// Who waits for the eviction.
#[derive(Default)]
struct EvictionWaiter(Notify);

impl Holder for EvictionWaiter {
    fn evicted(&self) {
        self.0.notify_one();
    }
}

#[derive(Default)]
struct Inner {
    registered: bool,
    holders: Vec<Weak<dyn Holder>>,
}

impl fmt::Debug for MemoryAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryAccount")
            .field("held", &self.0.held())
            .field("evicted", &self.is_evicted())
            .finish()
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reservation").field(&self.bytes).finish()
    }
}

impl MemoryAccount {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self(Arc::new(Account {
            budget,
            held: AtomicUsize::new(0),
            since: AtomicU64::new(0),
            evicted: AtomicBool::new(false),
            inner: Mutex::default(),
        }))
    }

    /// A reservation of nothing, to be [resized](Reservation::resize).
    pub fn reserve(&self) -> Reservation {
        Reservation {
            account: self.clone(),
            bytes: 0,
        }
    }

    /// Bytes in all reservations.
    pub fn held(&self) -> usize {
        self.0.held()
    }

    /// Returns whether it had to make room for others: what it holds is to be let go, and it gets nothing more.
    pub fn is_evicted(&self) -> bool {
        self.0.evicted.load(Ordering::Acquire)
    }

    /// Waits until it had to make room for others: for who holds something of it after its connection has ended.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn evicted(&self) {
        let told = Arc::new(EvictionWaiter::default());
        let holder: Weak<dyn Holder> = Arc::<EvictionWaiter>::downgrade(&told);
        self.add_holder(holder);
        told.0.notified().await;
    }

    /// Evicts it, as if it had to make room: for who was refused, and cannot go on without.
    pub fn evict(&self) {
        if self.0.evict().is_some() {
            self.0.tell();
        }
    }

    /// `holder` is told of the eviction, also of one that has been.
    pub(crate) fn add_holder(&self, holder: Weak<dyn Holder>) {
        let mut inner = self.0.lock();
        if inner.holders.len() == inner.holders.capacity() {
            inner.holders.retain(|holder| holder.strong_count() > 0);
        }
        inner.holders.push(holder);
        drop(inner);
        if self.is_evicted() {
            self.0.tell();
        }
    }
}

impl Reservation {
    /// Bytes reserved.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The account it belongs to.
    pub fn account(&self) -> &MemoryAccount {
        &self.account
    }

    /// Makes it so many bytes. Others may be evicted for it.
    ///
    /// # Errors
    /// [`MemoryExhausted`]; it is as large as before. A smaller size is never refused.
    pub fn resize(&mut self, bytes: usize) -> Result<(), MemoryExhausted> {
        let account = &self.account.0;
        if bytes > self.bytes {
            account.grow(bytes - self.bytes)?;
        } else {
            account.shrink(self.bytes - bytes);
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.account.0.shrink(self.bytes);
    }
}

impl Account {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Milliseconds for which it has held something; at least a second, because whoever has just begun costs something,
    /// too.
    pub(super) fn age(&self, now: u64) -> u128 {
        let since = match self.held() {
            0 => now,
            _ => self.since.load(Ordering::Relaxed),
        };
        u128::from(now.saturating_sub(since).saturating_add(1_000))
    }

    fn grow(self: &Arc<Self>, bytes: usize) -> Result<(), MemoryExhausted> {
        let budget = &self.budget;
        let share_max = budget.share_max.load(Ordering::Relaxed);
        if self.evicted.load(Ordering::Acquire) || self.held().saturating_add(bytes) > share_max {
            return Err(budget.refuse());
        }
        budget.take(bytes, self)?;
        let mut inner = self.lock();
        if self.evicted.load(Ordering::Relaxed) {
            // In between.
            drop(inner);
            budget.used.fetch_sub(bytes, Ordering::Relaxed);
            return Err(budget.refuse());
        }
        if self.held.fetch_add(bytes, Ordering::Relaxed) == 0 {
            self.since.store(budget.now(), Ordering::Relaxed);
        }
        let known = std::mem::replace(&mut inner.registered, true);
        drop(inner);
        if !known {
            budget.register(self);
        }
        Ok(())
    }

    fn shrink(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let inner = self.lock();
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        let sum = if self.evicted.load(Ordering::Relaxed) {
            &self.budget.leaving
        } else {
            &self.budget.used
        };
        sum.fetch_sub(bytes, Ordering::Relaxed);
        drop(inner);
    }

    /// Its bytes count no more but as leaving; returns how much. `None`: it was evicted before.
    pub(super) fn evict(&self) -> Option<usize> {
        let inner = self.lock();
        let held = self.held();
        if self.evicted.swap(true, Ordering::Release) {
            return None;
        }
        self.budget.leaving.fetch_add(held, Ordering::Relaxed);
        self.budget.used.fetch_sub(held, Ordering::Relaxed);
        drop(inner);
        Some(held)
    }

    /// Tells the holders of the eviction.
    pub(super) fn tell(&self) {
        let holders = self.lock().holders.clone();
        for holder in holders.iter().filter_map(Weak::upgrade) {
            holder.evicted();
        }
    }
}
