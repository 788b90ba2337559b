//! [`Shared`]: the two queues between a reconnecting client's task and its owner, and the wish to end.

use std::sync::Arc;

use super::{ClientEvent, outbox::Outbox};
use crate::{queue::Queue, service::Drain};

/// The state that the task and its owner share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) outbox: Arc<Outbox>,
    pub(super) events: Arc<Queue<ClientEvent>>,
    /// The owner wants to end: as soon as the outbox is empty.
    pub(super) closing: Drain,
}

impl Shared {
    /// While there is no connection, the wish to close is fulfilled once nothing is left to send.
    pub(super) async fn idle_close(&self) {
        self.closing.started().await;
        if !self.outbox.is_empty() {
            std::future::pending::<()>().await; // the outbox takes no more and only a connection empties it
        }
    }
}
