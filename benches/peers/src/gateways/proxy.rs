//! The proxies: whether they are there, their configuration, and one in front of a backend.
//!
//! In: programs of this machine. Out: a [`Pair`], the proxy on the measured core and an echo server
//! on the other one, beside the generator. All have one thread, no log of requests, no TLS, and
//! pass connections through as they come.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context as _;
use clap::ValueEnum;

use crate::{
    child::{MEASURED_CORE, OTHER_CORE, Server},
    load::mux::ENDPOINT,
    serve::Rival,
};

/// A kind of proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Ours.
    Tidewire,
    /// `HAProxy`.
    Haproxy,
    /// nginx.
    Nginx,
}

impl Kind {
    /// As in the tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tidewire => "tidewire",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
        }
    }
}

/// A proxy of this machine.
#[derive(Clone, Debug)]
pub(super) struct Proxy {
    pub(super) kind: Kind,
    program: PathBuf,
    /// What it says about its version.
    pub(super) version: String,
}

/// A proxy and what stands behind it. The proxy is dropped first: it shall not see its backend go.
pub(super) struct Pair {
    pub(super) proxy: Server,
    /// Only kept alive.
    _backend: Server,
}

/// Descriptors a process needs besides those of connections.
const SPARE_DESCRIPTORS: u64 = 600;

/// Pairs of connections that a proxy can hold: each takes two descriptors.
pub(super) fn pairs_max() -> anyhow::Result<u64> {
    let limit = rlimit::Resource::NOFILE.get_soft()?;
    Ok(limit.saturating_sub(SPARE_DESCRIPTORS) / 2)
}

impl Proxy {
    /// Asks the program for its version; `None` if there is no such program.
    pub(super) fn find(kind: Kind, program: &Path) -> anyhow::Result<Option<Self>> {
        let option = match kind {
            Kind::Tidewire => "--version",
            Kind::Haproxy | Kind::Nginx => "-v",
        };
        // Where Debian puts servers, which is not in everybody's PATH.
        for program in [program.to_owned(), Path::new("/usr/sbin").join(program)] {
            let mut command = Command::new(&program);
            let Ok(output) = command.arg(option).stdin(Stdio::null()).output() else {
                continue;
            };
            anyhow::ensure!(
                output.status.success(),
                "{} {option} failed",
                program.display()
            );
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            let version = said.lines().next().unwrap_or_default().to_owned();
            return Ok(Some(Self {
                kind,
                program,
                version,
            }));
        }
        Ok(None)
    }

    /// Starts a backend and the proxy in front of it; configuration and whatever else it writes is
    /// in `folder`.
    pub(super) fn start(&self, folder: &Path) -> anyhow::Result<Pair> {
        let backend = backend()?;
        let proxy = Server::launch(MEASURED_CORE, |address| {
            let text = match self.kind {
                Kind::Tidewire => tidewire(address, backend.address),
                Kind::Haproxy => haproxy(address, backend.address)?,
                Kind::Nginx => nginx(address, backend.address, folder)?,
            };
            let ending = match self.kind {
                Kind::Tidewire => "toml",
                Kind::Haproxy | Kind::Nginx => "conf",
            };
            let file = folder.join(self.kind.name()).with_extension(ending);
            fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
            Ok(self.command(&file))
        })?;
        Ok(Pair {
            proxy,
            _backend: backend,
        })
    }

    fn command(&self, file: &Path) -> Vec<String> {
        let program = self.program.to_string_lossy().into_owned();
        let file = file.to_string_lossy().into_owned();
        let words: &[&str] = match self.kind {
            Kind::Tidewire => &[&program, "gateway", "--config", &file],
            Kind::Haproxy => &[&program, "-db", "-f", &file],
            Kind::Nginx => &[&program, "-e", "stderr", "-c", &file],
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }
}

/// Our own echo server, the cheaper of the two, on the other core.
pub(super) fn backend() -> anyhow::Result<Server> {
    let program = std::env::current_exe()?.to_string_lossy().into_owned();
    Server::launch(OTHER_CORE, |address| {
        let name = Rival::TidewireHandlers.name();
        let port = address.port().to_string();
        Ok(vec![program, "serve".into(), name, "--port".into(), port])
    })
}

fn tidewire(address: SocketAddr, backend: SocketAddr) -> String {
    // All clients have one address here.
    format!(
        "workers = 1

[[listeners]]
address = \"{address}\"

[endpoints.{ENDPOINT}]
upstreams = [\"ws://{backend}/\"]

[[routes]]
endpoint = \"{ENDPOINT}\"
path = \"*\"

[limits]
per_ip_max = 1000000

[log]
level = \"warn\"
"
    )
}

fn haproxy(address: SocketAddr, backend: SocketAddr) -> anyhow::Result<String> {
    // It refuses to start with more connections than its descriptors allow.
    let connections_max = pairs_max()?;
    Ok(format!(
        "global
  nbthread 1
  maxconn {connections_max}
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
frontend clients
  bind {address}
  default_backend echo
backend echo
  server one {backend}
"
    ))
}

fn nginx(address: SocketAddr, backend: SocketAddr, folder: &Path) -> anyhow::Result<String> {
    // One side of a pair is a connection to it, too.
    let connections_max = pairs_max()? * 2 + SPARE_DESCRIPTORS / 2;
    let folder = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("  {name}_temp_path {folder}/nginx-{name};\n"))
        .concat();
    Ok(format!(
        "daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
events {{
  worker_connections {connections_max};
}}
http {{
  access_log off;
{temporary}  server {{
    listen {address} backlog=4096;
    location / {{
      proxy_pass http://{backend};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection upgrade;
      proxy_set_header Host $host;
      proxy_read_timeout 1h;
      proxy_send_timeout 1h;
      proxy_buffering off;
    }}
  }}
}}
"
    ))
}
