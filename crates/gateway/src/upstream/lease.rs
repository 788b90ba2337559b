//! [`Lease`]: the right to one connection to a picked upstream.
//!
//! In: what becomes of the connection. Invariant: it counts as active from the pick until the
//! lease is dropped, whatever happens to the task that holds it.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::{
    alarm::Alarm,
    breaker::{Row, Trial},
    fault::{Evidence, Fault},
    member::UpstreamId,
    roster::{Availability, Picked},
    shared::Shared,
};
use crate::settings::Upstream;

/// The right to one connection to an upstream. Report what becomes of it; drop it when the
/// connection is over. Dropped without any report it says nothing about the upstream (the client
/// went away first).
pub struct Lease {
    shared: Arc<Shared>,
    id: UpstreamId,
    upstream: Arc<Upstream>,
    stage: Stage,
    /// Falls of the upstream before the pick.
    falls: u64,
    alarm: Alarm,
}

enum Stage {
    Opening { trial: Option<Trial> },
    Open { since: Instant, before: Row },
    Reported,
}

/// A connection that broke before it was this old casts a doubt on its upstream: who accepts and then falls
/// over is as bad as who does not accept.
pub const EARLY: Duration = Duration::from_secs(1);

impl Lease {
    pub(super) fn new(shared: Arc<Shared>, picked: Picked) -> Self {
        Self {
            shared,
            id: picked.id,
            upstream: picked.upstream,
            stage: Stage::Opening {
                trial: picked.trial,
            },
            falls: picked.falls,
            alarm: Alarm::default(),
        }
    }

    /// The opening succeeded. Later calls do nothing.
    pub fn succeeded(&mut self, now: Instant) {
        let Stage::Opening { trial } = self.stage else {
            return;
        };
        let before = self
            .shared
            .tell(|roster| roster.succeeded(now, self.id, trial));
        self.stage = Stage::Open { since: now, before };
    }

    /// The opening did not succeed, with what that says about the upstream. Any status in HTTP is an
    /// [answer](Evidence::Answered), a refusal of the client as well as one of a server with troubles of its own.
    pub fn ended(mut self, now: Instant, evidence: Evidence) {
        match evidence {
            Evidence::Answered => self.succeeded(now),
            Evidence::Fault(fault) => self.failed(now, fault),
            Evidence::Nothing => {} // as if the client had gone
        }
    }

    /// The opening failed.
    pub fn failed(mut self, now: Instant, fault: Fault) {
        let id = self.id;
        if let Stage::Opening { trial } = self.stage {
            self.stage = Stage::Reported;
            self.shared
                .tell(|roster| ((), roster.failed(now, id, trial, fault)));
        }
    }

    /// The established connection broke: reset, silent, or ended without a closing handshake, and not by the
    /// client. Within [`EARLY`] after its opening that casts a doubt on the upstream, later it is nothing but a
    /// number.
    pub fn lost(mut self, now: Instant) {
        let id = self.id;
        if let Stage::Open { since, before } = self.stage {
            self.stage = Stage::Reported;
            self.shared.tell(|roster| {
                let early = now.saturating_duration_since(since) < EARLY;
                roster.lost(now, id, early.then_some(before));
                ((), Availability::Unchanged)
            });
        }
    }

    /// Returns whether the opening succeeded.
    #[cfg(test)]
    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open { .. })
    }

    /// Its name, for `tried` of the next [`pick`](super::Pool::pick).
    pub fn id(&self) -> UpstreamId {
        self.id
    }

    /// The settings it was picked with.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// From now on [`poll_unhealthy`](Self::poll_unhealthy) tells.
    pub fn watch(&mut self) {
        let (id, falls) = (self.id, self.falls);
        let alarm = self
            .shared
            .tell(|roster| (roster.watch(id, falls), Availability::Unchanged));
        self.alarm = alarm;
    }

    /// Ready when the active checks have found the upstream unhealthy since the pick, whatever they have found
    /// after that; pending for ever unless [watched](Self::watch). An upstream that was picked although it was
    /// unhealthy has to become healthy before this says so again. One waiter at a time.
    pub fn poll_unhealthy(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.alarm.poll(cx)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let trial = match self.stage {
            Stage::Opening { trial } => trial,
            Stage::Open { .. } | Stage::Reported => None,
        };
        let id = self.id;
        let alarm = &self.alarm;
        self.shared
            .tell(|roster| ((), roster.released(id, trial, alarm)));
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("id", &self.id)
            .field("host", &self.upstream.url.host())
            .field("port", &self.upstream.url.port())
            .finish_non_exhaustive()
    }
}
