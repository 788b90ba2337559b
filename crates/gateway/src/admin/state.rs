//! What the handlers of the API share.

use std::{collections::BTreeSet, sync::Arc};

use parking_lot::Mutex;

use tokio::time::Instant;

use super::{metrics::Metrics, owner::Owner};
use crate::gateway::Gateway;

/// What the handlers need.
#[derive(Debug)]
pub(super) struct AdminState {
    pub(super) gateway: Arc<Gateway>,
    pub(super) owner: Arc<dyn Owner>,
    pub(super) started: Instant,
    pub(super) metrics: Metrics,
    /// Endpoints and upstreams whose drain is under way: one at a time each.
    pub(super) draining: Mutex<BTreeSet<String>>,
}

pub(super) type Shared = Arc<AdminState>;
