//! [`Roster`]: the members of a pool, picked and judged. Pure: the time is an argument.
//!
//! In: settings, picks, outcomes, results of checks. Out: who is picked, and whether something
//! became usable that was not. Invariants: nobody is picked who was tried, is full, ejected, switched
//! off or removed; nobody unhealthy is picked unless all are unhealthy.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    alarm::{Alarm, Notifications},
    balance,
    breaker::{Breaker, Change, Leave, Probe, Row, Trial},
    fault::{Evidence, Fault},
    hash::{self, ClientKey},
    health::Condition,
    member::{Member, Standing, UpstreamId, UpstreamSnapshot},
    no_upstream::{NoUpstream, Reason},
};
use crate::settings::{Balance, Ejection, Endpoint, Health, Upstream};

/// The members of a pool.
#[derive(Debug)]
pub(super) struct Roster {
    /// In the order of the settings.
    members: Vec<Member>,
    /// No longer in the settings, still leased.
    removed: Vec<Member>,
    next_id: u64,
    balance: Balance,
    zone: Option<String>,
    ejection: Option<Ejection>,
    health: Option<Health>,
    /// Picks that found nobody.
    refused: u64,
    /// The next probe may be due at another time than before.
    reschedule: bool,
}

/// A pool, for the admin page and the metrics.
#[derive(Clone, Debug)]
pub struct PoolSnapshot {
    /// In the order of the settings, behind them those removed and still connected.
    pub upstreams: Vec<UpstreamSnapshot>,
    /// Every upstream is unhealthy; health is left aside.
    pub panicking: bool,
    /// Picks that found nobody.
    pub refused: u64,
}

/// Who was picked.
#[derive(Debug)]
pub(super) struct Picked {
    pub(super) id: UpstreamId,
    pub(super) upstream: Arc<Upstream>,
    pub(super) trial: Option<Trial>,
    /// For [`Roster::watch`].
    pub(super) falls: u64,
}

/// Whether those who wait for an upstream should ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Availability {
    Unchanged,
    Improved,
}

impl Availability {
    fn improved_if(condition: bool) -> Self {
        if condition {
            Self::Improved
        } else {
            Self::Unchanged
        }
    }
}

impl Roster {
    pub(super) fn new(endpoint: &Endpoint) -> Self {
        let mut roster = Self {
            members: Vec::new(),
            removed: Vec::new(),
            next_id: 0,
            balance: Balance::default(),
            zone: None,
            ejection: None,
            health: None,
            refused: 0,
            reschedule: false,
        };
        roster.update(endpoint);
        roster
    }

    /// Takes new settings. Members whose address stays keep all that is known about them.
    pub(super) fn update(&mut self, endpoint: &Endpoint) {
        self.balance = endpoint.balance.clone();
        self.zone.clone_from(&endpoint.zone);
        self.ejection.clone_from(&endpoint.ejection);
        self.health.clone_from(&endpoint.health);
        let mut known = std::mem::take(&mut self.members);
        known.append(&mut self.removed);
        for upstream in &endpoint.upstreams {
            let same = known
                .iter()
                .position(|member| member.upstream.url == upstream.url);
            let mut member = if let Some(index) = same {
                known.remove(index)
            } else {
                self.next_id += 1;
                Member::new(UpstreamId(self.next_id), upstream)
            };
            member.upstream = Arc::new(upstream.clone());
            member.turn = 0; // credits are worth something only among the same weights
            if self.health.is_none() {
                member.condition = Condition::default();
            }
            if self.ejection.is_none() {
                member.breaker = Breaker::default();
            }
            self.members.push(member);
        }
        known.retain(|member| member.active > 0);
        self.removed = known;
    }

    /// Picks a member for a new connection and counts it.
    pub(super) fn pick(
        &mut self,
        now: Instant,
        client: &ClientKey<'_>,
        tried: &[UpstreamId],
    ) -> Result<Picked, NoUpstream> {
        let panic = self.is_panicking();
        let zone = self.zone.as_deref();
        let near = |member: &Member| zone.is_some() && member.upstream.zone.as_deref() == zone;
        let mut candidates: Vec<&mut Member> = self
            .members
            .iter_mut()
            .filter(|member| !tried.contains(&member.id))
            .filter(|member| member.standing(now, panic) == Standing::Usable)
            .collect();
        if candidates.iter().any(|member| near(member)) {
            candidates.retain(|member| near(member));
        }
        let picked = match &self.balance {
            Balance::RoundRobin => balance::by_turns(candidates),
            Balance::LeastConnections => balance::least_connections(candidates),
            Balance::Hash(key) => match hash::key(key, client) {
                Some(bytes) => balance::by_key(candidates, &bytes),
                None => balance::by_turns(candidates),
            },
        };
        let Some(member) = picked else {
            self.refused += 1;
            return Err(self.nobody(now, tried));
        };
        member.active += 1;
        member.totals.picked += 1;
        Ok(Picked {
            id: member.id,
            upstream: Arc::clone(&member.upstream),
            trial: member.breaker.enter(),
            falls: member.alarms.falls(),
        })
    }

    /// An opening succeeded. Gives what was held against the upstream before.
    pub(super) fn succeeded(
        &mut self,
        now: Instant,
        id: UpstreamId,
        trial: Option<Trial>,
    ) -> (Row, Availability) {
        let Some(member) = self.find(id) else {
            return (Row::default(), Availability::Unchanged);
        };
        member.totals.opened += 1;
        let (row, change) = member.breaker.succeeded(now, trial);
        (row, Availability::improved_if(change == Change::Closed))
    }

    /// An opening failed.
    pub(super) fn failed(
        &mut self,
        now: Instant,
        id: UpstreamId,
        trial: Option<Trial>,
        fault: Fault,
    ) -> Availability {
        let leave = self.leave(now, id);
        let ejection = self.ejection.clone();
        let Some(member) = self.find(id) else {
            return Availability::Unchanged;
        };
        member.totals.failed += 1;
        let Some(settings) = ejection else {
            return Availability::Unchanged;
        };
        let change = member.breaker.failed(now, trial, fault, &settings, leave);
        // Who waits for the outcome of the trial now learns when the next one is.
        let heard = trial.is_some() && change != Change::Nothing;
        self.changed(id, change);
        Availability::improved_if(heard)
    }

    /// A connection broke; `early` tells what was held against the upstream before its opening, if it lasted only
    /// shortly.
    pub(super) fn lost(&mut self, now: Instant, id: UpstreamId, early: Option<Row>) {
        let leave = self.leave(now, id);
        let ejection = self.ejection.clone();
        let Some(member) = self.find(id) else { return };
        member.totals.lost += 1;
        if let (Some(settings), Some(row)) = (ejection, early) {
            let change = member.breaker.lost_early(now, row, &settings, leave);
            self.changed(id, change);
        }
    }

    /// A breaker has changed.
    fn changed(&mut self, id: UpstreamId, change: Change) {
        self.reschedule |= change != Change::Nothing;
        if let Some(member) = self.find(id) {
            member.totals.ejected += u64::from(change == Change::Ejected);
        }
    }

    /// When the next probe is due.
    pub(super) fn next_probe(&self) -> Option<Instant> {
        let due = self.members.iter().map(|member| member.breaker.probe_due());
        due.flatten().min()
    }

    /// Returns whether [`next_probe`](Self::next_probe) may have changed since this was asked last.
    pub(super) fn take_reschedule(&mut self) -> bool {
        std::mem::take(&mut self.reschedule)
    }

    /// Begins the probes that are due.
    pub(super) fn begin_probes(
        &mut self,
        now: Instant,
    ) -> (Vec<(UpstreamId, Probe)>, Availability) {
        let mut begun = Vec::new();
        let mut news = Availability::Unchanged;
        for member in &mut self.members {
            let was_open = member.breaker.ejected_until().is_some();
            if let Some(probe) = member.breaker.begin_probe(now) {
                begun.push((member.id, probe));
                if was_open {
                    news = Availability::Improved; // a trial may begin
                }
            }
        }
        (begun, news)
    }

    /// A probe has ended.
    pub(super) fn probed(
        &mut self,
        now: Instant,
        id: UpstreamId,
        probe: Probe,
        evidence: Evidence,
    ) -> Availability {
        let leave = self.leave(now, id);
        let ejection = self.ejection.clone();
        let (Some(settings), Some(member)) = (ejection, self.find(id)) else {
            return Availability::Unchanged;
        };
        let change = member
            .breaker
            .probed(now, probe, evidence, &settings, leave);
        self.changed(id, change);
        self.reschedule = true;
        Availability::improved_if(change != Change::Nothing)
    }

    /// A connection that was picked after so many falls of its upstream wants to know of the next one.
    pub(super) fn watch(&mut self, id: UpstreamId, falls: u64) -> Alarm {
        self.find(id)
            .map(|member| member.alarms.ask(falls))
            .unwrap_or_default()
    }

    /// A connection is gone. `trial`: its opening was one and ended without outcome.
    pub(super) fn released(
        &mut self,
        id: UpstreamId,
        trial: Option<Trial>,
        alarm: &Alarm,
    ) -> Availability {
        let Some(member) = self.find(id) else {
            return Availability::Unchanged;
        };
        member.alarms.forget(alarm);
        let was_full = member.is_full();
        member.active -= 1;
        let change = member.breaker.give_up(trial);
        let news = Availability::improved_if(was_full || change == Change::TrialFree);
        self.removed.retain(|member| member.active > 0);
        news
    }

    /// An active check ended. Gives whose upstream is unhealthy from now on.
    pub(super) fn checked(
        &mut self,
        now: Instant,
        id: UpstreamId,
        result: Result<(), String>,
    ) -> (Notifications, Availability) {
        let nothing = (Notifications::default(), Availability::Unchanged);
        let Some(settings) = self.health.clone() else {
            return nothing; // it began under older settings
        };
        let Some(member) = self.members.iter_mut().find(|member| member.id == id) else {
            return nothing;
        };
        if result.is_err() {
            member.totals.checks_failed += 1;
        }
        let learnt = member.condition.checked(now, result, &settings);
        let back = learnt.recovered && member.breaker.end_ejection(now) == Change::TrialFree;
        // Turning unhealthy is news too: if it was the last, health is left aside from now on.
        let told = if learnt.changed && member.condition.is_unhealthy() {
            member.alarms.fell()
        } else {
            Notifications::default()
        };
        self.reschedule |= back;
        (told, Availability::improved_if(learnt.changed || back))
    }

    /// Something outside knows that the upstreams are back: ejections end, each with a trial.
    pub(super) fn came_back(&mut self, now: Instant) -> Availability {
        let mut news = Availability::Unchanged;
        for member in &mut self.members {
            if member.breaker.end_ejection(now) == Change::TrialFree {
                news = Availability::Improved;
                self.reschedule = true;
            }
        }
        news
    }

    pub(super) fn snapshot(&self) -> PoolSnapshot {
        let present = self.members.iter().map(|member| member.snapshot(false));
        let removed = self.removed.iter().map(|member| member.snapshot(true));
        PoolSnapshot {
            upstreams: present.chain(removed).collect(),
            panicking: self.is_panicking(),
            refused: self.refused,
        }
    }

    /// The operator switches a member on or off. `None`: there is no such member.
    pub(super) fn enable(&mut self, id: UpstreamId, enabled: bool) -> Option<Availability> {
        let member = self.members.iter_mut().find(|member| member.id == id)?;
        let changed = member.disabled == enabled;
        member.disabled = !enabled;
        // Switching off is news too: if the others are unhealthy, health is left aside from now on.
        Some(Availability::improved_if(changed))
    }

    /// Returns whether health is left aside: when every member in use is unhealthy, the checks are more
    /// likely to be wrong than useful, and there is nobody better to ask.
    fn is_panicking(&self) -> bool {
        let mut in_use = self.members.iter().filter(|member| !member.disabled);
        in_use.all(|member| member.condition.is_unhealthy())
    }

    /// Returns whether the member is present and its checks failed often enough.
    pub(super) fn is_unhealthy(&self, id: UpstreamId) -> bool {
        self.members
            .iter()
            .any(|member| member.id == id && member.condition.is_unhealthy())
    }

    /// The members in the settings.
    pub(super) fn targets(&self) -> Vec<(UpstreamId, Arc<Upstream>)> {
        let members = self.members.iter();
        members
            .map(|member| (member.id, Arc::clone(&member.upstream)))
            .collect()
    }

    /// How long from the beginning of a member's last check to that of the next.
    pub(super) fn next_check_after(&self, id: UpstreamId, random: u32) -> Option<Duration> {
        let settings = self.health.as_ref()?;
        let member = self.members.iter().find(|member| member.id == id)?;
        Some(member.condition.next_check_after(settings, random))
    }

    /// Returns whether `id` may be ejected, should that be due.
    fn leave(&self, now: Instant, id: UpstreamId) -> Leave {
        let panic = self.is_panicking();
        let mut others = self.members.iter().filter(|member| member.id != id);
        Leave {
            may_eject: self.may_eject(id),
            has_sibling: others.any(|member| member.standing(now, panic) == Standing::Usable),
        }
    }

    /// Returns whether one more may be ejected besides those that are, should `id` fail too often.
    fn may_eject(&self, id: UpstreamId) -> bool {
        let percent = self
            .ejection
            .as_ref()
            .map_or(0, |settings| settings.percent_max) as usize;
        let most = (self.members.len() * percent / 100).max(1);
        let ejected = self
            .members
            .iter()
            .filter(|member| member.id != id && member.breaker.is_ejected())
            .count();
        ejected < most
    }

    fn find(&mut self, id: UpstreamId) -> Option<&mut Member> {
        self.members
            .iter_mut()
            .chain(&mut self.removed)
            .find(|member| member.id == id)
    }

    /// Why nobody could be picked: what is easiest to change first.
    fn nobody(&self, now: Instant, tried: &[UpstreamId]) -> NoUpstream {
        let panic = self.is_panicking();
        let untried = || {
            self.members
                .iter()
                .filter(|member| !tried.contains(&member.id))
        };
        let some = |standing| untried().any(|member| member.standing(now, panic) == standing);
        let reason = if some(Standing::Full) {
            Reason::Full
        } else if some(Standing::Ejected) {
            Reason::Ejected
        } else if some(Standing::Unhealthy) {
            Reason::Unhealthy
        } else if some(Standing::Disabled) {
            Reason::Disabled
        } else {
            Reason::Tried
        };
        let waiting = untried()
            .filter(|member| !member.disabled)
            .filter(|member| panic || !member.condition.is_unhealthy());
        NoUpstream {
            reason,
            retry_at: waiting
                .filter_map(|member| member.breaker.ejected_until())
                .filter(|until| *until > now)
                .min(),
        }
    }
}
