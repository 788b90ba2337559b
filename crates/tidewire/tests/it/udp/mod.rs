//! UDP over loopback sockets.

mod echo; // servers and clients, exact counts
mod hooks; // in which order a handler is called
mod multicast; // groups and sources
mod limits; // empty, largest, too large, full
mod lost; // nobody listens, floods
mod restart; // drain, start again, random operations
#[cfg(feature = "blocking")]
mod blocking; // calls that block

use std::{net::SocketAddr, time::Duration};

use tidewire::{
    service::Workers,
    udp::{
        Client, Datagram, DatagramRef, Handler, RunningServer, Server, ServerConfig, Session,
        Socket,
    },
};

/// Only so that a test that hangs ends.
const HANG_GUARD: Duration = Duration::from_mins(1);

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG_GUARD, future)
        .await
        .expect("it hangs")
}

struct Echo;

impl Handler for Echo {
    fn received(&mut self, session: &mut Session<'_>, datagram: DatagramRef<'_>) {
        session.reply(datagram.payload).unwrap();
    }
}

async fn echo(mut socket: Socket) {
    while let Ok(Some(datagram)) = socket.recv().await {
        // Who has gone is not answered.
        socket.reply(&datagram.origin, &datagram.payload).await.ok();
    }
}

/// Of the test's own thread, so that nothing happens meanwhile.
fn config(address: &str) -> ServerConfig {
    ServerConfig::new(address.parse().unwrap()).workers(Workers::Pool)
}

fn echo_server(address: &str) -> RunningServer {
    Server::handlers(config(address), |_| Echo).start().unwrap()
}

async fn client(address: SocketAddr) -> Socket {
    Client::to(address).connect().await.unwrap()
}

async fn receive(socket: &mut Socket) -> Datagram {
    within(socket.recv()).await.unwrap().unwrap()
}

async fn drain(server: RunningServer) {
    assert!(server.drain(HANG_GUARD).await);
}
