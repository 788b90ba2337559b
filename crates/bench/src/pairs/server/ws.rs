//! WebSocket servers, in handler style.

use std::net::SocketAddr;

use tidewire::{
    service::{StartError, Workers},
    tls::ServerTls,
    ws::{
        Config, Handler, Handlers, MessageRef, Request, RunningServer, Server, ServerConfig,
        Session, TooSlow, Topic, WebSocket,
    },
};
use tokio::runtime::Runtime;

use super::{
    super::scenario::{Benchmark, ServerSettings},
    DRAINING, Drained, Publish,
};

pub(super) fn start(
    settings: &ServerSettings,
    address: SocketAddr,
    workers: Workers,
    tls: Option<ServerTls>,
) -> Result<RunningServer, StartError> {
    let mut config = ServerConfig::new(address.into());
    config.workers = workers;
    config.tls = tls;
    config.socket = Config::default().into();
    // As of the original: up to 1 MiB waits for a client; what comes then is dropped for it.
    config.everyone.backlog_bytes_max = 1 << 20;
    config.everyone.too_slow = TooSlow::Skip;
    let server = Server::new(config);
    match settings.pair.benchmark() {
        Benchmark::Multicast => server.route_any(listen),
        Benchmark::Echo | Benchmark::Trace => server.route_any(Handlers(|_request: &Request| Echo)),
    }
    .start()
}

/// Sends every message back, as binary like the original's server.
struct Echo;

impl Handler for Echo {
    #[inline]
    fn message(&mut self, session: &mut Session<'_>, message: MessageRef<'_>) {
        // Refused only once the connection is closing.
        session.send_binary(message.payload()).ok();
    }
}

/// Takes what clients send, which is nothing, so that what is sent to everybody goes out.
async fn listen(mut socket: WebSocket) {
    while let Ok(Some(_message)) = socket.recv().await {}
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
        Some(Box::new(self.everyone().clone()))
    }
}

impl Publish for Topic {
    fn publish(&self, message: &[u8], count: u64) {
        for _ in 0..count {
            self.publish_binary(message);
        }
    }
}
