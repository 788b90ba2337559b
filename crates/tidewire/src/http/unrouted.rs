//! A request on its way to an HTTP server.

use std::{pin::Pin, sync::Arc};

use bytes::Bytes;

use super::head::Received;
use crate::{
    net::{Peer, Rewind, Stream},
    service::{Drain, ProxiedClients},
};

/// A connection whose first request is no WebSocket upgrade.
#[derive(Debug)]
#[non_exhaustive]
pub struct Unrouted {
    /// The stream, the request's bytes put back in front.
    pub stream: Rewind<Stream>,
    /// Who sent it.
    pub peer: Arc<Peer>,
    /// Started when the server drains.
    pub drain: Drain,
    #[cfg_attr(
        not(feature = "http"),
        expect(dead_code, reason = "read by the HTTP server, which is a feature")
    )]
    pub(crate) clients: ProxiedClients,
}

/// Serves the requests that are no upgrade.
pub type Fallback = Arc<dyn Fn(Unrouted) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

impl Unrouted {
    /// Puts back what was read.
    pub(crate) fn new(received: Received, drain: Drain, clients: ProxiedClients) -> Self {
        let mut before = received.head.as_bytes().to_vec();
        before.extend_from_slice(&received.leftover);
        Self {
            stream: Rewind::new(Bytes::from(before), received.stream),
            peer: received.peer,
            drain,
            clients,
        }
    }
}
