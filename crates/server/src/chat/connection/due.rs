//! Deadlines of a connection, with one timer for all of them.

use std::task::{Context, Poll, ready};

use tidewire_dialect::{Dialect, Ending};
use tokio::time::{Instant, sleep_until};

use super::ChatConnection;

impl<D: Dialect> ChatConnection<D> {
    /// Does what is due; pending until the next deadline, ready when something was done.
    pub(super) fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(deadline) = self.next_deadline() else {
                return Poll::Pending;
            };
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if timer.deadline() > deadline {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(cx));
            self.timer = None;
            let now = Instant::now();
            if let Some(pacing) = &mut self.pacing
                && let Some(until) = pacing.paused_until
            {
                // Its pongs wait for us.
                self.confirmation.handle_received(now);
                if now >= until {
                    pacing.paused_until = None;
                    return Poll::Ready(());
                }
            }
            let due = self
                .confirmation
                .deadline()
                .is_some_and(|deadline| now >= deadline);
            if due {
                self.confirmation.handle_timeout(now);
                self.act();
                return Poll::Ready(());
            }
            if self.session.is_some() && self.expires.is_some_and(|expires| now >= expires) {
                self.end(&Ending::Expired);
                return Poll::Ready(());
            }
            if let Some(within) = self.inactive_timeout
                && self.session.is_some()
                && now >= self.last_message + within
            {
                let (limit, quiet) = (within.as_secs(), self.last_message.elapsed().as_secs());
                self.end(&Ending::Inactive { limit, quiet });
                return Poll::Ready(());
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.session.as_ref()?;
        let inactive = self
            .inactive_timeout
            .map(|within| self.last_message + within);
        self.confirmation
            .deadline()
            .into_iter()
            .chain(inactive)
            .chain(self.expires)
            .chain(self.pacing.as_ref().and_then(|it| it.paused_until))
            .min()
    }
}
