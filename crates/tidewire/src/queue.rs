//! A bounded queue between threads and tasks: either end may wait asynchronously or block.
//!
//! In: items with their size. Out: the same items, in order. Invariants: at most `items_max`
//! items and `bytes_max` bytes wait, except that an empty queue takes one item of any size; a
//! closed queue takes nothing more and still gives what it holds.

use std::{collections::VecDeque, pin::pin};
#[cfg(feature = "blocking")]
use std::{
    sync::MutexGuard,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use crate::sync::{Condvar, Mutex};

/// How much may wait in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) items_max: usize,
    pub(crate) bytes_max: usize,
}

impl Bounds {
    /// Whether an item of `len` bytes fits behind what is there.
    pub(crate) fn admit(self, items: usize, bytes: usize, len: usize) -> bool {
        items == 0 || (items < self.items_max && bytes.saturating_add(len) <= self.bytes_max)
    }
}

/// Something that was not taken, given back.
#[derive(Debug)]
pub(crate) enum Refused<T> {
    Full(T),
    Closed(T),
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    closed: bool,
}

#[derive(Debug)]
pub(crate) struct Queue<T> {
    bounds: Bounds,
    state: Mutex<State<T>>,
    /// For threads.
    blocked: Condvar,
    /// For tasks.
    waiting: Notify,
}

impl<T> Queue<T> {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            state: Mutex::new(State {
                items: VecDeque::new(),
                bytes: 0,
                closed: false,
            }),
            blocked: Condvar::default(),
            waiting: Notify::new(),
        }
    }

    /// Takes an item of `len` bytes if there is room.
    pub(crate) fn try_push(&self, item: T, len: usize) -> Result<(), Refused<T>> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Refused::Closed(item));
        }
        if !self.bounds.admit(state.items.len(), state.bytes, len) {
            return Err(Refused::Full(item));
        }
        state.items.push_back((item, len));
        state.bytes += len;
        drop(state);
        self.changed();
        Ok(())
    }

    /// Waits for room; returns whether the queue was open. Cancel safe: an item whose push was
    /// dropped before it was ready is not queued.
    pub(crate) async fn push(&self, item: T, len: usize) -> bool {
        let mut item = item;
        loop {
            let mut changed = pin!(self.waiting.notified());
            changed.as_mut().enable(); // before the look, so that no change is missed
            match self.try_push(item, len) {
                Ok(()) => return true,
                Err(Refused::Closed(_)) => return false,
                Err(Refused::Full(back)) => item = back,
            }
            changed.await;
        }
    }

    /// Waits until an item of `len` bytes would fit or the queue is closed. Cancel safe.
    pub(crate) async fn room(&self, len: usize) {
        loop {
            let mut changed = pin!(self.waiting.notified());
            changed.as_mut().enable();
            {
                let state = self.state.lock();
                if state.closed || self.bounds.admit(state.items.len(), state.bytes, len) {
                    return;
                }
            }
            changed.await;
        }
    }

    /// The oldest item.
    pub(crate) fn try_pop(&self) -> Option<T> {
        let popped = Self::take(&mut self.state.lock());
        if popped.is_some() {
            self.changed();
        }
        popped
    }

    /// Waits for an item; `None` once the queue is closed and empty. Cancel safe.
    pub(crate) async fn pop(&self) -> Option<T> {
        loop {
            let mut changed = pin!(self.waiting.notified());
            changed.as_mut().enable();
            if let Some(item) = self.try_pop() {
                return Some(item);
            }
            if self.is_closed() {
                return self.try_pop(); // it may have come between the two looks
            }
            changed.await;
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Takes nothing more; what is held can still be had.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.changed();
    }

    fn take(state: &mut State<T>) -> Option<T> {
        let (item, len) = state.items.pop_front()?;
        state.bytes -= len;
        Some(item)
    }

    fn changed(&self) {
        self.blocked.notify_all();
        self.waiting.notify_waiters();
    }
}

/// For the styles that poll and block.
#[cfg(feature = "blocking")]
impl<T> Queue<T> {
    /// Waits for an item or the end, without taking it; false when nothing will come. Cancel
    /// safe.
    pub(crate) async fn filled(&self) -> bool {
        loop {
            let mut changed = pin!(self.waiting.notified());
            changed.as_mut().enable();
            {
                let state = self.state.lock();
                if !state.items.is_empty() {
                    return true;
                }
                if state.closed {
                    return false;
                }
            }
            changed.await;
        }
    }

    /// Blocks the thread until there is an item, the queue is closed, or `within` has passed
    /// (`None`: however long it takes).
    pub(crate) fn pop_blocking(&self, within: Option<Duration>) -> Option<T> {
        let mut state = self.block_until_filled(within);
        let popped = Self::take(&mut state);
        drop(state);
        if popped.is_some() {
            self.changed();
        }
        popped
    }

    /// Blocks the thread until there is an item; false when it is closed and empty, or after
    /// `within`.
    pub(crate) fn filled_blocking(&self, within: Option<Duration>) -> bool {
        !self.block_until_filled(within).items.is_empty()
    }

    fn block_until_filled(&self, within: Option<Duration>) -> MutexGuard<'_, State<T>> {
        let deadline = within.and_then(|within| Instant::now().checked_add(within));
        let mut state = self.state.lock();
        while state.items.is_empty() && !state.closed {
            let Some(deadline) = deadline else {
                state = self.blocked.wait(state);
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.blocked.wait_timeout(state, left);
        }
        state
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state.lock().items.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn queue(items_max: usize, bytes_max: usize) -> Queue<u32> {
        Queue::new(Bounds {
            items_max,
            bytes_max,
        })
    }

    #[test]
    fn a_queue_is_bounded_in_items_and_in_bytes() {
        let by_items = queue(2, 100);
        by_items.try_push(1, 1).unwrap();
        by_items.try_push(2, 1).unwrap();
        assert!(matches!(by_items.try_push(3, 1), Err(Refused::Full(3))));
        let by_bytes = queue(9, 100);
        by_bytes.try_push(1, 60).unwrap();
        assert!(matches!(by_bytes.try_push(2, 41), Err(Refused::Full(2))));
        by_bytes.try_push(3, 40).unwrap();
        assert_eq!(by_bytes.try_pop(), Some(1));
        by_bytes.try_push(4, 60).unwrap();
        assert_eq!((by_bytes.try_pop(), by_bytes.try_pop()), (Some(3), Some(4)));
        by_bytes
            .try_push(5, 1000)
            .expect("an empty queue takes anything");
    }

    #[tokio::test]
    async fn both_ends_wait_in_tasks_and_a_closed_queue_is_emptied() {
        let queue = Arc::new(queue(1, 100));
        let pushing = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move {
                for item in 0..1000 {
                    assert!(queue.push(item, 1).await);
                }
                queue.close();
                queue.push(1000, 1).await
            }
        });
        let mut popped = Vec::new();
        while let Some(item) = queue.pop().await {
            popped.push(item);
        }
        assert_eq!(popped, (0..1000).collect::<Vec<_>>());
        assert!(!pushing.await.unwrap(), "closed");
    }

    #[cfg(feature = "blocking")]
    #[test]
    fn a_thread_waits_for_an_item_for_a_time_and_for_the_end() {
        let queue = Arc::new(queue(1, 100));
        assert_eq!(queue.pop_blocking(Some(Duration::ZERO)), None);
        let other = Arc::clone(&queue);
        let popping =
            std::thread::spawn(move || (other.pop_blocking(None), other.pop_blocking(None)));
        queue.try_push(7, 1).unwrap();
        while !queue.is_empty() {
            std::thread::yield_now();
        }
        queue.close();
        assert_eq!(popping.join().unwrap(), (Some(7), None));
    }
}
