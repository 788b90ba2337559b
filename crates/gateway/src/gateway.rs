//! [`Gateway`]: what all connections share.

use std::{
    net::IpAddr,
    sync::{Arc, Weak},
};

use parking_lot::{Mutex, MutexGuard, RwLock};
use tidewire::{
    Drain,
    memory::MemoryBudget,
    net::Address,
    ws::{ConnectionCounts, Refusal},
};
use tokio::{runtime::Handle, task::JoinSet};

use crate::{
    process::state::ProcessState,
    record::{access_log::AccessLog, sessions::Sessions},
    routing::{
        connections::{self, Admitted},
        table::Table,
        target::Target,
    },
    settings::{Listener, Settings},
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
    /// To backends, whatever endpoint they are of: each needs a descriptor.
    backends: Arc<connections::ConnectionCounts>,
    /// The memory that all of them may hold together.
    pub(crate) memory: MemoryBudget,
    processes: Mutex<Processes>,
    /// Where clients connect, with the ports that were picked.
    listening: RwLock<Vec<(Listener, Address)>>,
}

/// The processes of the endpoints.
#[derive(Debug, Default)]
struct Processes {
    reconcilers: JoinSet<()>,
    /// Not while a predecessor's still run: they would have the same addresses.
    started: bool,
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
            backends: Arc::new(connections::ConnectionCounts::of_backends()),
            memory: MemoryBudget::of_machine(),
            processes: Mutex::default(),
            listening: RwLock::default(),
        };
        limit(&gateway.memory, &table.settings);
        table.targets().iter().for_each(|it| gateway.begin(it));
        gateway
    }

    /// Begins to work for a target.
    fn begin(&self, target: &Target) {
        let mut processes = self.lock_processes();
        while processes.reconcilers.try_join_next().is_some() {}
        let reconciler = target.start(&self.runtime);
        processes.reconcilers.spawn_on(reconciler, &self.runtime);
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
        let mut reconcilers = {
            let mut processes = self.lock_processes();
            processes.started = false;
            std::mem::take(&mut processes.reconcilers)
        };
        let removed = removed.iter().filter_map(Weak::upgrade);
        for target in self.table().targets().iter().cloned().chain(removed) {
            target.retire();
            target.end_process();
        }
        while reconcilers.join_next().await.is_some() {}
    }

    fn lock_processes(&self) -> MutexGuard<'_, Processes> {
        self.processes.lock()
    }

    /// The routes as they are now.
    pub(crate) fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read())
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
        limit(&self.memory, &table.settings);
        *self.table.write() = table;
        for target in &gone {
            target.retire();
        }
        gone
    }

    /// A place for a connection to a backend, for a client of this address.
    pub(crate) fn admit_to_backend(&self, ip: Option<IpAddr>) -> Result<Admitted, Refusal> {
        let table = self.table();
        let limits = &table.settings.limits;
        self.backends.take(
            ip,
            limits.backend_connections_max,
            limits.backend_connections_per_ip_max,
        )
    }

    /// Connections to backends now.
    pub(crate) fn backend_connections(&self) -> usize {
        self.backends.count()
    }

    /// Where clients connect, with the ports that were picked.
    pub(crate) fn listening(&self) -> Vec<(Listener, Address)> {
        self.listening.read().clone()
    }

    pub(crate) fn set_listening(&self, now: Vec<(Listener, Address)>) {
        let mut listening = self.listening.write();
        *listening = now;
    }

    /// Where the gateway's own tasks run.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }
}

/// Bounds the memory that all clients may hold together.
fn limit(memory: &MemoryBudget, settings: &Settings) {
    let limits = &settings.limits;
    memory.set_limits(limits.memory_bytes_max, limits.memory_per_connection_max);
    let classic = settings.classic.enabled.then_some(&settings.classic);
    let largest = settings.endpoints.iter().flat_map(|it| {
        let resume = it.resume.as_ref();
        [
            it.rates.message_bytes_max,
            resume.map_or(0, |resume| resume.bytes_max),
        ]
    });
    let largest = largest.chain(classic.map(|classic| classic.message_bytes_max));
    let (share, message) = (memory.stats().share_bytes_max, largest.max().unwrap_or(0));
    if share < message {
        tracing::warn!(
            share,
            largest = message,
            "a connection may hold less than one largest message, so large ones end their connections with 1013: the process \
             has little memory (see RLIMIT_AS and the control group); lower classic.message_bytes_max and those of the \
             endpoints' rates and resume, or set limits.memory_per_connection_max"
        );
    }
}
