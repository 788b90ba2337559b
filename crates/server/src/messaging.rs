//! The messaging listeners: what each serves, where, and their counts together.
//!
//! In: settings, and the parts that all listeners share. Out: servers that are not bound yet. A reload makes them anew.

use std::{num::NonZeroUsize, sync::Arc};

use tidewire::{
    http,
    memory::MemoryBudget,
    net::Address,
    service::Workers,
    ws::{ProxyProtocol, RefusalObserver, Server, ServerConfig},
};
use tidewire_dialect::Classic;
use tidewire_engine::Mailbox;
use tidewire_hub::Hub;

use crate::{
    access::Access,
    chat::{Admission, Chat},
    config::{AllowedOrigins, ListenerSettings, Runtime, Settings},
    echo::Echo,
    limits::{behaviour, echo_config, limit, limits, socket_config, unacknowledged_timeout},
    shaping::{Hook, Shaping},
    tickets::Tickets,
    web,
};

/// The parts that messaging listeners share, and keep through a reload.
#[derive(Clone, Copy)]
pub(crate) struct Kept<'a> {
    pub(crate) memory: &'a MemoryBudget,
    pub(crate) tickets: &'a Arc<Tickets>,
    pub(crate) shaping: &'a Arc<Shaping>,
}

pub(crate) fn messaging_server(
    settings: &Settings,
    listening: &ListenerSettings,
    (hub, mailbox): (&Arc<Hub>, &Arc<dyn Mailbox>),
    options: http::Config,
    kept: Kept<'_>,
) -> Server {
    let server = &settings.config.server;
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
    listener.http2 = listening.http2;
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
        reasons.refused_request(refused.refusal.status, client, request);
    })
}

pub(crate) fn messaging_urls(
    settings: &Settings,
    listening: &ListenerSettings,
    address: &Address,
    urls: &mut Vec<(&'static str, String)>,
) {
    let server = &settings.config.server;
    let (ws, http) = if listening.tls.is_some() {
        ("wss", "https")
    } else {
        ("ws", "http")
    };
    let is_first = urls.is_empty();
    urls.push(("messaging", address.url(ws, &server.endpoint)));
    if !is_first {
        return;
    }
    if server.web_chat {
        urls.push(("web chat", address.url(http, "/")));
    }
    if server.echo {
        urls.push(("echo", address.url(ws, "/echo")));
    }
}

/// Who gets in at a listener, of whichever side.
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
