//! Start and graceful stop of the whole server.
//!
//! In: checked settings. Out: listeners on one store. Invariant on the way down: first nothing
//! new is accepted, then connections are closed with 1001, then the store finishes what it took;
//! whatever was accepted is on disk before the process ends.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::Router;
use tidewire::{
    http::{self, AnswerBudget, Http},
    memory::MemoryBudget,
    net::ConnectionCounts,
    service::{self, Workers},
    ws::RunningServer,
};
use tidewire_dialect::{Classic, Dialect as _, Payload};
use tidewire_engine::{Mailbox, Outbox, embedded::SqliteMailbox};
use tidewire_handover::{Bound, HandoverSocket, Role};
use tidewire_hub::{Hub, Ports, Publication, UserId};
use tidewire_notify::Notifier;
use tidewire_telemetry::{LineLog, LogPlace};
use tokio::task::JoinSet;

#[cfg(unix)]
use crate::store::StoreSocket;
use crate::{
    admin,
    config::{ListenerSettings, Settings},
    delivery_threads::DeliveryThreads,
    error::StartError,
    limits::{connection_limits, http_config, hub_config, store_config},
    listening::{given_or, started},
    messaging::{Kept, access, messaging_server, messaging_urls},
    rest,
    served::Served,
    shaping::{Rules, Shaping, accept_rate, half_open_max},
    telemetry::Listeners,
    tickets::Tickets,
};

/// A server that serves until [`stop`](Self::stop).
#[derive(Debug)]
pub struct Running {
    pub(crate) hub: Arc<Hub>,
    pub(crate) mailbox: Arc<SqliteMailbox>,
    threads: Arc<DeliveryThreads>,
    notifier: Notifier,
    /// In the order of the settings.
    pub(crate) messaging: Arc<OnceLock<Vec<RunningServer>>>,
    pub(crate) rest: Option<RestServer>,
    pub(crate) admin: Option<RestServer>,
    pub(crate) served: Served,
    urls: Vec<(&'static str, String)>,
    pub(crate) settings: Settings,
    pub(crate) answers: AnswerBudget,
    pub(crate) memory: MemoryBudget,
    pub(crate) tickets: Arc<Tickets>,
    pub(crate) shaping: Arc<Shaping>,
    /// Where a successor finds us.
    pub(crate) handover: HandoverSocket,
    #[cfg(unix)]
    store_socket: Option<StoreSocket>,
}

/// The REST listener speaks HTTP alone.
pub(crate) type RestServer = service::RunningServer<Http<Router>>;

/// Opens the store and starts all listeners.
///
/// # Errors
/// [`StartError`]; nothing is left running.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn start(settings: &Settings) -> Result<Running, StartError> {
    start_on(settings, &mut Vec::new())
}

/// As [`start`], on sockets that are bound already, where there are such; what is taken is gone from `given`.
pub(crate) fn start_on(settings: &Settings, given: &mut Vec<Bound>) -> Result<Running, StartError> {
    tracing::info!(dir = %settings.config.data_dir, "opening the message store");
    let mailbox = SqliteMailbox::open_respelt(store_config(settings), UserId::respelt)?;
    let shaping = shaping(settings)?;
    let port: Arc<dyn Mailbox> = Arc::<SqliteMailbox>::clone(&mailbox);
    let threads = Arc::new(DeliveryThreads::start().map_err(StartError::Threads)?);
    let mut ports = Ports::new(Arc::clone(&port));
    ports.executor = Arc::<DeliveryThreads>::clone(&threads);
    let notifier = events_out(settings, &mailbox, &mut ports)?;
    let hub = Hub::with_ports(hub_config(settings).try_into()?, ports);
    let messaging = Arc::new(OnceLock::new());
    let listeners = Listeners::new(&messaging);
    let mut urls = Vec::new();
    let options = http_config(settings);
    let memory = MemoryBudget::of_machine();
    let tickets = Arc::new(Tickets::new(settings.config.server.limits.tickets_max));
    let kept = Kept {
        memory: &memory,
        tickets: &tickets,
        shaping: &shaping,
    };
    let answers = options.answers.clone();
    let ports = (&hub, &port);
    let counts = listeners.counts();
    let servers = start_messaging(settings, ports, (&options, counts), kept, given, &mut urls)?;
    messaging.get_or_init(|| servers);
    let targets = notifier.targets();
    let counted = (listeners.clone(), &memory);
    let served = Served::new(settings, (&hub, port), counted, targets, &shaping);
    let kept = || (options.clone(), served.clone());
    let rest = settings.rest.as_ref();
    let rest = rest.map(|rest| start_rest(rest, settings, kept(), listeners.rest(), given));
    let rest = rest.transpose()?.map(|(server, url)| {
        urls.insert(1, ("rest", url));
        server
    });
    let admin = settings.admin.as_ref();
    let admin = admin.map(|it| admin::start(it, settings, kept(), listeners.admin(), given));
    let admin = admin.transpose()?.map(|(server, url)| {
        urls.push(("admin", url));
        server
    });
    #[cfg(unix)]
    let store_socket = StoreSocket::open(Path::new(&settings.config.data_dir), &mailbox);
    if let Some(unclaimed) = tidewire_config::unclaimed_sockets() {
        tracing::warn!("{unclaimed}");
    }
    Ok(Running {
        handover: HandoverSocket::default(),
        #[cfg(unix)]
        store_socket,
        hub,
        mailbox,
        threads,
        notifier,
        messaging,
        rest,
        admin,
        served,
        urls,
        settings: settings.clone(),
        answers,
        memory,
        tickets,
        shaping,
    })
}

/// Opens what clients are limited by, and where they are told of.
fn shaping(settings: &Settings) -> Result<Arc<Shaping>, StartError> {
    let shaping = Shaping::open(Path::new(&settings.config.data_dir), Rules::of(settings))
        .map_err(StartError::Blocks)?;
    let log = LineLog::open(LogPlace::from_key(&settings.config.access_log).as_ref());
    shaping.reasons.tell(log.map_err(StartError::AccessLog)?);
    Ok(Arc::new(shaping))
}

/// Starts the messaging listeners, in the order of the settings.
fn start_messaging(
    settings: &Settings,
    ports: (&Arc<Hub>, &Arc<dyn Mailbox>),
    (options, counts): (&http::Config, &ConnectionCounts),
    kept: Kept<'_>,
    given: &mut Vec<Bound>,
    urls: &mut Vec<(&'static str, String)>,
) -> Result<Vec<RunningServer>, StartError> {
    let mut servers = Vec::new();
    for listening in settings.messaging() {
        let server = messaging_server(settings, listening, ports, options.clone(), kept);
        let server = server.count_with(counts);
        let role = ("messaging", Role::Clients);
        let sockets = given_or(given, role, &listening.listen, || server.bind())?;
        let server = started("messaging", server.start_on(sockets))?;
        listening.bound_to(server.address());
        messaging_urls(settings, listening, server.address(), urls);
        servers.push(server);
    }
    Ok(servers)
}

/// Starts the REST listener; the text is its URL.
fn start_rest(
    rest: &ListenerSettings,
    settings: &Settings,
    (options, served): (http::Config, Served),
    counts: &ConnectionCounts,
    given: &mut Vec<Bound>,
) -> Result<(RestServer, String), StartError> {
    let scheme = if rest.tls.is_some() { "https" } else { "http" };
    let server = rest_server(rest, settings, options, served).count_with(counts);
    let role = ("REST", Role::Rest);
    let sockets = given_or(given, role, &rest.listen, || server.bind())?;
    let server = started("REST", server.start_on(sockets))?;
    rest.bound_to(server.address());
    let url = server.address().url(scheme, "/");
    Ok((server, url))
}

impl Running {
    /// Returns what is served where, in the order to be shown.
    pub fn urls(&self) -> &[(&'static str, String)] {
        &self.urls
    }

    /// The settings by which the server runs.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Stops gracefully: accepts nothing more, closes every WebSocket with 1001, waits for
    /// connections to end (at most the configured drain time), closes the store. False when
    /// connections had to be aborted.
    ///
    /// # Cancel safety
    /// Not cancel safe: when dropped, the rest ends abruptly, as with a kill. Nothing accepted
    /// is lost.
    pub async fn stop(self) -> bool {
        #[cfg(unix)]
        drop(self.store_socket);
        drop(self.handover);
        self.hub.stop_accepting();
        let drain = self.settings.config.server.drain_timeout;
        let messaging = Arc::into_inner(self.messaging).and_then(OnceLock::into_inner);
        drop(self.served);
        let (messaging, rest, admin) = tokio::join!(
            all_finished(messaging.unwrap_or_default(), drain),
            finished(self.rest.map(|server| server.drain(drain))),
            finished(self.admin.map(|server| server.drain(drain)))
        );
        self.notifier.stop().await;
        let (mailbox, threads) = (self.mailbox, self.threads);
        let stopped = tokio::task::spawn_blocking(move || {
            mailbox.stop();
            // Its last completions may have handed something over.
            threads.stop();
        });
        if let Err(error) = stopped.await {
            tracing::error!(%error, "the store was not closed properly");
        }
        self.shaping.reasons.access_log().close();
        messaging && rest && admin
    }
}

/// Starts the workers of the targets, and has the hub make events if there are any.
fn events_out(
    settings: &Settings,
    mailbox: &Arc<SqliteMailbox>,
    ports: &mut Ports,
) -> Result<Notifier, StartError> {
    let outbox: Arc<dyn Outbox> = Arc::<SqliteMailbox>::clone(mailbox);
    let notifier = Notifier::start(&settings.events, &outbox, Arc::new(message_json))?;
    ports.outbox = (!settings.events.targets.is_empty()).then_some(outbox);
    Ok(notifier)
}

/// A message as events have it: as classic clients get it.
fn message_json(publication: &Publication) -> String {
    match Classic::publication(publication) {
        Some(Payload::Text(text)) => text,
        Some(_) | None => "null".to_owned(),
    }
}

/// Whether a drain, if there is one, has left nothing.
async fn finished(drain: Option<impl Future<Output = bool>>) -> bool {
    match drain {
        Some(drain) => drain.await,
        None => true,
    }
}

/// Drains all at once; returns whether nothing was left.
async fn all_finished(servers: Vec<RunningServer>, within: Duration) -> bool {
    let drains = servers.into_iter().map(|server| server.drain(within));
    let drained = drains.collect::<JoinSet<bool>>().join_all().await;
    drained.into_iter().all(|finished| finished)
}

pub(crate) fn rest_server(
    listening: &ListenerSettings,
    settings: &Settings,
    mut options: http::Config,
    served: Served,
) -> service::Server<Http<Router>> {
    let rest = &settings.config.rest;
    options.keep_alive = true;
    options.idle_timeout = rest.idle_timeout;
    options.http2 = listening.http2;
    let access = access(listening, settings.allowed_origins.clone());
    let mut listener = service::Config::new(listening.listen.clone());
    listener.unix.clone_from(&listening.unix);
    listener.workers = Workers::Pool;
    listener.tls.clone_from(&listening.tls);
    listener
        .proxy_protocol
        .clone_from(&listening.proxy_protocol);
    listener
        .trusted_proxies
        .clone_from(&listening.trusted_proxies);
    let (connections_max, per_ip_max) = connection_limits(settings);
    listener.limits.connections_max = connections_max;
    listener.limits.per_ip_max = per_ip_max;
    let rates = &settings.config.server.rates;
    listener.limits.half_open_max = half_open_max(rates, connections_max);
    listener.limits.accept_rate = accept_rate(rates);
    listener.limits.handshake_timeout = settings.config.server.limits.handshake_timeout;
    let router: Router = rest::router(served.state(settings, access), &rest.auth);
    service::Server::new(listener, Http::new(router, options))
}
