//! [`Service`]: what all connections of a server share.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tidewire_proto::proxy::Network;

use super::{
    config::Config, drain::Drain, proxied::TrustedProxies, tasks::Tasks, workers::Workers,
};
use crate::{
    net::{
        ConnectionCounts, Exceeded, Peer,
        admission::{AddressPlace, Admission, TurnedAway},
        guests::Guests,
    },
    sync::RwLock,
};

/// What all connections of a server share. Replaced as a whole by a
/// [reload](super::RunningServer::reconfigure); connections keep that which they began with.
pub struct Service<P> {
    pub(super) config: Config,
    pub(super) protocol: Arc<P>,
    pub(super) admission: Arc<Admission>,
    // These stay the same for as long as the server runs.
    pub(super) stop_accepting: Drain,
    pub(super) drain: Drain,
    pub(super) tasks: Tasks,
    pub(super) refused: Arc<AtomicU64>,
    /// Their number does not change with a reload.
    pub(super) guests: Option<Arc<Guests>>,
    /// Connections that are not open yet.
    half_open: Option<Arc<Guests>>,
}

impl<P> fmt::Debug for Service<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl<P> Service<P> {
    /// For the connections of a server that starts.
    pub(super) fn new(config: Config, protocol: Arc<P>, counts: ConnectionCounts) -> Self {
        let limits = &config.limits;
        let uncounted = uncounted(&config);
        let own_runtime = matches!(config.workers, Workers::PerCore(_));
        Self {
            admission: Admission::new(
                limits.connections_max,
                limits.per_ip_max,
                &uncounted,
                counts,
            )
            .with_rate(limits.accept_rate),
            stop_accepting: Drain::new(),
            drain: Drain::new(),
            tasks: Tasks::new(own_runtime),
            refused: Arc::default(),
            guests: Guests::new(limits.guests_max),
            half_open: Guests::new(limits.half_open_max),
            config,
            protocol,
        }
    }

    /// For the connections to come; those that are there stay in the same counts and drain.
    pub(super) fn with(&self, config: Config, protocol: Arc<P>) -> Self {
        let limits = &config.limits;
        let uncounted = uncounted(&config);
        Self {
            admission: self
                .admission
                .with_limits(limits.connections_max, limits.per_ip_max, &uncounted)
                .with_rate(limits.accept_rate),
            stop_accepting: self.stop_accepting.clone(),
            drain: self.drain.clone(),
            tasks: self.tasks.clone(),
            refused: Arc::clone(&self.refused),
            guests: self.guests.clone(),
            // Those that have begun have a deadline anyway.
            half_open: if limits.half_open_max == self.config.limits.half_open_max {
                self.half_open.clone()
            } else {
                Guests::new(limits.half_open_max)
            },
            config,
            protocol,
        }
    }

    /// What is spoken.
    pub fn protocol(&self) -> &P {
        &self.protocol
    }

    /// Where the server listens, and its limits.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Started when the server drains: connections end, each in its protocol's way.
    pub fn drain(&self) -> &Drain {
        &self.drain
    }

    /// Started when nothing is accepted any more, which may be long before the drain.
    pub fn accepting_ended(&self) -> &Drain {
        &self.stop_accepting
    }

    /// Runs a task that belongs to the server: a drain waits for it, and aborts it in the end.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Unpin + Send + 'static,
    {
        self.tasks.spawn(task);
    }

    /// Counts an opening that came to nothing, on a connection that goes on.
    pub fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Connections that are not open yet, if their number has a limit.
    pub(super) fn half_open(&self) -> Option<&Arc<Guests>> {
        self.half_open.as_ref()
    }

    /// Counts an opening that took too long; it counts as refused besides.
    pub(super) fn count_late(&self) {
        self.admission.count_late();
    }

    /// Counts an opening that made room for another one.
    pub(super) fn count_displaced(&self) {
        self.admission.count_displaced();
        self.count_refused();
    }

    /// How many connections were turned away, by reason.
    pub fn turned_away(&self) -> TurnedAway {
        self.admission.turned_away()
    }

    /// As [`ProxiedClients::place`].
    pub(crate) fn place_of_client<'a>(
        &self,
        peer: &Peer,
        values: impl Fn(&str) -> Vec<&'a [u8]>,
    ) -> Result<Option<AddressPlace>, Exceeded> {
        place_of_client(&self.config.trusted_proxies, &self.admission, peer, values)
    }

    /// Counts connections.
    #[cfg(feature = "http2")]
    pub(crate) fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }
}

/// The clients of trusted HTTP proxies, counted per request: a proxy's connection carries those of many.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(feature = "http"),
    expect(dead_code, reason = "read by the HTTP server, which is a feature")
)]
pub(crate) struct ProxiedClients {
    proxies: TrustedProxies,
    admission: Arc<Admission>,
}

impl ProxiedClients {
    /// Those of a server.
    pub(crate) fn of<P>(service: &Service<P>) -> Self {
        Self {
            proxies: service.config.trusted_proxies.clone(),
            admission: Arc::clone(&service.admission),
        }
    }

    /// Counts a request of a trusted HTTP proxy for the client that it tells, in a place of the client's address;
    /// `None` for a request of anybody else, whose connection is counted, and where no client is told. `values` gives
    /// the values of all fields of a name.
    #[cfg(feature = "http")]
    pub(crate) fn place<'a>(
        &self,
        peer: &Peer,
        values: impl Fn(&str) -> Vec<&'a [u8]>,
    ) -> Result<Option<AddressPlace>, Exceeded> {
        place_of_client(&self.proxies, &self.admission, peer, values)
    }
}

fn place_of_client<'a>(
    proxies: &TrustedProxies,
    admission: &Admission,
    peer: &Peer,
    values: impl Fn(&str) -> Vec<&'a [u8]>,
) -> Result<Option<AddressPlace>, Exceeded> {
    let told = proxies.forwarded(peer, values);
    match told.client {
        Some(client) if told.by_proxy && !told.is_client_hidden => {
            let place = admission.place_of(client);
            place.inspect_err(|_exceeded| {
                tracing::info!(%client, "request refused: limit per address reached");
            })
        }
        Some(_) | None => Ok(None),
    }
}

/// The networks whose own addresses do not count: they tell whose connections these are.
fn uncounted(config: &Config) -> Vec<Network> {
    let balancers = config.proxy_protocol.trusted();
    [balancers, &config.trusted_proxies.networks].concat()
}

/// What new connections share.
pub(super) struct Current<P>(RwLock<Arc<Service<P>>>);

impl<P> Current<P> {
    pub(super) fn new(service: Service<P>) -> Self {
        Self(RwLock::new(Arc::new(service)))
    }

    pub(super) fn get(&self) -> Arc<Service<P>> {
        Arc::clone(&self.0.read())
    }

    pub(super) fn set(&self, service: Service<P>) {
        *self.0.write() = Arc::new(service);
    }
}
