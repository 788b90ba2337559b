//! Start and graceful stop of the whole server.
//!
//! In: checked settings. Out: listeners on one store. Invariant on the way down: first nothing
//! new is accepted, then connections are closed with 1001, then the store finishes what it took;
//! whatever was accepted is on disk before the process ends.

use std::{
    io,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::Router;
use tidewire::{
    http::{self, AnswerBudget, Http},
    service::{self, Workers},
    tls::{ServerTls, TlsError},
    ws::{Config as SocketConfig, HeadLimits, RunningServer, Server, ServerConfig},
};
use tidewire_dialect::Classic;
use tidewire_engine::{
    Mailbox,
    embedded::{Config as StoreConfig, OpenError, SqliteMailbox},
};
use tidewire_hub::{Config as HubConfig, ConfigError, Hub, Ports, UserId};

use crate::{
    access::Access,
    chat::{Behaviour, Chat, Timing},
    config::{AllowedOrigins, ListenerSettings, Runtime, Settings, TlsSettings},
    delivery_threads::DeliveryThreads,
    echo::Echo,
    rest::{self, Idempotency, Rest},
    telemetry::{ReadServerStats, Telemetry},
    tickets::Tickets,
    web,
};

/// The server could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The store cannot be opened.
    #[error("cannot open the message store")]
    Store(#[from] OpenError),
    /// A listener cannot be started.
    #[error("cannot start the {listener} listener")]
    Listener {
        /// Which one.
        listener: &'static str,
        /// Why.
        source: tidewire::ws::StartError,
    },
    /// Certificates cannot be used.
    #[error("cannot set up TLS for the {listener} listener")]
    Tls {
        /// Which one.
        listener: &'static str,
        /// Why.
        source: TlsError,
    },
    /// The system has no threads for deliveries.
    #[error("cannot start the threads that deliver messages")]
    Threads(#[source] io::Error),
    /// The messaging limits contradict each other.
    #[error("invalid messaging settings")]
    Hub(#[from] ConfigError),
}

/// A server that serves until [`stop`](Self::stop).
#[derive(Debug)]
pub struct Running {
    hub: Arc<Hub>,
    mailbox: Arc<SqliteMailbox>,
    threads: Arc<DeliveryThreads>,
    messaging: Arc<OnceLock<RunningServer>>,
    rest: Option<RestServer>,
    urls: Vec<(&'static str, String)>,
    drain: Duration,
}

/// The REST listener speaks HTTP alone.
type RestServer = service::RunningServer<Http<Router>>;

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
    let port: Arc<dyn Mailbox> = Arc::<SqliteMailbox>::clone(&mailbox);
    let threads = Arc::new(DeliveryThreads::start().map_err(StartError::Threads)?);
    let mut ports = Ports::new(Arc::clone(&port));
    ports.executor = Arc::<DeliveryThreads>::clone(&threads);
    let hub = Hub::with_ports(hub_config(settings).try_into()?, ports);
    let messaging = Arc::new(OnceLock::new());
    let stats: ReadServerStats = {
        let messaging = Arc::downgrade(&messaging);
        Arc::new(move || {
            let running = messaging.upgrade();
            running
                .and_then(|server| server.get().map(RunningServer::stats))
                .unwrap_or_default()
        })
    };
    let mut urls = Vec::new();
    let options = http_config(settings);
    let server = start_messaging(settings, &hub, options.clone(), &mut urls)?;
    messaging.get_or_init(|| server);
    let rest = match &settings.rest {
        None => None,
        Some(rest) => {
            let telemetry = Arc::new(Telemetry::new(Arc::clone(&hub), Arc::clone(&port), stats));
            let mut options = options;
            options.keep_alive = true;
            let scheme = if rest.tls.is_some() { "https" } else { "http" };
            let rest = start_rest(rest, settings, options, Arc::clone(&hub), port, telemetry)?;
            urls.insert(1, ("rest", format!("{scheme}://{}/", rest.local_addr())));
            Some(rest)
        }
    };
    Ok(Running {
        hub,
        mailbox,
        threads,
        messaging,
        rest,
        urls,
        drain: settings.config.server.drain_timeout,
    })
}

impl Running {
    /// What is served where, in the order to be shown.
    pub fn urls(&self) -> &[(&'static str, String)] {
        &self.urls
    }

    /// Stops gracefully: accepts nothing more, closes every WebSocket with 1001, waits for
    /// connections to end (at most the configured drain time), closes the store. False when
    /// connections had to be aborted.
    ///
    /// # Cancel safety
    /// Not cancel safe: when dropped, the rest ends abruptly, as with a kill. Nothing accepted
    /// is lost.
    pub async fn stop(self) -> bool {
        self.hub.stop_accepting();
        let messaging = Arc::into_inner(self.messaging).and_then(OnceLock::into_inner);
        let (messaging, rest) = tokio::join!(
            finished(messaging.map(|server| server.drain(self.drain))),
            finished(self.rest.map(|server| server.drain(self.drain)))
        );
        let (mailbox, threads) = (self.mailbox, self.threads);
        let stopped = tokio::task::spawn_blocking(move || {
            mailbox.stop();
            // Its last completions may have handed something over.
            threads.stop();
        });
        if let Err(error) = stopped.await {
            tracing::error!(%error, "the store was not closed properly");
        }
        messaging && rest
    }
}

/// Whether a drain, if there is one, has left nothing.
async fn finished(drain: Option<impl Future<Output = bool>>) -> bool {
    match drain {
        Some(drain) => drain.await,
        None => true,
    }
}

fn start_messaging(
    settings: &Settings,
    hub: &Arc<Hub>,
    options: http::Config,
    urls: &mut Vec<(&'static str, String)>,
) -> Result<RunningServer, StartError> {
    let server = &settings.config.server;
    let listening = &settings.server;
    let access = access(listening, settings.allowed_origins.clone());
    let mut config = socket_config(settings);
    // The messaging connection pings by itself: its pongs prove more.
    config.ping_interval = None;
    let config = Arc::new(config);
    let mut listener = ServerConfig::new(listening.listen);
    listener.workers = match (server.runtime, NonZeroUsize::new(server.workers)) {
        (Runtime::Pool, _) => Workers::Pool,
        (Runtime::PerCore, Some(count)) => Workers::PerCore(count),
        (Runtime::PerCore, None) => Workers::per_core(),
    };
    listener.socket = Arc::clone(&config);
    listener.tls = tls(listening.tls.as_ref(), "messaging")?;
    limits(settings, &mut listener);
    listener.limits.write_timeout = unacknowledged_timeout(settings);
    listener.limits.unsent_bytes_max = Some(server.limits.unsent_bytes_max);
    listener.limits.unacknowledged_timeout = Some(unacknowledged_timeout(settings));
    let tickets = Arc::new(Tickets::new(server.limits.tickets_max));
    let router = web::router(
        Arc::clone(hub),
        access.clone(),
        Arc::clone(&tickets),
        server,
    );
    let chat = Arc::new(Chat::<Classic>::new(
        Arc::clone(hub),
        access.clone(),
        tickets,
        config,
        behaviour(settings),
    ));
    let mut builder = Server::new(listener)
        .route_shared(server.endpoint.clone(), chat.clone())
        .route_shared(format!("{}/", server.endpoint), chat)
        .fallback(http::fallback(router, options));
    if server.echo {
        builder = builder.route(
            "/echo",
            Echo {
                access,
                config: Arc::new(echo_config(settings)),
            },
        );
    }
    let running = builder.start().map_err(|source| StartError::Listener {
        listener: "messaging",
        source,
    })?;
    let (ws, http) = if listening.tls.is_some() {
        ("wss", "https")
    } else {
        ("ws", "http")
    };
    let address = running.local_addr();
    urls.push(("messaging", format!("{ws}://{address}{}", server.endpoint)));
    if server.web_chat {
        urls.push(("web chat", format!("{http}://{address}/")));
    }
    if server.echo {
        urls.push(("echo", format!("{ws}://{address}/echo")));
    }
    Ok(running)
}

fn behaviour(settings: &Settings) -> Behaviour {
    let config = &settings.config.server;
    Behaviour {
        confirm: config.confirm,
        timing: Arc::new(Timing {
            pong_timeout: config.keep_alive.pong_timeout,
            ping_interval: config.keep_alive.ping_interval,
            // The system has noticed by then that nothing is acknowledged any more.
            acknowledged_timeout: unacknowledged_timeout(settings) + Duration::from_secs(1),
            unproven_kept: config.unproven_kept_for,
        }),
        inactive_timeout: config.keep_alive.inactive_timeout,
    }
}

fn start_rest(
    listening: &ListenerSettings,
    settings: &Settings,
    options: http::Config,
    hub: Arc<Hub>,
    mailbox: Arc<dyn Mailbox>,
    telemetry: Arc<Telemetry>,
) -> Result<RestServer, StartError> {
    let rest = &settings.config.rest;
    let access = access(listening, settings.allowed_origins.clone());
    let mut listener = service::Config::new(listening.listen);
    listener.workers = Workers::Pool;
    listener.tls = tls(listening.tls.as_ref(), "REST")?;
    let (connections_max, per_ip_max) = connection_limits(settings);
    listener.limits.connections_max = connections_max;
    listener.limits.per_ip_max = per_ip_max;
    listener.limits.handshake_timeout = settings.config.server.limits.handshake_timeout;
    let router: Router = rest::router(Rest {
        hub,
        mailbox,
        telemetry,
        access,
        body_bytes_max: rest.body_bytes_max,
        answer_timeout: rest.answer_timeout,
        idempotency: Arc::new(Idempotency::new(
            rest.idempotency_ttl,
            rest.idempotency_keys_max,
        )),
    });
    service::Server::new(listener, Http::new(router, options))
        .start()
        .map_err(|source| StartError::Listener {
            listener: "REST",
            source,
        })
}

fn access(listening: &ListenerSettings, allowed_origins: AllowedOrigins) -> Access {
    Access {
        loopback_names_only: listening.listen.ip().is_loopback()
            && listening.auth.is_open()
            && allowed_origins != AllowedOrigins::Any,
        auth: Arc::new(listening.auth.clone()),
        allowed_origins: Arc::new(allowed_origins),
        secure: listening.tls.is_some(),
    }
}

fn tls(
    settings: Option<&TlsSettings>,
    listener: &'static str,
) -> Result<Option<ServerTls>, StartError> {
    let Some(TlsSettings {
        certificate,
        key,
        client_ca,
        ..
    }) = settings
    else {
        return Ok(None);
    };
    let built = match client_ca {
        Some(ca) => ServerTls::mutual_from_pem(certificate, key, ca),
        None => ServerTls::from_pem(certificate, key),
    };
    built
        .map(Some)
        .map_err(|source| StartError::Tls { listener, source })
}

fn limits(settings: &Settings, listener: &mut ServerConfig) {
    let from = &settings.config.server.limits;
    let (connections_max, per_ip_max) = connection_limits(settings);
    listener.limits.connections_max = connections_max;
    listener.limits.per_ip_max = per_ip_max;
    listener.limits.handshake_timeout = from.handshake_timeout;
    listener.limits.head = head_limits(settings);
}

/// Most connections of a listener, in all and per address.
fn connection_limits(settings: &Settings) -> (usize, usize) {
    let from = &settings.config.server.limits;
    let connections_max = match from.connections_max {
        0 => tidewire_config::connections_max(),
        limit => limit as usize,
    };
    let per_ip_max = match from.connections_per_ip_max {
        0 => usize::MAX,
        limit => limit as usize,
    };
    (connections_max, per_ip_max)
}

fn head_limits(settings: &Settings) -> HeadLimits {
    HeadLimits {
        bytes_max: settings.config.server.limits.head_bytes_max,
        fields_max: settings.config.server.limits.headers_max,
    }
}

/// How long a peer's system may acknowledge nothing: the standstill that is allowed with pongs, twice,
/// so that the end is told by a close frame where there is still somebody to hear it.
fn unacknowledged_timeout(settings: &Settings) -> Duration {
    settings.config.server.keep_alive.pong_timeout * 2
}

fn http_config(settings: &Settings) -> http::Config {
    let limits = &settings.config.server.limits;
    let too_many =
        r#"{"message":"too many answers are waiting to be read","status":503,"success":false}"#;
    let mut config = http::Config::default();
    // Only a connection's first request can become a WebSocket.
    config.keep_alive = false;
    config.head = head_limits(settings);
    config.head_timeout = limits.handshake_timeout;
    config.answer_timeout = limits.answer_timeout;
    config.answers =
        AnswerBudget::new(limits.answers_bytes_max).refuse_with("application/json", too_many);
    config
}

fn socket_config(settings: &Settings) -> SocketConfig {
    let server = &settings.config.server;
    let mut config = SocketConfig::default();
    config.message_bytes_max = server.limits.message_bytes_max;
    config.frame_bytes_max = server.limits.message_bytes_max;
    config.send_queue_bytes_max = server.limits.send_queue_bytes_max;
    config.control_rate = server.limits.control_rate();
    config.ping_interval = server.keep_alive.ping_interval;
    config.pong_timeout = server.keep_alive.pong_timeout;
    config.silence =
        tidewire::ws::CloseFrame::new(tidewire::ws::CloseCode(4010), "Dangling connection");
    config
}

fn echo_config(settings: &Settings) -> SocketConfig {
    let mut config = socket_config(settings);
    let limits = &settings.config.server.echo_limits;
    config.message_bytes_max = limits.message_bytes_max;
    config.frame_bytes_max = limits.message_bytes_max;
    config.fragments_max = limits.fragments_max;
    config
}

fn hub_config(settings: &Settings) -> HubConfig {
    let mailbox = &settings.config.mailbox;
    let mut config = settings.config.chat.clone();
    config.stores = mailbox.stores();
    config.mailbox_messages_max = usize::try_from(mailbox.user_messages_max).unwrap_or(usize::MAX);
    config
}

fn store_config(settings: &Settings) -> StoreConfig {
    let mut config = settings.config.mailbox.clone().opened();
    config.dir = PathBuf::from(&settings.config.data_dir);
    config
}
