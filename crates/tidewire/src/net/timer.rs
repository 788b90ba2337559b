//! One lazy timer for all deadlines of a connection.
//!
//! In: the earliest deadline, whenever the task is about to wait. Out: whether it has passed.
//! Deadlines mostly move later (with every read), so a timer that is set runs on and is set anew
//! only when it fires early or a deadline moves ahead of it. While its time has not come, it is
//! not even looked at.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// A deadline from now on; one past the end of time never comes.
pub(crate) fn after(wait: Duration) -> Instant {
    const FAR: Duration = Duration::from_hours(8760);
    let now = Instant::now();
    now.checked_add(wait).unwrap_or_else(|| now + FAR)
}

#[derive(Debug, Default)]
pub(crate) struct Timer(Option<Set>);

#[derive(Debug)]
struct Set {
    sleep: Pin<Box<Sleep>>,
    at: Instant,
    /// It wakes the task that waits now, as far as is known.
    knows_task: bool,
}

impl Timer {
    /// Ready once `deadline` has passed, or a time it had been set to before; then it is unset.
    /// `now`: a time within the current poll of the task, if known; were the timer due before, it
    /// would have woken another poll.
    #[inline]
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        deadline: Instant,
        now: Option<Instant>,
    ) -> Poll<()> {
        if let Some(set) = &self.0
            && set.knows_task
            && set.at <= deadline
            && now.is_some_and(|now| now < set.at)
        {
            return Poll::Pending;
        }
        self.poll_set(cx, deadline)
    }

    fn poll_set(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let set = self.0.get_or_insert_with(|| Set {
            sleep: Box::pin(sleep_until(deadline)),
            at: deadline,
            knows_task: true,
        });
        if set.at > deadline {
            set.sleep.as_mut().reset(deadline);
            set.at = deadline;
        }
        set.knows_task = true;
        ready!(set.sleep.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(())
    }

    /// Another task waits from now on.
    pub(crate) fn forget_task(&mut self) {
        if let Some(set) = &mut self.0 {
            set.knows_task = false;
        }
    }

    /// Forgets what it was set to.
    pub(crate) fn unset(&mut self) {
        self.0 = None;
    }
}
