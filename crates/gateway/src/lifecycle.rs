//! Start, reload, drain, stop.
//!
//! In: settings. Out: a [`Running`] gateway. Invariant: a reload or a drain of one endpoint touches no
//! socket of another.

use std::{
    fmt, io,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tidewire::{
    runtime::Workers,
    ws::{CloseCode, RunningServer, Server, ServerConfig},
};
use tokio::time::{Instant, interval};

use crate::{
    access_log::AccessLog,
    admin::{self, Owner},
    entrance::{self, Door},
    gateway::Gateway,
    settings::{Listener, Settings},
};

/// A gateway cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A listener cannot be bound.
    #[error("cannot listen")]
    Listen(#[from] tidewire::ws::StartError),
    /// The admin listener would let everybody in from everywhere.
    #[error("the admin listener at {0} is not on loopback and needs authentication")]
    AdminOpen(SocketAddr),
    /// The access log cannot be opened.
    #[error("cannot open the access log")]
    AccessLog(#[source] io::Error),
}

/// A gateway that serves clients until it is [stopped](Self::stop).
pub struct Running {
    gateway: Arc<Gateway>,
    servers: Vec<RunningServer>,
    admin: Option<RunningServer>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("addresses", &self.addresses())
            .finish_non_exhaustive()
    }
}

/// Binds all listeners and begins to serve.
///
/// # Errors
/// [`StartError`]; then nothing is left running.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn start(settings: Settings) -> Result<Running, StartError> {
    let log = AccessLog::open(settings.access_log.as_ref()).map_err(StartError::AccessLog)?;
    let listeners = settings.listeners.clone();
    let config = |listener: &Listener| server_config(listener, &settings);
    let configs: Vec<_> = listeners.iter().map(config).collect();
    let gateway = Arc::new(Gateway::new(settings, log));
    let mut servers = Vec::new();
    for (listener, config) in listeners.into_iter().zip(configs) {
        servers.push(serve(&gateway, listener, config)?);
    }
    Ok(Running {
        gateway,
        servers,
        admin: None,
    })
}

fn server_config(listener: &Listener, settings: &Settings) -> ServerConfig {
    let mut config = ServerConfig::new(listener.address);
    config.workers = match settings.workers.and_then(NonZeroUsize::new) {
        Some(workers) => Workers::PerCore(workers),
        None => Workers::per_core(),
    };
    config.proxy_protocol = listener.proxy_protocol.clone();
    config.tls.clone_from(&listener.tls);
    config.http2 = listener.http2;
    let limits = &settings.limits;
    config.limits.connections_max = limits.connections_max;
    config.limits.per_ip_max = limits.per_ip_max;
    config.limits.handshake_within = limits.handshake_within;
    config.limits.write_within = limits.write_within;
    config
}

fn serve(
    gateway: &Arc<Gateway>,
    listener: Listener,
    config: ServerConfig,
) -> Result<RunningServer, StartError> {
    let gateway = Arc::clone(gateway);
    let door = Arc::new(Door {
        listener,
        address: OnceLock::new(),
    });
    let ours = Arc::clone(&door);
    let interceptor = Arc::new(move |opening| {
        let enter = entrance::enter(Arc::clone(&gateway), Arc::clone(&ours), opening);
        Box::pin(enter) as _
    });
    let server = Server::new(config).intercept(interceptor).start()?;
    door.address.get_or_init(|| server.local_addr());
    Ok(server)
}

impl Running {
    /// Where it listens, with the ports that were picked.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.servers.iter().map(RunningServer::local_addr).collect()
    }

    /// Begins to serve the [admin listener](crate::settings::Settings::admin), if one is wanted; `owner` is asked
    /// for what it cannot do itself. Returns its address, with the port that was picked.
    ///
    /// # Errors
    /// [`StartError`]; the gateway itself goes on.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn serve_admin(&mut self, owner: Arc<dyn Owner>) -> Result<Option<SocketAddr>, StartError> {
        let settings = Arc::clone(&self.gateway.table().settings);
        let Some(admin) = &settings.admin else {
            return Ok(None);
        };
        let gateway = Arc::clone(&self.gateway);
        let server = admin::start(admin, gateway, owner, &self.addresses())?;
        let address = server.local_addr();
        self.admin = Some(server);
        Ok(Some(address))
    }

    /// Takes other settings: endpoints, routes and limits change for what comes; open connections stay.
    pub fn reload(&self, settings: Settings) {
        self.gateway.reload(settings);
    }

    /// Stops accepting, ends the sessions at the pace of [`Drain`](crate::settings::Drain) with 1012, and waits for
    /// them. Returns whether all ended in time.
    ///
    /// # Cancel safety
    /// Not cancel safe: when dropped, connections are cut.
    pub async fn stop(mut self) -> bool {
        for server in &mut self.servers {
            server.start_drain();
        }
        let drain = self.gateway.table().settings.drain;
        let deadline = Instant::now() + drain.within;
        self.end_sessions(drain.per_second).await;
        let mut finished = true;
        for server in self.servers {
            let left = deadline.saturating_duration_since(Instant::now());
            finished &= server.drain(left.max(Duration::from_secs(1))).await;
        }
        // Last, so that the end can be watched.
        if let Some(admin) = self.admin {
            finished &= admin.drain(Duration::from_secs(1)).await;
        }
        self.gateway.sessions.log().close();
        finished
    }

    /// Asks all sessions to end, so many per second.
    async fn end_sessions(&self, per_second: u32) {
        let per_second = per_second.max(1);
        let tick = Duration::from_secs(1) / per_second.min(100);
        let at_a_time = per_second.div_ceil(100) as usize;
        let mut ticks = interval(tick);
        for records in self.gateway.sessions.all().chunks(at_a_time) {
            ticks.tick().await;
            for record in records {
                record.end(CloseCode::SERVICE_RESTART, "the gateway restarts");
            }
        }
    }
}
