//! What a reload means for what is open: sessions of endpoints that are gone end, and the operator is told
//! what has changed.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{task::JoinSet, time::sleep};

use crate::{
    gateway::Gateway,
    listeners::Changed,
    pace::{self, Pace},
    record::Record,
    settings::{Endpoint, Settings},
    target::Target,
};

/// What a reload has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloaded {
    /// Listeners.
    pub listeners: Changed,
    /// Endpoints.
    pub endpoints: Changed,
    /// The routes are others.
    pub routes: bool,
    /// Keys that are others and take effect with the next start only.
    pub needs_restart: Vec<&'static str>,
}

impl Reloaded {
    pub(crate) fn new(before: &Settings, now: &Settings, listeners: Changed) -> Self {
        let restart = [
            ("workers", before.workers != now.workers),
            ("handover", before.handover != now.handover),
            ("watch", before.watch != now.watch),
            ("admin", before.admin != now.admin),
            ("log", before.log != now.log),
        ];
        Self {
            listeners,
            endpoints: endpoints(before, now),
            routes: before.routes != now.routes,
            needs_restart: restart
                .into_iter()
                .filter_map(|(key, is_other)| is_other.then_some(key))
                .collect(),
        }
    }
}

fn endpoints(before: &Settings, now: &Settings) -> Changed {
    let find = |settings: &Settings, name: &str| -> Option<Arc<Endpoint>> {
        let name = name.to_lowercase();
        let mut endpoints = settings.endpoints.iter();
        endpoints.find(|it| it.name.to_lowercase() == name).cloned()
    };
    let mut changed = Changed::default();
    for endpoint in &now.endpoints {
        match find(before, &endpoint.name) {
            None => changed.added += 1,
            Some(known) if known != *endpoint => changed.changed += 1,
            Some(_same) => {}
        }
    }
    let gone = before.endpoints.iter();
    changed.removed = gone.filter(|it| find(now, &it.name).is_none()).count();
    changed
}

/// On one line, for logs and the operator.
impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (what, changed) in [("listeners", self.listeners), ("endpoints", self.endpoints)] {
            for (count, how) in [
                (changed.added, "added"),
                (changed.removed, "removed"),
                (changed.changed, "changed"),
            ] {
                if count > 0 {
                    parts.push(format!("{count} {what} {how}"));
                }
            }
        }
        if self.routes {
            parts.push("routes changed".to_owned());
        }
        if !self.needs_restart.is_empty() {
            let keys = self.needs_restart.join(", ");
            parts.push(format!("a restart is needed for {keys}"));
        }
        if parts.is_empty() {
            return f.write_str("no listener, endpoint or route changed");
        }
        f.write_str(&parts.join(", "))
    }
}

/// Ends the sessions of endpoints that were removed. Dropping it leaves the rest alone.
#[derive(Debug, Default)]
pub(crate) struct Removals {
    tasks: JoinSet<()>,
    /// Those that may have sessions or a process yet.
    targets: Vec<Weak<Target>>,
}

impl Removals {
    /// Begins with these, all at one pace.
    pub(crate) fn begin(&mut self, gateway: &Arc<Gateway>, gone: &[Arc<Target>]) {
        while self.tasks.try_join_next().is_some() {}
        if gone.is_empty() {
            return;
        }
        self.targets.retain(|target| target.strong_count() > 0);
        self.targets.extend(gone.iter().map(Arc::downgrade));
        let work = end_sessions(Arc::clone(gateway), gone.to_vec());
        self.tasks.spawn_on(work, gateway.runtime());
    }

    /// Leaves the rest alone; gives what was removed.
    pub(crate) fn into_targets(self) -> Vec<Weak<Target>> {
        self.targets
    }
}

/// Ends all sessions of targets that are in the table no more, openings that are under way included, and
/// then their processes.
async fn end_sessions(gateway: Arc<Gateway>, gone: Vec<Arc<Target>>) {
    let per_second = gateway.table().settings.drain.per_second;
    let mut pace = Pace::new(per_second, None);
    loop {
        let table = gateway.table();
        // A name that is back belongs to others now.
        let names: Vec<_> = gone
            .iter()
            .map(|target| target.endpoint().name.clone())
            .filter(|name| table.by_name(name).is_none())
            .collect();
        let is_gone = |record: &Record| {
            let name = record.endpoint.as_deref();
            name.is_some_and(|name| names.iter().any(|gone| gone == name))
        };
        drop(table);
        pace::end(&gateway.sessions, &mut pace, REASON, is_gone).await;
        if names.is_empty() || gone.iter().all(|target| target.places.count() == 0) {
            for target in &gone {
                target.end_process();
            }
            return;
        }
        sleep(LOOK_AGAIN_AFTER).await;
    }
}

/// What the clients are told.
const REASON: &str = "the endpoint was removed";

/// How soon sessions are looked for that were being opened at the reload.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);
