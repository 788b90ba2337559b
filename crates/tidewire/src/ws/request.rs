//! [`Request`]: an upgrade request, who sent it, and what was found out about it.

use std::{any::Any, sync::Arc};

use tidewire_proto::handshake::RequestHead;

use crate::net::Peer;

/// An upgrade request. Clones share its parts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// The request head.
    pub head: Arc<RequestHead>,
    /// Who sent it.
    pub peer: Arc<Peer>,
    pub(super) extensions: Extensions,
}

impl Request {
    /// A request without [extensions](Self::extension).
    pub fn new(head: impl Into<Arc<RequestHead>>, peer: impl Into<Arc<Peer>>) -> Self {
        Self {
            head: head.into(),
            peer: peer.into(),
            extensions: Extensions::default(),
        }
    }

    /// The value of type `T` that the endpoint's decision [attached](super::Decision::extension), for example who
    /// the user is.
    pub fn extension<T: Any + Send + Sync>(&self) -> Option<&T> {
        let mut values = self.extensions.0.iter();
        values.find_map(|value| value.downcast_ref())
    }
}

/// Values by type; few.
#[derive(Clone, Debug, Default)]
pub(super) struct Extensions(Vec<Arc<dyn Any + Send + Sync>>);

impl Extensions {
    /// Adds a value; one of the same type before it goes.
    pub(super) fn insert<T: Any + Send + Sync>(&mut self, value: T) {
        self.0.retain(|other| !other.is::<T>());
        self.0.push(Arc::new(value));
    }
}
