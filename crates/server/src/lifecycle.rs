//! Start and graceful stop of the whole server.
//!
//! In: checked settings. Out: listeners on one store. Invariant on the way down: first nothing
//! new is accepted, then connections are closed with 1001, then the store finishes what it took;
//! whatever was accepted is on disk before the process ends.

use std::{
    num::NonZeroUsize,
    path::Path,
    sync::{Arc, OnceLock},
};

use axum::Router;
use tidewire::{
    http::{self, AnswerBudget, Http},
    memory::MemoryBudget,
    net::{Address, ConnectionCounts},
    service::{self, Workers},
    ws::{ProxyProtocol, RefusalObserver, RunningServer, Server, ServerConfig},
};
use tidewire_dialect::{Classic, Dialect as _, Payload};
use tidewire_engine::{Mailbox, Outbox, embedded::SqliteMailbox};
use tidewire_hub::{Hub, Ports, Publication, UserId};
use tidewire_notify::Notifier;
use tidewire_telemetry::{LineLog, LogPlace};

#[cfg(unix)]
use crate::store::StoreSocket;
use crate::{
    access::Access,
    access_log, admin,
    chat::{Admission, Chat},
    config::{AllowedOrigins, ListenerSettings, Runtime, Settings},
    delivery_threads::DeliveryThreads,
    echo::Echo,
    error::StartError,
    limits::{
        behaviour, connection_limits, echo_config, http_config, hub_config, limit, limits,
        socket_config, store_config, unacknowledged_timeout,
    },
    listening::{activated_or, started},
    rest,
    served::Served,
    shaping::{Hook, Rules, Shaping, accept_rate, half_open_max},
    telemetry::Listeners,
    tickets::Tickets,
    web,
};

/// A server that serves until [`stop`](Self::stop).
#[derive(Debug)]
pub struct Running {
    pub(crate) hub: Arc<Hub>,
    pub(crate) mailbox: Arc<SqliteMailbox>,
    threads: Arc<DeliveryThreads>,
    notifier: Notifier,
    pub(crate) messaging: Arc<OnceLock<RunningServer>>,
    pub(crate) rest: Option<RestServer>,
    pub(crate) admin: Option<RestServer>,
    pub(crate) served: Served,
    urls: Vec<(&'static str, String)>,
    pub(crate) settings: Settings,
    pub(crate) answers: AnswerBudget,
    pub(crate) memory: MemoryBudget,
    pub(crate) tickets: Arc<Tickets>,
    pub(crate) shaping: Arc<Shaping>,
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
    let server = messaging_server(settings, &hub, &port, options.clone(), kept)
        .count_with(&listeners.connections[0].1);
    let sockets = activated_or("messaging", &settings.server.listen, || server.bind())?;
    let answers = options.answers.clone();
    let server = started("messaging", server.start_on(sockets))?;
    settings.server.bound_to(server.address());
    messaging_urls(settings, server.address(), &mut urls);
    messaging.get_or_init(|| server);
    let targets = notifier.targets();
    let kept = (listeners.clone(), &memory);
    let served = Served::new(settings, (&hub, port), kept, targets, &shaping);
    let rest = match &settings.rest {
        None => None,
        Some(rest) => {
            let counts = &listeners.connections[1].1;
            let (server, url) =
                start_rest(rest, settings, options.clone(), served.clone(), counts)?;
            urls.insert(1, ("rest", url));
            Some(server)
        }
    };
    let admin = match &settings.admin {
        None => None,
        Some(admin) => {
            let (server, url) = admin::start(
                admin,
                settings,
                options,
                served.clone(),
                &listeners.connections[2].1,
            )?;
            urls.push(("admin", url));
            Some(server)
        }
    };
    #[cfg(unix)]
    let store_socket = StoreSocket::open(Path::new(&settings.config.data_dir), &mailbox);
    if let Some(unclaimed) = tidewire_config::unclaimed_sockets() {
        tracing::warn!("{unclaimed}");
    }
    Ok(Running {
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

/// Starts the REST listener; the text is its URL.
fn start_rest(
    rest: &ListenerSettings,
    settings: &Settings,
    options: http::Config,
    served: Served,
    counts: &ConnectionCounts,
) -> Result<(RestServer, String), StartError> {
    let scheme = if rest.tls.is_some() { "https" } else { "http" };
    let server = rest_server(rest, settings, options, served).count_with(counts);
    let sockets = activated_or("REST", &rest.listen, || server.bind())?;
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
        self.hub.stop_accepting();
        let drain = self.settings.config.server.drain_timeout;
        let messaging = Arc::into_inner(self.messaging).and_then(OnceLock::into_inner);
        drop(self.served);
        let (messaging, rest, admin) = tokio::join!(
            finished(messaging.map(|server| server.drain(drain))),
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

/// What the messaging listener had before a reload, and keeps.
#[derive(Clone, Copy)]
pub(crate) struct Kept<'a> {
    pub(crate) memory: &'a MemoryBudget,
    pub(crate) tickets: &'a Arc<Tickets>,
    pub(crate) shaping: &'a Arc<Shaping>,
}

pub(crate) fn messaging_server(
    settings: &Settings,
    hub: &Arc<Hub>,
    mailbox: &Arc<dyn Mailbox>,
    options: http::Config,
    kept: Kept<'_>,
) -> Server {
    let server = &settings.config.server;
    let listening = &settings.server;
    let access = access(listening, settings.allowed_origins.clone());
    let mut config = socket_config(settings);
    // The messaging connection pings by itself: its pongs prove more.
    config.ping_interval = None;
    let config = Arc::new(config);
    let mut listener = ServerConfig::new(listening.listen.clone());
    listener.unix.clone_from(&listening.unix);
    listener.workers = match (server.runtime, NonZeroUsize::new(server.workers)) {
        (Runtime::Pool, _) => Workers::Pool,
        (Runtime::PerCore, Some(count)) => Workers::PerCore(count),
        (Runtime::PerCore, None) => Workers::per_core(),
    };
    listener.socket = Arc::clone(&config);
    limit(kept.memory, settings);
    listener.memory = kept.memory.clone();
    listener.tls.clone_from(&listening.tls);
    limits(settings, &mut listener);
    listener
        .proxy_protocol
        .clone_from(&listening.proxy_protocol);
    listener
        .trusted_proxies
        .clone_from(&listening.trusted_proxies);
    listener.limits.write_timeout = unacknowledged_timeout(settings);
    listener.limits.unsent_bytes_max = Some(server.limits.unsent_bytes_max);
    listener.limits.unacknowledged_timeout = Some(unacknowledged_timeout(settings));
    let router = web::router(
        Arc::clone(hub),
        Arc::clone(mailbox),
        access.clone(),
        Arc::clone(kept.tickets),
        Arc::clone(kept.shaping),
        server,
    );
    let chat = Arc::new(Chat::<Classic>::new(
        Arc::clone(hub),
        Admission {
            access: access.clone(),
            tickets: Arc::clone(kept.tickets),
            shaping: Arc::clone(kept.shaping),
            hook: hook(settings),
        },
        config,
        behaviour(settings),
    ));
    let mut builder = Server::new(listener)
        .route_shared(server.endpoint.clone(), chat.clone())
        .route_shared(format!("{}/", server.endpoint), chat)
        .on_refused(tell_refused(kept.shaping, &access))
        .fallback(http::fallback(router, options));
    if server.echo {
        builder = builder.route(
            "/echo",
            Echo {
                access,
                shaping: Arc::clone(kept.shaping),
                config: Arc::new(echo_config(settings)),
            },
        );
    }
    builder
}

/// The backend that is asked about connections; it is made anew with every reload, its secrets may have changed.
fn hook(settings: &Settings) -> Option<Arc<Hook>> {
    let checked = settings.shaping.hook.clone()?;
    let config = &settings.config.server.connect_hook;
    let hook = Hook::new(config, checked.url, &checked.secrets, checked.tls);
    Some(Arc::new(hook))
}

/// Counts WebSocket requests that are refused before they become one.
fn tell_refused(shaping: &Arc<Shaping>, access: &Access) -> RefusalObserver {
    let (reasons, access) = (Arc::clone(&shaping.reasons), access.clone());
    Arc::new(move |refused| {
        let request = refused.request;
        let client = access.client(request.head.as_ref(), &request.peer);
        let status = refused.refusal.status;
        reasons.refused_with(status, &client);
        access_log::refused(reasons.access_log(), client, request, status);
    })
}

fn messaging_urls(settings: &Settings, address: &Address, urls: &mut Vec<(&'static str, String)>) {
    let server = &settings.config.server;
    let (ws, http) = if settings.server.tls.is_some() {
        ("wss", "https")
    } else {
        ("ws", "http")
    };
    urls.push(("messaging", address.url(ws, &server.endpoint)));
    if server.web_chat {
        urls.push(("web chat", address.url(http, "/")));
    }
    if server.echo {
        urls.push(("echo", address.url(ws, "/echo")));
    }
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

pub(crate) fn access(listening: &ListenerSettings, allowed_origins: AllowedOrigins) -> Access {
    Access {
        // A browser speaks no PROXY protocol.
        loopback_names_only: listening.listen.is_local()
            && listening.auth.is_open()
            && listening.proxy_protocol == ProxyProtocol::Off
            && allowed_origins != AllowedOrigins::Any,
        auth: listening.auth.clone(),
        allowed_origins: Arc::new(allowed_origins),
        secure: listening.tls.is_some(),
        trusted_proxies: Arc::new(listening.trusted_proxies.clone()),
        port: Arc::clone(&listening.bound_port),
    }
}
