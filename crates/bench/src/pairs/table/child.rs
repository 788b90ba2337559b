//! Servers and clients as processes of their own, bound to a core each.

use std::{
    io::{self, BufRead as _, BufReader, Read as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use super::{
    super::scenario::{Pair, Transport},
    TableError, TableSettings,
};

/// How long a process may take beyond its time: `CppServer`'s clients wait for ever where a connection fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server; it is told to stop, and waited for, on drop.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    /// Its end stops the server.
    input: Option<ChildStdin>,
    /// Tells when it is ready, and is disconnected when its output ends.
    ready: Receiver<()>,
    pub(super) port: u16,
}

impl Server {
    /// Ours.
    pub(super) fn ours(settings: &TableSettings, pair: Pair) -> Result<Self, TableError> {
        let mut command = on_core(settings.server_core, &settings.program);
        command.arg("bench").args(names(pair)).arg("server");
        let certificate = settings.original.as_deref().map(certificate);
        if let Some(certificate) = certificate.filter(|file| is_encrypted(pair) && file.exists()) {
            // The one that CppServer's clients trust.
            command.arg("--certificate").arg(&certificate);
            command.arg("--key").arg(&certificate);
            command.args(["--passphrase", "qwerty"]);
        }
        Self::start(command, port(settings, pair)?, pair)
    }

    /// `CppServer`'s.
    pub(super) fn original(
        settings: &TableSettings,
        folder: &Path,
        pair: Pair,
    ) -> Result<Self, TableError> {
        let mut command = original(settings.server_core, folder, pair, "server");
        // Where it looks for its certificates.
        command.current_dir(folder);
        Self::start(command, port(settings, pair)?, pair)
    }

    fn start(mut command: Command, port: u16, pair: Pair) -> Result<Self, TableError> {
        command
            .args(["--port", &port.to_string(), "--threads", "1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = spawn(&mut command)?;
        let input = child.stdin.take();
        let output = child.stdout.take().ok_or_else(broken)?;
        let (told, ready) = mpsc::sync_channel(1);
        // A server that has more to say must neither wait for a reader nor be ended by its absence. The thread ends
        // with the server.
        thread::spawn(move || {
            let mut lines = BufReader::new(output).lines().map_while(Result::ok);
            if lines.any(|line| line.starts_with("Press Enter")) {
                told.send(()).ok();
            }
            lines.for_each(drop);
            // Not before its output has ended.
            drop(told);
        });
        let mut server = Self {
            child,
            input,
            ready,
            port,
        };
        if server.ready.recv_timeout(PATIENCE).is_ok() {
            return Ok(server);
        }
        let status = server.stop()?;
        Err(TableError::Server { pair, status })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn stop(&mut self) -> io::Result<ExitStatus> {
        drop(self.input.take());
        if self.ready.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Disconnected) {
            self.child.kill()?;
        }
        self.child.wait()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing is left to do for one that is gone already.
        self.stop().ok();
    }
}

/// Runs our client and returns what it wrote.
pub(super) fn our_client(
    settings: &TableSettings,
    pair: Pair,
    clients: usize,
    port: u16,
) -> Result<String, TableError> {
    let mut command = on_core(settings.client_core, &settings.program);
    command.arg("bench").args(names(pair)).arg("client");
    command.arg("--json");
    client(command, settings, pair, clients, port)
}

/// Runs `CppServer`'s client and returns what it wrote.
pub(super) fn original_client(
    settings: &TableSettings,
    folder: &Path,
    pair: Pair,
    clients: usize,
    port: u16,
) -> Result<String, TableError> {
    let mut command = original(settings.client_core, folder, pair, "client");
    command.current_dir(folder);
    client(command, settings, pair, clients, port)
}

fn client(
    mut command: Command,
    settings: &TableSettings,
    pair: Pair,
    clients: usize,
    port: u16,
) -> Result<String, TableError> {
    command
        .args(["--port", &port.to_string(), "--threads", "1"])
        .args(["--clients", &clients.to_string()])
        .args(["--seconds", &settings.seconds.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = spawn(&mut command)?;
    let mut output = child.stdout.take().ok_or_else(broken)?;
    let (told, report) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut text = String::new();
        told.send(output.read_to_string(&mut text).map(|_len| text))
            .ok();
    });
    let report = report.recv_timeout(Duration::from_secs(settings.seconds) + PATIENCE);
    if report.is_err() {
        child.kill()?;
    }
    let status = child.wait()?;
    let Ok(text) = report else {
        return Err(TableError::Silent { pair });
    };
    let text = text?;
    if status.success() {
        Ok(text)
    } else {
        Err(TableError::Client { pair, status })
    }
}

/// Where `CppServer`'s servers have their certificate and its key.
fn certificate(folder: &Path) -> PathBuf {
    folder.join("../tools/certificates/server.pem")
}

fn is_encrypted(pair: Pair) -> bool {
    pair.transport().is_encrypted()
}

/// The port to use: one that is free; of a group the usual one, since no program listens there.
fn port(settings: &TableSettings, pair: Pair) -> Result<u16, TableError> {
    if let Some(port) = settings.port {
        return Ok(port);
    }
    if pair.is_group() {
        return Ok(pair.transport().default_port());
    }
    if pair.transport() == Transport::Udp {
        let socket = std::net::UdpSocket::bind(("127.0.0.1", 0))?;
        return Ok(socket.local_addr()?.port());
    }
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?.port())
}

fn names(pair: Pair) -> [&'static str; 3] {
    [
        pair.benchmark().name(),
        "--transport",
        pair.transport().name(),
    ]
}

fn original(core: Option<usize>, folder: &Path, pair: Pair, side: &str) -> Command {
    let transport = if pair.transport() == Transport::Tls {
        "ssl"
    } else {
        pair.transport().name()
    };
    let name = if pair.transport() == Transport::Proto {
        format!("proto_{side}")
    } else {
        format!("{transport}_{}_{side}", pair.benchmark().name())
    };
    on_core(core, &folder.join(format!("cppserver-performance-{name}")))
}

/// The program, on this core only.
fn on_core(core: Option<usize>, program: &Path) -> Command {
    match core {
        Some(core) => {
            let mut command = Command::new("taskset");
            command.args(["-c", &core.to_string()]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

fn spawn(command: &mut Command) -> Result<Child, TableError> {
    command.spawn().map_err(|source| TableError::Spawn {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })
}

/// A process whose output is not there, although it was asked for.
fn broken() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}
