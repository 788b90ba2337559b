//! Which logical sockets of a connection have something to do.
//!
//! In: wakes of single sockets, from any thread. Out: their numbers, each once, first come first served; and a wake of the
//! connection's task. So a connection with many sockets looks only at those that have work.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
};

use parking_lot::Mutex;

/// The sockets of one connection that have something to do.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    numbers: VecDeque<u32>,
    task: Option<Waker>,
}

/// Tells that one socket has something to do.
#[derive(Debug)]
pub(crate) struct ReadyWaker {
    ready: Arc<Ready>,
    number: u32,
    is_queued: AtomicBool,
}

impl Ready {
    /// The task that is woken.
    pub(crate) fn register(&self, cx: &Context<'_>) {
        let mut state = self.state.lock();
        match &state.task {
            Some(task) if task.will_wake(cx.waker()) => {}
            Some(_) | None => state.task = Some(cx.waker().clone()),
        }
    }

    /// The next one; its waker may ring again.
    pub(crate) fn next(&self) -> Option<u32> {
        let mut state = self.state.lock();
        state.numbers.pop_front()
    }

    /// Returns whether there is one.
    pub(crate) fn is_empty(&self) -> bool {
        let state = self.state.lock();
        state.numbers.is_empty()
    }
}

impl ReadyWaker {
    pub(crate) fn new(ready: &Arc<Ready>, number: u32) -> Arc<Self> {
        Arc::new(Self {
            ready: Arc::clone(ready),
            number,
            is_queued: AtomicBool::new(false),
        })
    }

    /// Before its socket is looked at: what happens from now on rings again.
    pub(crate) fn heard(&self) {
        self.is_queued.store(false, Ordering::SeqCst);
    }

    /// Puts its socket behind the others that have something to do.
    pub(crate) fn ring(&self) {
        if self.is_queued.swap(true, Ordering::SeqCst) {
            return;
        }
        let mut state = self.ready.state.lock();
        state.numbers.push_back(self.number);
        let task = state.task.clone();
        drop(state);
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl Wake for ReadyWaker {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_socket_stands_in_the_line_once_and_in_the_order_of_its_wake() {
        let ready = Arc::new(Ready::default());
        let (one, two) = (ReadyWaker::new(&ready, 1), ReadyWaker::new(&ready, 2));
        one.ring();
        two.ring();
        one.ring();
        assert_eq!(ready.next(), Some(1));
        one.heard();
        one.ring();
        assert_eq!(ready.next(), Some(2));
        assert_eq!(ready.next(), Some(1));
        assert_eq!(ready.next(), None);
        assert!(ready.is_empty());
    }
}
