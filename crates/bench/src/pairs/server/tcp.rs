//! Servers of bytes over TCP and TLS, in handler style.

use std::net::SocketAddr;

use tidewire::{
    service::{StartError, Workers},
    tcp::{Broadcaster, Handler, RunningServer, Server, ServerConfig, Session, TooSlow},
    tls::ServerTls,
};
use tokio::runtime::Runtime;

use super::{DRAINING, Drained, Publish};

pub(super) fn start(
    address: SocketAddr,
    workers: Workers,
    tls: Option<ServerTls>,
) -> Result<RunningServer, StartError> {
    let mut config = ServerConfig::new(address.into()).workers(workers).tls(tls);
    // As of the original: up to 1 MiB waits for a client; what comes then is dropped for it.
    config.broadcast.backlog_bytes_max = 1 << 20;
    config.broadcast.too_slow = TooSlow::Skip;
    // The clients of a multicast send nothing that could come back.
    Server::handlers(config, |_session| Echo).start()
}

/// Sends everything back.
struct Echo;

impl Handler for Echo {
    #[inline]
    fn received(&mut self, session: &mut Session<'_>, bytes: &[u8]) {
        if session.send(bytes).is_err() {
            session.abort();
        }
    }
}

impl Drained for RunningServer {
    fn local_addr(&self) -> SocketAddr {
        self.local_addr()
    }

    fn drain(self: Box<Self>, runtime: &Runtime) {
        // Whoever has not gone by then is cut.
        let _all_have_gone = runtime.block_on((*self).drain(DRAINING));
    }

    fn publisher(&self) -> Option<Box<dyn Publish>> {
        Some(Box::new(self.broadcaster()))
    }
}

impl Publish for Broadcaster {
    fn publish(&self, message: &[u8], count: u64) {
        for _ in 0..count {
            self.send(message);
        }
    }
}
