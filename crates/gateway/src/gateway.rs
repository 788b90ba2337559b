//! [`Gateway`]: what all connections share.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak},
};

use tidewire::{
    Drain,
    ws::{ConnectionCounts, Refusal, Request, TrustedProxies},
};
use tokio::{runtime::Handle, task::JoinSet};

use crate::{
    access_log::AccessLog,
    admin::ProcessState,
    forward, request,
    session::Sessions,
    settings::{Balance, Endpoint, HashKey, Listener, Settings},
    table::Table,
    target::Target,
};

/// A gateway at work.
#[derive(Debug)]
pub(crate) struct Gateway {
    table: RwLock<Arc<Table>>,
    /// Where the targets' checks run.
    runtime: Handle,
    pub(crate) sessions: Arc<Sessions>,
    /// The gateway stops: clients that can move without being cut may do so.
    pub(crate) draining: Drain,
    /// Of clients, whichever listener they came in at.
    pub(crate) connections: ConnectionCounts,
    processes: Mutex<Processes>,
    /// Where clients connect, with the ports that were picked.
    listening: RwLock<Vec<(Listener, SocketAddr)>>,
}

/// The processes of the endpoints.
#[derive(Debug, Default)]
struct Processes {
    keepers: JoinSet<()>,
    /// Not while a predecessor's still run: they would have the same addresses.
    started: bool,
}

/// Who connects, and where.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    pub(crate) request: Request,
    pub(crate) client: forward::Client,
    /// Where the client connected to.
    pub(crate) listener: SocketAddr,
}

impl Gateway {
    /// Begins to check upstreams on `runtime`.
    pub(crate) fn new(settings: Settings, log: AccessLog, runtime: Handle) -> Self {
        let table = Arc::new(Table::new(settings, None));
        let gateway = Self {
            table: RwLock::new(Arc::clone(&table)),
            runtime,
            sessions: Sessions::new(log),
            draining: Drain::new(),
            connections: ConnectionCounts::default(),
            processes: Mutex::default(),
            listening: RwLock::default(),
        };
        table.targets().iter().for_each(|it| gateway.begin(it));
        gateway
    }

    /// Begins to work for a target.
    fn begin(&self, target: &Target) {
        let mut processes = self.lock_processes();
        while processes.keepers.try_join_next().is_some() {}
        let keeper = target.start(&self.runtime);
        processes.keepers.spawn_on(keeper, &self.runtime);
        if processes.started {
            target.want_process();
        }
    }

    /// From now on the processes of the endpoints run.
    pub(crate) fn start_processes(&self) {
        let mut processes = self.lock_processes();
        processes.started = !self.draining.is_started();
        if processes.started {
            let table = self.table();
            table.targets().iter().for_each(|it| it.want_process());
        }
    }

    /// How the process of an endpoint stands; `None`: it has none.
    pub(crate) fn process(&self, endpoint: &str) -> Option<ProcessState> {
        self.table().by_name(endpoint)?.process.state()
    }

    /// Begins to restart the process of an endpoint; `false`: it has none.
    pub(crate) fn restart_process(&self, endpoint: &str) -> bool {
        let table = self.table();
        table
            .by_name(endpoint)
            .is_some_and(|target| target.process.restart())
    }

    /// Stops the processes of all endpoints, also of the `removed` ones, and waits until nothing is left
    /// of them. None is started again.
    ///
    /// # Cancel safety
    /// Not cancel safe: when dropped, the processes are killed.
    pub(crate) async fn stop_processes(&self, removed: &[Weak<Target>]) {
        let mut keepers = {
            let mut processes = self.lock_processes();
            processes.started = false;
            std::mem::take(&mut processes.keepers)
        };
        let removed = removed.iter().filter_map(Weak::upgrade);
        for target in self.table().targets().iter().cloned().chain(removed) {
            target.retire();
            target.end_process();
        }
        while keepers.join_next().await.is_some() {}
    }

    fn lock_processes(&self) -> MutexGuard<'_, Processes> {
        self.processes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The routes as they are now.
    pub(crate) fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the routes; targets of the same name live on. Returns those that do not. One call at a
    /// time.
    pub(crate) fn apply(&self, settings: Settings) -> Vec<Arc<Target>> {
        let before = self.table();
        let table = Arc::new(Table::new(settings, Some(&before)));
        let is_in = |table: &Table, target: &Arc<Target>| {
            table.targets().iter().any(|it| Arc::ptr_eq(it, target))
        };
        let new = table.targets().iter().filter(|it| !is_in(&before, it));
        new.for_each(|target| self.begin(target));
        let gone = before.targets().iter().filter(|it| !is_in(&table, it));
        let gone: Vec<_> = gone.cloned().collect();
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = table;
        for target in &gone {
            target.retire();
        }
        gone
    }

    /// Where clients connect, with the ports that were picked.
    pub(crate) fn listening(&self) -> Vec<(Listener, SocketAddr)> {
        let listening = self.listening.read();
        listening.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_listening(&self, now: Vec<(Listener, SocketAddr)>) {
        let mut listening = self
            .listening
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *listening = now;
    }

    /// Where the gateway's own tasks run.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }
}

impl Visitor {
    /// Reads who asks from a request that came in at `listener`.
    pub(crate) fn new(request: Request, listener: &Listener, address: SocketAddr) -> Self {
        let trusted = TrustedProxies {
            networks: listener.trusted_proxies.clone(),
            ..TrustedProxies::default()
        };
        let nearest = request.peer.client_address().map(|address| address.ip());
        let is_trusted = nearest.is_some_and(|ip| {
            let ip = ip.to_canonical();
            trusted.networks.iter().any(|network| network.contains(ip))
        });
        let told_secure = is_trusted
            && request::header(&request.head, "x-forwarded-proto")
                .is_some_and(|proto| matches!(proto, "https" | "wss"));
        Self {
            client: forward::Client {
                ip: tidewire::ws::client_ip(&request.peer, &request.head, &trusted),
                trusted_proxy: is_trusted,
                secure: request.peer.secure || told_secure,
            },
            request,
            listener: address,
        }
    }

    /// What the upstreams of `endpoint` are asked for this client, with `query` for them.
    pub(crate) fn ask(&self, endpoint: &Endpoint, query: Option<String>) -> crate::reach::Ask {
        let head = &self.request.head;
        let hashed = match &endpoint.balance {
            Balance::Hash(HashKey::Header(name)) => request::header(head, name).map(str::to_owned),
            Balance::Hash(HashKey::Query(name)) => {
                let value = query
                    .as_deref()
                    .and_then(|query| request::query_value(query, name));
                value.map(std::borrow::Cow::into_owned)
            }
            Balance::Hash(HashKey::Cookie(name)) => request::cookie(head, name).map(str::to_owned),
            Balance::Hash(HashKey::Ip) | Balance::RoundRobin | Balance::LeastConnections => None,
        };
        let source = self.client_address();
        let preface = endpoint
            .proxy_protocol
            .map(|version| forward::proxy_header(version, source, self.listener));
        crate::reach::Ask {
            headers: forward::headers(head, &self.request.peer, &self.client, endpoint),
            subprotocols: Vec::new(),
            path: head.path().to_owned(),
            query,
            strip_prefix: None,
            preface: preface.unwrap_or_default().into(),
            ip: self.client.ip,
            hashed: hashed.map(String::into_bytes),
        }
    }

    /// The client's address, with its port as far as that is known: a trusted proxy tells none.
    fn client_address(&self) -> Option<SocketAddr> {
        let nearest = self.request.peer.client_address()?;
        match self.client.ip {
            Some(ip) if ip.to_canonical() != nearest.ip().to_canonical() => Some((ip, 0).into()),
            Some(_) | None => Some(nearest),
        }
    }

    /// For access records: the trace that the request belongs to.
    pub(crate) fn trace(&self) -> Option<Box<str>> {
        request::trace(&self.request.head).map(Into::into)
    }

    /// For access records: method and path.
    pub(crate) fn request_line(&self) -> Box<str> {
        format!(
            "{} {}",
            self.request.head.method(),
            self.request.head.path()
        )
        .into()
    }
}

/// An endpoint that does not exist.
pub(crate) fn unknown(name: &str) -> Refusal {
    // Of a name that may be anything, no more than fits a line.
    let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    Refusal::new(404, format!("no endpoint is called {name:?}"))
}

/// The time, as upstreams are judged by it; virtual in tests.
pub(crate) fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}
