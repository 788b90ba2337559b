//! A backend that is killed and started again, or stopped for a while: this program, as a child, that echoes, or that does
//! worse.

use std::{
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, ensure};
use clap::ValueEnum as _;
use tidewire::ws::{Server, ServerConfig, WebSocket};

use super::wild::{self, Behaviour};

/// Options of `backend`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where to listen on loopback; 0 picks a port.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The endpoint it stands behind: the canary with which every message must begin.
    #[arg(long)]
    name: String,
    /// What it does with its connections.
    #[arg(long, value_enum, default_value = "echo")]
    behaviour: Behaviour,
}

/// Serves until it is killed. Its port is the first line it prints.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
        if options.behaviour != Behaviour::Echo {
            return wild::serve(address, options.behaviour).await;
        }
        let name = options.name.clone();
        let server = Server::new(ServerConfig::new(address.into()))
            .route_any(move |socket: WebSocket| echo(socket, name.clone()))
            .start()?;
        println!("{}", server.local_addr().port());
        std::future::pending().await
    })
}

/// A message that is meant for another endpoint is not sent back as it came, so that its sender notices.
async fn echo(mut socket: WebSocket, name: String) {
    while let Ok(Some(message)) = socket.recv().await {
        let text = message.as_text().unwrap_or_default();
        let canary = text.split(' ').next();
        let sent = if canary == Some(&name) {
            socket.send(message).await
        } else {
            let text = format!("foreign at {name}: {text}");
            socket.send(text).await
        };
        if sent.is_err() {
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
    /// Starts the one of this endpoint and waits until it listens; port 0 picks one.
    pub(super) fn start(name: &str, port: u16, behaviour: Behaviour) -> anyhow::Result<Self> {
        let behaviour = behaviour.to_possible_value().context("none is hidden")?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["backend", "--port", &port.to_string(), "--name", name])
            .args(["--behaviour", behaviour.get_name()])
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

    /// SIGSTOP and SIGCONT: a process that hangs, and one that goes on.
    pub(super) fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let id = self.child.id().to_string();
        let told = Command::new("kill").args(["-s", signal, &id]).status()?;
        ensure!(told.success(), "kill -s {signal}: {told}");
        Ok(())
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
