//! UDP servers: echo in handler style, and one that sends to a multicast group.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tidewire::{
    service::Workers,
    udp::{
        DatagramRef, Handler, Interface, RunningServer, Sender, Server, ServerConfig, Session,
        StartError,
    },
};
use tokio::runtime::Runtime;

use super::{super::scenario::ServerSettings, DRAINING, Drained, Publish};

/// Sends every datagram back.
pub(super) fn start(
    settings: &ServerSettings,
    address: SocketAddr,
    workers: Workers,
) -> Result<UdpServer, StartError> {
    let is_group = settings.pair.is_group();
    let listen = match address.ip() {
        _ if !is_group => address,
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let mut config = ServerConfig::new(listen);
    config.workers = workers;
    config.socket.multicast.interface = Interface::from(settings.interface.as_str());
    let running = Server::handlers(config, |_sender| Echo).start()?;
    Ok(UdpServer {
        running,
        group: is_group.then_some(address),
    })
}

/// A server, and where it sends to by itself.
pub(super) struct UdpServer {
    running: RunningServer,
    group: Option<SocketAddr>,
}

struct Echo;

impl Handler for Echo {
    #[inline]
    fn received(&mut self, session: &mut Session<'_>, datagram: DatagramRef<'_>) {
        // Full: lost like one that the system drops.
        session.reply(datagram.payload).ok();
    }
}

impl Drained for UdpServer {
    fn local_addr(&self) -> SocketAddr {
        self.group.unwrap_or_else(|| self.running.local_addr())
    }

    fn drain(self: Box<Self>, runtime: &Runtime) {
        // Whatever is left by then is dropped.
        let _all_have_gone = runtime.block_on(self.running.drain(DRAINING));
    }

    fn publisher(&self) -> Option<Box<dyn Publish>> {
        let to = self.group?;
        let sender = self.running.sender();
        Some(Box::new(ToGroup { sender, to }))
    }
}

struct ToGroup {
    sender: Sender,
    to: SocketAddr,
}

impl Publish for ToGroup {
    fn publish(&self, message: &[u8], count: u64) {
        // What does not fit into the queue is skipped, as by the original.
        self.sender
            .try_send_many(|batch| {
                for _ in 0..count {
                    if batch.send_to(message, self.to).is_err() {
                        break;
                    }
                }
            })
            .ok();
    }
}
