//! Tasks whose end is waited for, or brought about.
//!
//! Invariant: a task counts until its future has been dropped.

use std::{
    collections::HashMap,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{runtime::Handle, sync::watch, task::AbortHandle};

use crate::sync::Mutex;

/// Counts tasks, so that their end can be waited for, and brings it about.
#[derive(Clone, Debug)]
pub(crate) struct Tasks(Arc<Known>);

#[derive(Debug)]
struct Known {
    count: watch::Sender<usize>,
    /// `None` when their runtime ends with the server, and they with it.
    abortable: Option<Mutex<Abortable>>,
}

#[derive(Debug, Default)]
struct Abortable {
    next: u64,
    /// `None` until the task is known.
    tasks: HashMap<u64, Option<AbortHandle>>,
    aborted: bool,
}

impl Tasks {
    /// For tasks of a runtime that goes on after them, or (`own_runtime`) ends with them.
    pub(crate) fn new(own_runtime: bool) -> Self {
        Self(Arc::new(Known {
            count: watch::Sender::new(0),
            abortable: (!own_runtime).then(Mutex::default),
        }))
    }

    /// Runs `task` on the current runtime and counts it.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub(crate) fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Unpin + Send + 'static,
    {
        self.spawn_on(&Handle::current(), task);
    }

    /// As [`spawn`](Self::spawn), on this runtime.
    pub(crate) fn spawn_on<F>(&self, runtime: &Handle, task: F)
    where
        F: Future<Output = ()> + Unpin + Send + 'static,
    {
        let count = self.count();
        let number = count.number;
        let task = runtime.spawn(Counted {
            task,
            _count: count,
        });
        let Some(abortable) = &self.0.abortable else {
            return;
        };
        // Unlocked meanwhile: a runtime that is shutting down drops the task at once.
        let mut state = abortable.lock();
        if state.aborted {
            task.abort();
        } else if let Some(place) = state.tasks.get_mut(&number) {
            *place = Some(task.abort_handle());
        }
    }

    /// Waits until no task is left.
    pub(crate) async fn ended(&self) {
        let mut receiver = self.0.count.subscribe();
        receiver.wait_for(|count| *count == 0).await.ok();
    }

    /// Ends all tasks, also those to come, where their runtime does not.
    pub(crate) fn abort(&self) {
        let Some(abortable) = &self.0.abortable else {
            return;
        };
        let tasks = {
            let mut state = abortable.lock();
            state.aborted = true;
            mem::take(&mut state.tasks)
        };
        tasks.into_values().flatten().for_each(|task| task.abort());
    }

    fn count(&self) -> Count {
        self.0.count.send_modify(|count| *count += 1);
        let mut number = 0;
        if let Some(abortable) = &self.0.abortable {
            let mut state = abortable.lock();
            number = state.next;
            state.next += 1;
            state.tasks.insert(number, None);
        }
        Count {
            tasks: self.clone(),
            number,
        }
    }
}

#[derive(Debug)]
struct Count {
    tasks: Tasks,
    number: u64,
}

impl Drop for Count {
    fn drop(&mut self) {
        if let Some(abortable) = &self.tasks.0.abortable {
            let handle = abortable.lock().tasks.remove(&self.number);
            drop(handle); // outside of the lock
        }
        self.tasks.0.count.send_if_modified(|count| {
            *count -= 1;
            *count == 0
        });
    }
}

/// A task and its count, dropped in this order.
struct Counted<F> {
    task: F,
    _count: Count,
}

impl<F: Future<Output = ()> + Unpin> Future for Counted<F> {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.task).poll(cx)
    }
}
