//! A backend session while its backend is lost: attempts with back-off, until one succeeds or time is up.
//!
//! The client's messages wait in the upward queue meanwhile; whoever fills it has an answer to "full".

use std::{future::poll_fn, pin::pin, sync::Arc, time::Duration};

use tidewire::ws::{CloseCode, CloseFrame};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{BAD_GATEWAY, Backend, BackendSession, Return};
use crate::{
    ambient::random,
    backend::{
        queue::{Down, Piece, Up},
        reach,
    },
    routing::target::add,
    settings::Resume,
    upstream::EARLY,
};

impl BackendSession {
    /// Looks for the backend until it is found; the error is what the client is closed with. Nobody is looked for for a
    /// client that has gone and has left nothing to be delivered, or had to make room for others.
    pub(super) async fn search(&mut self) -> Result<Backend, CloseFrame> {
        let Some(resume) = self.resume.clone() else {
            return Err(CloseFrame::new(BAD_GATEWAY, "the backend is gone"));
        };
        self.pings.forget();
        self.put_back();
        let deadline = self.deadline(&resume);
        let mut wait = self.first_wait(&resume);
        let mut changed = self.target.pool.usable_changed();
        let (record, up, account) = (
            Arc::clone(&self.record),
            Arc::clone(&self.up),
            self.account.clone(),
        );
        let mut evicted = pin!(account.evicted());
        loop {
            let pause = jittered(wait).min(deadline.saturating_duration_since(Instant::now()));
            let milliseconds = u32::try_from(pause.as_millis()).unwrap_or(u32::MAX);
            self.down.push(Down::Lost(milliseconds));
            let until = Instant::now() + pause;
            let attempt = async {
                tokio::select! {
                    () = sleep_until(until) => {}
                    // An upstream has become usable: no need to wait any longer.
                    _ = changed.changed() => {}
                }
                let socket = reach::socket(&self.target, &self.ask, &self.config);
                timeout_at(deadline, socket).await
            };
            let reached = tokio::select! {
                reached = attempt => reached,
                frame = record.asked_to_end() => return Err(frame),
                () = poll_fn(|cx| up.poll_over(cx)) => {
                    return Err(CloseFrame::new(CloseCode::GOING_AWAY, "the client has gone"));
                }
                () = &mut evicted => {
                    up.abandon();
                    let why = "the memory for connections is used up";
                    return Err(CloseFrame::new(CloseCode::TRY_AGAIN_LATER, why));
                }
            };
            if let Ok(Ok(reached)) = reached {
                self.last_return = Some(Return {
                    wait,
                    at: Instant::now(),
                    deadline,
                });
                self.has_spoken = false;
                add(&self.target.counters.resumed, 1);
                self.down.push(Down::Back);
                return Ok(self.backend(reached));
            }
            if Instant::now() >= deadline {
                self.target.tell_loss("a backend did not come back in time");
                let why = "the backend did not come back in time";
                return Err(CloseFrame::new(BAD_GATEWAY, why));
            }
            wait = next(wait, &resume);
        }
    }

    /// What the backend may not have got goes in front of what it was not sent, and of the beginning of a
    /// message in particular, which is put together anew.
    fn put_back(&mut self) {
        if !self.partial.is_empty() {
            self.up.put_back(Up::Piece(Piece {
                kind: self.partial_kind,
                data: self.partial.split().freeze(),
                last: false,
            }));
        }
        for piece in self.ledger.take().into_iter().rev() {
            self.up.put_back(Up::Piece(piece));
        }
    }

    /// A backend that lives on after its return is looked for at once when it is lost again. One that comes
    /// only to go is looked for less and less often.
    fn first_wait(&self, resume: &Resume) -> Duration {
        match self.last_return {
            Some(last) if last.at.elapsed() < last.wait => next(last.wait, resume),
            Some(_) | None => resume.backoff_min,
        }
    }

    /// Until when the backend must be back. One that comes only to go, without a word, has not come back.
    fn deadline(&self, resume: &Resume) -> Instant {
        match self.last_return {
            Some(last) if last.at.elapsed() < EARLY && !self.has_spoken => last.deadline,
            Some(_) | None => Instant::now() + resume.timeout,
        }
    }
}

/// Twice as long, up to the longest.
fn next(wait: Duration, resume: &Resume) -> Duration {
    wait.saturating_mul(2).min(resume.backoff_max)
}

/// Between half and all of it, so that many backend sessions do not come at once.
fn jittered(wait: Duration) -> Duration {
    let random = random() >> 24;
    wait / 2 + wait / 2 * random / 255
}
