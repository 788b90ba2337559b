//! The route table: from a name or a request to an endpoint.
//!
//! In: settings, and the endpoints that live already. Out: [`Target`]s by name (M-21), and for a plain
//! client the target that its request is pinned to. Invariant: where a connection goes is decided by names in
//! the configuration alone, never by an address in the request.

use std::{collections::HashMap, sync::Arc};

use tidewire::{proto::handshake::RequestHead, ws::Refusal};

use crate::{
    routing::{
        request::{self, ROUTE_NAME},
        target::Target,
    },
    settings::{Condition, Settings, Source},
};

/// What a reload replaces as a whole.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) settings: Arc<Settings>,
    targets: Vec<Arc<Target>>,
    /// Names and aliases in lower case.
    names: HashMap<String, usize>,
}

/// Where a plain client's request goes.
#[derive(Debug)]
pub(crate) struct Pinned {
    pub(crate) target: Arc<Target>,
    /// What is taken from the path, and that the rest goes to the upstream.
    pub(crate) strip_prefix: Option<String>,
    /// The whole path goes to the upstream.
    pub(crate) keep_path: bool,
    /// It was pinned by the query parameter, which ends here.
    pub(crate) by_query: bool,
}

/// A request names no endpoint that it could be pinned to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotPinned {
    /// There is none of this name.
    Unknown(String),
    /// It has several names.
    Ambiguous,
    /// It does not meet the conditions of the endpoint's routes.
    Guarded,
}

impl Table {
    /// A table of `settings`, in which `before`'s targets of the same name live on.
    pub(crate) fn new(settings: Settings, before: Option<&Self>) -> Self {
        let mut targets = Vec::new();
        let mut names = HashMap::new();
        for endpoint in &settings.endpoints {
            let known = before.and_then(|table| table.named(&endpoint.name));
            let target = match known {
                Some(target) => {
                    target.update(Arc::clone(endpoint));
                    Arc::clone(target)
                }
                None => Arc::new(Target::new(Arc::clone(endpoint))),
            };
            for name in [&endpoint.name].into_iter().chain(&endpoint.aliases) {
                names.entry(name.to_lowercase()).or_insert(targets.len());
            }
            targets.push(target);
        }
        Self {
            settings: Arc::new(settings),
            targets,
            names,
        }
    }

    /// The endpoints.
    pub(crate) fn targets(&self) -> &[Arc<Target>] {
        &self.targets
    }

    /// The endpoint with this name or alias, in any case of letters.
    pub(crate) fn by_name(&self, name: &str) -> Option<&Arc<Target>> {
        let found = self
            .names
            .get(name)
            .or_else(|| self.names.get(&name.to_lowercase()))?;
        self.targets.get(*found)
    }

    /// The endpoint with this name, which is nobody's alias, in any case of letters.
    fn named(&self, name: &str) -> Option<&Arc<Target>> {
        let found = self.by_name(name)?;
        let same = found.endpoint().name.to_lowercase() == name.to_lowercase();
        same.then_some(found)
    }

    /// Returns whether a client whose request this is may ask for an endpoint by its name: it meets the
    /// [guards](crate::settings::Route::guards) of one of its routes, if there are routes to it.
    pub(crate) fn may_be_named(&self, target: &Target, head: &RequestHead) -> bool {
        let endpoint = target.endpoint();
        let routes = self.settings.routes.iter();
        let mut routes = routes
            .filter(|route| route.endpoint == endpoint.name)
            .peekable();
        routes.peek().is_none()
            || routes.any(|route| {
                route.by_name || route.guards().all(|condition| holds(condition, head))
            })
    }

    /// The endpoint that a request is pinned to; `None`: to none.
    pub(crate) fn pinned(&self, head: &RequestHead) -> Result<Option<Pinned>, NotPinned> {
        if self.settings.pin_by_name {
            // Whoever in front looks at one of two names must not be led past.
            if request::count(head, ROUTE_NAME) > 1 {
                return Err(NotPinned::Ambiguous);
            }
            let by_header = request::header(head, ROUTE_NAME);
            let by_query = head.query_parameter(ROUTE_NAME);
            if let Some(name) = by_header.or(by_query.as_deref()) {
                let target = self
                    .by_name(name)
                    .ok_or_else(|| NotPinned::Unknown(name.to_owned()))?;
                if !self.may_be_named(target, head) {
                    return Err(NotPinned::Guarded);
                }
                return Ok(Some(Pinned {
                    target: Arc::clone(target),
                    strip_prefix: None,
                    keep_path: false,
                    by_query: by_header.is_none(),
                }));
            }
        }
        let route = self.settings.routes.iter().find(|route| {
            route
                .conditions
                .iter()
                .all(|condition| holds(condition, head))
        });
        Ok(route.and_then(|route| {
            Some(Pinned {
                target: Arc::clone(self.by_name(&route.endpoint)?),
                strip_prefix: route.strip_prefix.clone(),
                keep_path: route.keep_path,
                by_query: false,
            })
        }))
    }
}

fn holds(condition: &Condition, head: &RequestHead) -> bool {
    let pattern = &condition.pattern;
    match &condition.source {
        Source::Path => pattern.matches(head.path()),
        Source::Host => request::host(head).is_some_and(|host| pattern.matches(&host)),
        Source::Header(name) => {
            request::header(head, name).is_some_and(|value| pattern.matches(value))
        }
        Source::Query(name) => head
            .query_parameter(name)
            .is_some_and(|value| pattern.matches(&value)),
        Source::Subprotocol => request::subprotocols(head)
            .iter()
            .any(|name| pattern.matches(name)),
        Source::Cookie(name) => head
            .cookie(name)
            .is_some_and(|value| pattern.matches(value)),
    }
}

/// An endpoint that may not be named by whoever asks.
pub(crate) fn guarded() -> Refusal {
    let reason =
        "this request does not meet the conditions of the endpoint's routes; see routes.by_name";
    Refusal::new(403, reason)
}

/// An endpoint that does not exist.
pub(crate) fn unknown(name: &str) -> Refusal {
    // Of a name that may be anything, no more than fits a line.
    let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    Refusal::new(404, format!("no endpoint is called {name:?}"))
}
