//! [`Listeners`]: connections and WebSockets as the listeners count them.

use std::sync::{Arc, OnceLock, Weak};

use tidewire::{
    net::ConnectionCounts,
    ws::{RunningServer, ServerStats},
};

/// Counters of the listeners.
#[derive(Clone)]
pub(crate) struct Listeners {
    messaging: Weak<OnceLock<Vec<RunningServer>>>,
    /// By the `listener` label.
    pub(super) connections: [(&'static str, ConnectionCounts); 3],
}

impl Listeners {
    /// `messaging` is filled when those listeners have started.
    pub(crate) fn new(messaging: &Arc<OnceLock<Vec<RunningServer>>>) -> Self {
        let counts = |listener| (listener, ConnectionCounts::default());
        Self {
            messaging: Arc::downgrade(messaging),
            connections: ["messaging", "rest", "admin"].map(counts),
        }
    }

    /// Of the messaging listeners together.
    pub(crate) fn counts(&self) -> &ConnectionCounts {
        let [(_, messaging), _, _] = &self.connections;
        messaging
    }

    pub(crate) fn rest(&self) -> &ConnectionCounts {
        let [_, (_, rest), _] = &self.connections;
        rest
    }

    pub(crate) fn admin(&self) -> &ConnectionCounts {
        let [_, _, (_, admin)] = &self.connections;
        admin
    }

    /// Counts of the messaging listeners, once there are some.
    pub(crate) fn messaging(&self) -> ServerStats {
        let messaging = self.messaging.upgrade();
        let servers = messaging.as_ref().and_then(|servers| servers.get());
        let mut sum = ServerStats::default();
        for stats in servers.into_iter().flatten().map(RunningServer::stats) {
            // One count of connections for all.
            sum.connections = stats.connections;
            sum.sessions += stats.sessions;
            sum.opened += stats.opened;
            sum.refused += stats.refused;
        }
        sum
    }
}
