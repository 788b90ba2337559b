//! A backend that is killed and started again: this program, as a child, that echoes.

use std::{
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;
use tidewire::ws::{Server, ServerConfig, WebSocket};

/// Options of `backend`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where to listen on loopback; 0 picks a port.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

/// Echoes until it is killed. Its port is the first line it prints.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
        let server = Server::new(ServerConfig::new(address))
            .route_any(echo)
            .start()?;
        println!("{}", server.local_addr().port());
        std::future::pending().await
    })
}

async fn echo(mut socket: WebSocket) {
    while let Ok(Some(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            break;
        }
    }
}

/// A running backend. Dropping it kills it.
pub(super) struct Backend {
    child: Child,
    pub(super) port: u16,
}

impl Backend {
    /// Starts one and waits until it listens; port 0 picks one.
    pub(super) fn start(port: u16) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["backend", "--port", &port.to_string()])
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().context("the child's output is piped")?;
        let mut backend = Self { child, port };
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        let told = line.trim().parse();
        backend.port = told.context("a backend ended before it listened")?;
        Ok(backend)
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.kill();
    }
}
