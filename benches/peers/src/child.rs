//! A server as a process of its own: pinned to a core, its CPU time and memory read from the
//! system.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;

/// How long a server may take until it accepts.
const START_WITHIN: Duration = Duration::from_secs(10);

/// Core of the server that is measured.
pub(crate) const MEASURED_CORE: usize = 0;

/// Core of everything else: the generator, and a backend behind a measured proxy.
pub(crate) const OTHER_CORE: usize = 1;

/// How often it is asked whether it accepts.
const ASK_EVERY: Duration = Duration::from_millis(5);

/// A running server; killed on drop.
pub(crate) struct Server {
    child: Child,
    /// Where it listens on loopback.
    pub(crate) address: SocketAddr,
}

/// A certificate and its key, for servers under TLS.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// PEM file of the certificate.
    pub(crate) certificate: PathBuf,
    /// PEM file of its key.
    pub(crate) key: PathBuf,
}

impl Server {
    /// Starts `command` on the measured core, with `{port}`, `{cert}` and `{key}` filled in, and
    /// waits until it accepts.
    pub(crate) fn start(command: &[String], identity: Option<&Identity>) -> anyhow::Result<Self> {
        let fill = |word: &String, port: &str| {
            let word = word.replace("{port}", port);
            match identity {
                None => word,
                Some(identity) => word
                    .replace("{cert}", &identity.certificate.to_string_lossy())
                    .replace("{key}", &identity.key.to_string_lossy()),
            }
        };
        Self::launch(MEASURED_CORE, |address| {
            let port = address.port().to_string();
            Ok(command.iter().map(|word| fill(word, &port)).collect())
        })
    }

    /// Starts what `command` makes for the address it is to listen on, on `core`, and waits until
    /// it accepts.
    pub(crate) fn launch(
        core: usize,
        command: impl FnOnce(SocketAddr) -> anyhow::Result<Vec<String>>,
    ) -> anyhow::Result<Self> {
        // Picked and given back: whoever takes it meanwhile makes the round fail, not lie.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let command = command(address)?;
        // A server must not outlive a generator that was killed: it would load the next run's core.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "taskset", "-c", &core.to_string()])
            .args(&command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("setpriv and taskset (util-linux) are needed to start the server")?;
        let mut server = Self { child, address };
        let deadline = Instant::now() + START_WITHIN;
        while TcpStream::connect(address).is_err() {
            anyhow::ensure!(
                server.child.try_wait()?.is_none(),
                "the server ended: {command:?}"
            );
            anyhow::ensure!(
                Instant::now() < deadline,
                "the server does not listen: {command:?}"
            );
            // A foreign server has no way to say that it is ready; asking is all there is.
            std::thread::park_timeout(ASK_EVERY);
        }
        Ok(server)
    }

    /// CPU time used so far by all its threads, user and system.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let mut total = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // Nanoseconds on a CPU stand first; a thread that has just ended counts no more.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else {
                continue;
            };
            let first = text.split_whitespace().next().unwrap_or_default();
            total += first
                .parse::<u64>()
                .context("schedstat begins with a number")?;
        }
        Ok(Duration::from_nanos(total))
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> anyhow::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id()))?;
        let line = text
            .lines()
            .find(|line| line.starts_with("Rss:"))
            .context("smaps_rollup has Rss")?;
        let kib = line
            .split_whitespace()
            .nth(1)
            .context("Rss has a value")?
            .parse::<u64>()?;
        Ok(kib * 1024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}

/// Pins this process to the other core.
pub(crate) fn pin_self() -> anyhow::Result<()> {
    let status = Command::new("taskset")
        .args([
            "-acp",
            &OTHER_CORE.to_string(),
            &std::process::id().to_string(),
        ])
        .stdout(Stdio::null())
        .status()
        .context("taskset (util-linux) is needed to pin the generator")?;
    anyhow::ensure!(status.success(), "taskset could not pin the generator");
    Ok(())
}
