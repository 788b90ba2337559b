//! Ours without WebSocket: the plain loop over `tcp::Connection`, and `tcp::Handler`s. The first byte of a connection
//! tells what it is for.

use std::{net::Ipv4Addr, num::NonZeroUsize};

use tidewire::{
    service::Workers,
    tcp::{Connection, Handler, RunningServer, Server, ServerConfig, Session},
    tls::ServerTls,
};

use super::{Options, Role};

/// The plain loop; serves until killed.
pub(super) fn run_loop(options: &Options) -> anyhow::Result<()> {
    forever(&Server::new(config(options)?, serve).start()?)
}

/// Handlers; serves until killed.
pub(super) fn run_handlers(options: &Options) -> anyhow::Result<()> {
    let server = Server::handlers(config(options)?, |_session| Served(None));
    forever(&server.start()?)
}

fn config(options: &Options) -> anyhow::Result<ServerConfig> {
    let config = ServerConfig::new((Ipv4Addr::LOCALHOST, options.port).into())
        .workers(Workers::PerCore(NonZeroUsize::MIN));
    Ok(match (&options.cert, &options.key) {
        (Some(cert), Some(key)) => config.tls(ServerTls::from_pem(cert, key)?),
        _ => config,
    })
}

/// The server has its own thread; this one lives as long as the process.
fn forever(server: &RunningServer) -> anyhow::Result<()> {
    loop {
        std::thread::park();
        anyhow::ensure!(server.local_addr().port() != 0, "it never ends by itself");
    }
}

async fn serve(mut connection: Connection) {
    let Ok(Some(first)) = connection.recv_exact(1).await else {
        return;
    };
    let role = Role::of_byte(first[0]);
    let everybody = connection.broadcaster();
    while let Ok(Some(bytes)) = connection.recv().await {
        match (role, &everybody) {
            (Role::Publish, Some(everybody)) => everybody.send(&bytes),
            (Role::Publish | Role::Receive, _) => {}
            (Role::Echo, _) => {
                if connection.send(bytes).await.is_err() {
                    return;
                }
            }
        }
    }
}

struct Served(Option<Role>);

impl Handler for Served {
    fn received(&mut self, session: &mut Session<'_>, mut bytes: &[u8]) {
        let role = *self.0.get_or_insert_with(|| {
            let role = Role::of_byte(bytes[0]);
            bytes = &bytes[1..];
            role
        });
        match role {
            // An error ends the connection by itself.
            Role::Echo => {
                session.send(bytes).ok();
            }
            Role::Publish => session.broadcast(bytes),
            Role::Receive => {}
        }
    }
}
