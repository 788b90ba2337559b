//! [`Pool`]: the upstreams of an endpoint, shared by all who open connections to it.
//!
//! In: picks, reports of leases and checks, reloads. Out: leases, and word to those who wait.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::{
    breaker::Probe,
    check::Plan,
    fault::Evidence,
    hash::ClientKey,
    lease::Lease,
    member::UpstreamId,
    no_upstream::NoUpstream,
    roster::{Availability, PoolSnapshot, Roster},
    shared::Shared,
};
use crate::settings::Endpoint;

/// The upstreams of one endpoint. Clones share everything.
#[derive(Clone)]
pub struct Pool {
    pub(super) shared: Arc<Shared>,
}

impl Pool {
    /// The upstreams of `endpoint`, all taken for usable until something else is known.
    pub fn new(endpoint: &Endpoint) -> Self {
        let roster = Roster::new(endpoint);
        let plan = Plan::new(endpoint, roster.targets());
        Self {
            shared: Arc::new(Shared {
                roster: Mutex::new(roster),
                usable: watch::Sender::new(0),
                plan: watch::Sender::new(Arc::new(plan)),
                reschedule: Notify::new(),
            }),
        }
    }

    /// Picks an upstream for a new connection; `tried` are those that failed for this client
    /// already. Costs a look at each upstream.
    ///
    /// # Errors
    /// [`NoUpstream`]: wait for [`usable_changed`](Self::usable_changed) (subscribed before the
    /// pick, so that nothing is missed) or until its `retry_at`.
    pub fn pick(
        &self,
        now: Instant,
        client: &ClientKey<'_>,
        tried: &[UpstreamId],
    ) -> Result<Lease, NoUpstream> {
        let picked = self.shared.lock().pick(now, client, tried)?;
        Ok(Lease::new(Arc::clone(&self.shared), picked))
    }

    /// Takes new settings after a reload. Upstreams with the same address keep their counters, health,
    /// ejection and connections; new ones start as usable; removed ones are never picked again and
    /// go with their last connection.
    pub fn update(&self, endpoint: &Endpoint) {
        let targets = self.shared.tell(|roster| {
            roster.update(endpoint);
            (roster.targets(), Availability::Improved)
        });
        let plan = Plan::new(endpoint, targets);
        self.shared.plan.send_replace(Arc::new(plan));
    }

    /// An active check of an upstream ended, with the reason if it failed.
    pub fn checked(&self, now: Instant, id: UpstreamId, result: Result<(), String>) {
        let told = self.shared.tell(|roster| roster.checked(now, id, result));
        // Last: who leaves now waits for news from now on, and is not woken by what made it leave.
        told.send();
    }

    /// The endpoint's process is ready again: nobody waits for ejections to end, each ejected
    /// upstream gets a trial at once.
    pub fn came_back(&self, now: Instant) {
        self.shared.tell(|roster| ((), roster.came_back(now)));
    }

    /// When the breaker of an upstream is to be told next whether it answers; `None`: nobody asks.
    pub(super) fn next_probe(&self) -> Option<Instant> {
        self.shared.look(Roster::next_probe)
    }

    /// Waits until [`next_probe`](Self::next_probe) may have changed. One waiter at a time.
    pub(super) async fn rescheduled(&self) {
        self.shared.reschedule.notified().await;
    }

    /// Begins the probes that are due; each is to be ended by [`probed`](Self::probed).
    pub(super) fn begin_probes(&self, now: Instant) -> Vec<(UpstreamId, Probe)> {
        self.shared.tell(|roster| roster.begin_probes(now))
    }

    /// A probe has ended, with what it says about the upstream.
    pub(super) fn probed(&self, now: Instant, id: UpstreamId, probe: Probe, evidence: Evidence) {
        self.shared
            .tell(|roster| ((), roster.probed(now, id, probe, evidence)));
    }

    /// The operator switches an upstream on or off: what is off gets no new connection, not even a last
    /// resort; its connections stay, its checks go on. Lasts until it is switched on or leaves the
    /// settings. Returns whether there is such an upstream.
    pub fn enable(&self, id: UpstreamId, enabled: bool) -> bool {
        self.shared.tell(|roster| {
            let news = roster.enable(id, enabled);
            (news.is_some(), news.unwrap_or(Availability::Unchanged))
        })
    }

    /// Changes when those whose pick found nobody should ask again: an upstream became healthy, a trial
    /// ended, there is room again, a reload came, or health is left aside from now on. The end of an
    /// ejection is no change; see [`NoUpstream::retry_at`].
    pub fn usable_changed(&self) -> watch::Receiver<u64> {
        self.shared.usable.subscribe()
    }

    /// Returns what is checked, now and after reloads.
    pub(super) fn plans(&self) -> watch::Receiver<Arc<Plan>> {
        self.shared.plan.subscribe()
    }

    /// Returns what is checked now.
    pub(super) fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.shared.plan.borrow())
    }

    /// How long from the beginning of an upstream's last check to that of the next; `None`: it is
    /// not to be checked.
    pub(super) fn next_check_after(&self, id: UpstreamId, random: u32) -> Option<Duration> {
        self.shared
            .look(|roster| roster.next_check_after(id, random))
    }

    /// Returns whether an upstream's checks failed often enough.
    pub(super) fn is_unhealthy(&self, id: UpstreamId) -> bool {
        self.shared.look(|roster| roster.is_unhealthy(id))
    }

    /// How everything stands.
    pub fn snapshot(&self) -> PoolSnapshot {
        self.shared.look(Roster::snapshot)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pool").field(&self.snapshot()).finish()
    }
}
