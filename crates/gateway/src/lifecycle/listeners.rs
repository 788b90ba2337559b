//! [`Listeners`]: the addresses clients connect to.
//!
//! In: settings, and perhaps sockets that another process has bound. Out: servers at work. A change has two steps:
//! [`prepare`](Listeners::prepare) does all that can fail and changes nothing, [`apply`](Listeners::apply)
//! cannot fail. Invariant: a socket stays bound while the settings name its address, whatever else of
//! the listener changes; sessions of a removed listener go on.

use std::{
    mem,
    num::NonZeroUsize,
    sync::{Arc, OnceLock},
};

use tidewire::{
    net::{self, Address},
    service::Workers,
    tls::Adopted,
    ws::{RunningServer, Server, ServerConfig},
};
use tidewire_handover::{Bound, Role};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout_at},
};

use crate::{
    ambient::activated_or,
    client::dispatch::{self, EntryPoint},
    error::StartError,
    gateway::Gateway,
    lifecycle::reload::Changed,
    settings::{Listener, Settings},
};

/// Most removed listeners whose sessions are still there: each has threads.
const RETIRED_MAX: usize = 32;

/// Where clients connect.
#[derive(Debug)]
pub(crate) struct Listeners {
    gateway: Arc<Gateway>,
    open: Vec<Open>,
    /// Removed ones: each ends with its last session, or at the deadline told here.
    retired: JoinSet<bool>,
    deadline: watch::Sender<Option<Instant>>,
}

/// A listener at work.
#[derive(Debug)]
struct Open {
    listener: Listener,
    server: RunningServer,
}

/// What [`Listeners::apply`] will do.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Listeners that come, in the order of the settings; `None` where one stays.
    new: Vec<Option<Open>>,
    /// Which of the listeners that are there stays, in the order of the settings.
    stays: Vec<Option<usize>>,
}

impl Listeners {
    pub(crate) fn new(gateway: Arc<Gateway>) -> Self {
        Self {
            gateway,
            open: Vec::new(),
            retired: JoinSet::new(),
            deadline: watch::Sender::new(None),
        }
    }

    /// Binds what is new, or takes it from `given`, and begins to serve it.
    ///
    /// # Errors
    /// [`StartError`]; then nothing has changed.
    pub(crate) fn prepare(
        &mut self,
        settings: &Settings,
        given: &mut Vec<Bound>,
    ) -> Result<Plan, StartError> {
        while self.retired.try_join_next().is_some() {}
        let mut left: Vec<_> = (0..self.open.len()).collect();
        let mut stays = Vec::new();
        for listener in &settings.listeners {
            // Port 0 may be there twice: the first is the first.
            let known = left
                .iter()
                .position(|index| self.open[*index].listener.address == listener.address);
            stays.push(known.map(|position| left.remove(position)));
        }
        if self.retired.len() + left.len() > RETIRED_MAX && !left.is_empty() {
            return Err(StartError::Retired);
        }
        // All are bound before the first one serves: most failures happen here.
        let mut bound = Vec::new();
        for (listener, stays) in settings.listeners.iter().zip(&stays) {
            if stays.is_some() {
                bound.push(None);
                continue;
            }
            let entry_point = EntryPoint::new(listener.clone());
            let server = server(&self.gateway, &entry_point, settings);
            let sockets = match take(given, &listener.address) {
                Some(sockets) => sockets,
                None => activated_or(&listener.address, || server.bind())?,
            };
            bound.push(Some((server, entry_point, sockets)));
        }
        let mut new = Vec::new();
        for bound in bound {
            let Some((server, entry_point, sockets)) = bound else {
                new.push(None);
                continue;
            };
            let server = server.start_on(sockets)?;
            entry_point.address.get_or_init(|| server.address().clone());
            let listener = entry_point.listener.clone();
            new.push(Some(Open { listener, server }));
        }
        Ok(Plan { new, stays })
    }

    /// Does what was planned. Returns what has changed.
    pub(crate) fn apply(&mut self, plan: Plan, settings: &Settings, before: &Settings) -> Changed {
        let mut changed = Changed::default();
        let mut known: Vec<_> = mem::take(&mut self.open).into_iter().map(Some).collect();
        let wanted = settings.listeners.iter();
        for ((listener, new), stays) in wanted.zip(plan.new).zip(plan.stays) {
            let stays = stays.and_then(|index| known.get_mut(index)?.take());
            let Some(mut open) = stays else {
                let added = new.iter().map(|open| open.listener.address.to_string());
                changed.added.extend(added);
                self.open.extend(new);
                continue;
            };
            if let (Some(tls), Some(fresh)) = (&open.listener.tls, &listener.tls)
                && tls == fresh
                && tls.adopt(fresh) == Adopted::Renewed
            {
                let address = &listener.address;
                changed.changed.push(format!("certificate of {address}"));
            }
            if open.listener != *listener || settings.limits != before.limits {
                if open.listener != *listener {
                    changed.changed.push(listener.address.to_string());
                }
                open.reconfigure(&self.gateway, listener, settings);
            }
            self.open.push(open);
        }
        for gone in known.into_iter().flatten() {
            changed.removed.push(gone.listener.address.to_string());
            self.retire(gone.server);
        }
        let listening = self.open.iter();
        let listening =
            listening.map(|open| (open.listener.clone(), open.server.address().clone()));
        self.gateway.set_listening(listening.collect());
        changed
    }

    /// Where they are, in the order of the settings.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        let servers = self.open.iter().map(|open| &open.server);
        servers.map(|server| server.address().clone()).collect()
    }

    /// The sockets, for a process that succeeds this one.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub(crate) fn bound(&self) -> std::io::Result<Vec<Bound>> {
        let bound = |open: &Open| {
            Bound::of(
                Role::Clients,
                open.listener.address.clone(),
                open.server.listeners(),
            )
        };
        self.open.iter().map(bound).collect()
    }

    /// Nothing is accepted any more; what was accepted goes on.
    pub(crate) fn stop_accepting(&mut self) {
        for open in mem::take(&mut self.open) {
            self.retire(open.server);
        }
    }

    /// Waits until everything has ended; call [`stop_accepting`](Self::stop_accepting) before.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn ended(&mut self) -> bool {
        let mut finished = true;
        while let Some(ended) = self.retired.join_next().await {
            finished &= ended.unwrap_or(false);
        }
        finished
    }

    /// What remains then is cut.
    pub(crate) fn end_until(&self, deadline: Instant) {
        self.deadline.send_replace(Some(deadline));
    }

    /// Lets the server go on until its last session has ended.
    fn retire(&mut self, mut server: RunningServer) {
        server.stop_accepting();
        let mut deadlines = self.deadline.subscribe();
        let end = async move {
            let deadline = async {
                let told = deadlines.wait_for(Option::is_some).await;
                // Without a deadline to come the gateway was dropped.
                let deadline = told.ok().and_then(|deadline| *deadline);
                if let Some(deadline) = deadline {
                    tokio::time::sleep_until(deadline).await;
                }
            };
            let finished = tokio::select! {
                () = server.ended() => true,
                () = deadline => false,
            };
            // Joins the threads.
            let cut = Instant::now();
            let drained = timeout_at(cut + JOINED_WITHIN, server.drain(JOINED_WITHIN / 2)).await;
            finished && drained.unwrap_or(false)
        };
        self.retired.spawn_on(end, self.gateway.runtime());
    }
}

/// How long connections that are cut may take to notice.
const JOINED_WITHIN: std::time::Duration = std::time::Duration::from_secs(1);

impl Open {
    /// New connections are served as told now.
    fn reconfigure(&mut self, gateway: &Arc<Gateway>, listener: &Listener, settings: &Settings) {
        let entry_point = EntryPoint::new(listener.clone());
        entry_point
            .address
            .get_or_init(|| self.server.address().clone());
        self.server
            .reconfigure(&server(gateway, &entry_point, settings));
        self.listener.clone_from(listener);
    }
}

/// The sockets that were given for this address.
fn take(given: &mut Vec<Bound>, address: &Address) -> Option<Vec<net::Listener>> {
    let position = given.iter().position(|it| {
        let is_for_clients = it.role == Role::Clients;
        is_for_clients && it.configured == *address
    })?;
    Some(given.remove(position).sockets)
}

fn server(gateway: &Arc<Gateway>, entry_point: &Arc<EntryPoint>, settings: &Settings) -> Server {
    let mut config = server_config(&entry_point.listener, settings);
    config.memory = gateway.memory.clone();
    let server = Server::new(config);
    let server = server.count_with(&gateway.connections);
    let server = match &settings.health_path {
        Some(path) => server.health_path(path),
        None => server,
    };
    let (noting, ours) = (Arc::clone(gateway), Arc::clone(entry_point));
    let server = server.on_refused(Arc::new(move |refused| {
        dispatch::note_refused(&noting, &ours, refused);
    }));
    let (gateway, ours) = (Arc::clone(gateway), Arc::clone(entry_point));
    let interceptor = Arc::new(move |opening| {
        let enter = dispatch::dispatch(Arc::clone(&gateway), Arc::clone(&ours), opening);
        Box::pin(enter) as _
    });
    server.intercept(interceptor)
}

fn server_config(listener: &Listener, settings: &Settings) -> ServerConfig {
    let mut config = ServerConfig::new(listener.address.clone());
    config.unix.clone_from(&listener.unix);
    config.workers = match settings.workers.and_then(NonZeroUsize::new) {
        Some(workers) => Workers::PerCore(workers),
        None => Workers::per_core(),
    };
    config.proxy_protocol = listener.proxy_protocol.clone();
    config.trusted_proxies = listener.proxies();
    config.tls.clone_from(&listener.tls);
    config.http2 = listener.http2;
    let limits = &settings.limits;
    config.limits.connections_max = limits.connections_max;
    config.limits.per_ip_max = limits.per_ip_max;
    config.limits.handshake_timeout = limits.handshake_timeout;
    config.limits.head = limits.head;
    config.limits.write_timeout = limits.write_timeout;
    config
}

impl EntryPoint {
    fn new(listener: Listener) -> Arc<Self> {
        Arc::new(Self {
            listener,
            address: OnceLock::new(),
        })
    }
}
