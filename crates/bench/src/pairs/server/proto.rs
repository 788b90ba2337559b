//! Servers of the FBE simple protocol: a response to every request.

use std::net::SocketAddr;

use tidewire::{
    fbe::{Handler, MessageRef, RunningServer, Server, ServerConfig, Session},
    service::{StartError, Workers},
    tcp,
};
use tokio::runtime::Runtime;

use super::{DRAINING, Drained, Publish};

pub(super) fn start(address: SocketAddr, workers: Workers) -> Result<RunningServer, StartError> {
    let config = tcp::ServerConfig::new(address.into()).workers(workers);
    Server::new(ServerConfig::with(config), |_session| Responses).start()
}

/// Answers requests with the length of their text and the hash 0, as the original's server does.
struct Responses;

impl Handler for Responses {
    fn received(&mut self, session: &mut Session<'_, '_>, message: MessageRef<'_>) {
        let MessageRef::Request { id, message } = message else {
            return;
        };
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        let response = MessageRef::Response {
            id,
            length,
            hash: 0,
        };
        if session.send(response).is_err() {
            session.abort();
        }
    }
}

impl Drained for RunningServer {
    fn local_addr(&self) -> SocketAddr {
        Self::local_addr(self)
    }

    fn drain(self: Box<Self>, runtime: &Runtime) {
        let _all_have_gone = runtime.block_on(Self::drain(*self, DRAINING));
    }

    fn publisher(&self) -> Option<Box<dyn Publish>> {
        None
    }
}
