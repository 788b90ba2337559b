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
    record::{
        Record,
        pace::{self, Pace},
    },
    routing::target::Target,
    settings::{Endpoint, Route, Settings},
};

/// Which of a kind a reload has changed: names of endpoints, addresses of listeners, places of routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// They are there now.
    pub added: Vec<String>,
    /// They are gone.
    pub removed: Vec<String>,
    /// They are other than before.
    pub changed: Vec<String>,
}

/// What a reload has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloaded {
    /// Listeners.
    pub listeners: Changed,
    /// Endpoints.
    pub endpoints: Changed,
    /// Routes.
    pub routes: Changed,
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
            routes: routes(&before.routes, &now.routes),
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
            None => changed.added.push(endpoint.name.clone()),
            Some(known) if known != *endpoint => changed.changed.push(endpoint.name.clone()),
            Some(_same) => {}
        }
    }
    let gone = before.endpoints.iter();
    let gone = gone.filter(|it| find(now, &it.name).is_none());
    changed.removed.extend(gone.map(|it| it.name.clone()));
    changed
}

/// Routes have no names: they are called by their place in the list and their endpoint.
fn routes(before: &[Route], now: &[Route]) -> Changed {
    let call = |(index, route): (usize, &Route)| format!("[{index}] to {}", route.endpoint);
    let mut old: Vec<(usize, &Route)> = before.iter().enumerate().collect();
    let mut new = Vec::new();
    for (index, route) in now.iter().enumerate() {
        match old.iter().position(|(_, known)| *known == route) {
            Some(same) => drop(old.remove(same)),
            None => new.push((index, route)),
        }
    }
    let mut changed = Changed::default();
    if old.is_empty() && new.is_empty() && before != now {
        changed.changed.push("their order".to_owned());
    }
    for (index, route) in new {
        let is_it = |(at, known): &(usize, &Route)| {
            *at == index
                || (known.endpoint == route.endpoint && known.conditions == route.conditions)
        };
        if let Some(other) = old.iter().position(is_it) {
            old.remove(other);
            changed.changed.push(call((index, route)));
        } else {
            changed.added.push(call((index, route)));
        }
    }
    changed.removed.extend(old.into_iter().map(call));
    changed
}

/// On one line, for logs and the operator.
impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (what, changed) in [
            ("listeners", &self.listeners),
            ("endpoints", &self.endpoints),
            ("routes", &self.routes),
        ] {
            for (names, how) in [
                (&changed.added, "added"),
                (&changed.removed, "removed"),
                (&changed.changed, "changed"),
            ] {
                if !names.is_empty() {
                    parts.push(format!("{what} {how}: {}", listed(names)));
                }
            }
        }
        if !self.needs_restart.is_empty() {
            let keys = self.needs_restart.join(", ");
            parts.push(format!("a restart is needed for {keys}"));
        }
        if parts.is_empty() {
            return f.write_str("no listener, endpoint or route changed");
        }
        f.write_str(&parts.join("; "))
    }
}

/// The first names, and how many more there are.
fn listed(names: &[String]) -> String {
    let shown = names.iter().take(NAMES_SHOWN_MAX);
    let mut list = shown.map(String::as_str).collect::<Vec<_>>().join(", ");
    if let Some(more @ 1..) = names.len().checked_sub(NAMES_SHOWN_MAX) {
        list += &[" and ", &more.to_string(), " more"].concat();
    }
    list
}

/// Most names of a kind in a message: a line of a log is to be read.
const NAMES_SHOWN_MAX: usize = 10;

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
        if names.is_empty() || gone.iter().all(|target| target.connections.count() == 0) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn route(endpoint: &str, strip_prefix: &str) -> Route {
        Route {
            endpoint: endpoint.to_owned(),
            conditions: Vec::new(),
            strip_prefix: Some(strip_prefix.to_owned()),
            keep_path: false,
            by_name: false,
        }
    }

    #[test]
    fn routes_are_told_by_their_place_and_their_endpoint() {
        let [a, b, c] = [route("a", "/"), route("b", "/"), route("c", "/")];
        let other = route("a", "/other");
        let told = |before: &[Route], now: &[Route]| {
            let routes = routes(before, now);
            let reloaded = Reloaded {
                routes,
                ..Reloaded::default()
            };
            reloaded.to_string()
        };
        for (before, now, expected) in [
            (vec![], vec![&a], "routes added: [0] to a"),
            (vec![&a, &b], vec![&b], "routes removed: [0] to a"),
            (vec![&a, &b], vec![&b, &other], "routes changed: [1] to a"),
            (vec![&a], vec![&c], "routes changed: [0] to c"),
            (vec![&a, &b], vec![&b, &a], "routes changed: their order"),
            (
                vec![&a, &b],
                vec![&a, &b],
                "no listener, endpoint or route changed",
            ),
        ] {
            let [before, now] = [before, now].map(|it| it.into_iter().cloned().collect::<Vec<_>>());
            assert_eq!(told(&before, &now), expected);
        }
    }

    #[test]
    fn long_lists_are_cut() {
        let endpoints = Changed {
            added: (0..12).map(|number| number.to_string()).collect(),
            removed: (0..10).map(|number| number.to_string()).collect(),
            changed: Vec::new(),
        };
        let reloaded = Reloaded {
            endpoints,
            needs_restart: vec!["workers", "log"],
            ..Reloaded::default()
        };
        assert_eq!(
            reloaded.to_string(),
            "endpoints added: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more; \
             endpoints removed: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9; a restart is needed for workers, log"
        );
    }
}
