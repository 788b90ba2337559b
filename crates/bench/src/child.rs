//! A server under test as a process of its own: pinned to a core, its CPU time and memory read
//! from the system.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;

/// Clock ticks per second of `/proc/<pid>/stat`; fixed by the Linux user-space interface.
const TICKS_PER_SECOND: f64 = 100.0;

/// A `tidewire serve` on a data directory of its own; killed and removed on drop.
pub(crate) struct MessagingServer {
    child: Child,
    program: PathBuf,
    cores: Option<String>,
    dir: PathBuf,
    /// Where it listens on loopback.
    pub(crate) port: u16,
    /// Where its REST API listens.
    pub(crate) rest_port: u16,
}

impl MessagingServer {
    /// Starts `program` on `cores` (a list for `taskset -c`) with this configuration.
    pub(crate) fn start(program: &Path, cores: &str, config: &str) -> anyhow::Result<Self> {
        Self::start_on(program, Some(cores), config)
    }

    /// The same, on any core.
    pub(crate) fn start_unpinned(program: &Path, config: &str) -> anyhow::Result<Self> {
        Self::start_on(program, None, config)
    }

    fn start_on(program: &Path, cores: Option<&str>, config: &str) -> anyhow::Result<Self> {
        let dir = std::env::temp_dir().join(format!("tidewire-bench-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        std::fs::write(dir.join("tidewire.toml"), config)?;
        let mut server = Self {
            child: spawn(program, cores, &dir)?,
            program: program.to_owned(),
            cores: cores.map(str::to_owned),
            dir,
            port: 0,
            rest_port: 0,
        };
        server.wait_until_ready()?;
        Ok(server)
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again, on what is on disk and other ports, after it was killed.
    pub(crate) fn restart(&mut self) -> anyhow::Result<()> {
        self.child = spawn(&self.program, self.cores.as_deref(), &self.dir)?;
        self.wait_until_ready()
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let out = self.child.stdout.take();
        let mut lines = BufReader::new(out.context("the child's output is piped")?).lines();
        self.port = port(&mut lines, "messaging")?;
        self.rest_port = port(&mut lines, "rest")?;
        Ok(())
    }

    /// CPU seconds used so far, user and system.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        cpu_seconds(self.child.id())
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<u64> {
        resident_bytes(self.child.id())
    }
}

impl Drop for MessagingServer {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
        std::fs::remove_dir_all(&self.dir).ok();
    }
}

fn spawn(program: &Path, cores: Option<&str>, dir: &Path) -> anyhow::Result<Child> {
    let mut command = match cores {
        Some(cores) => {
            let mut pinned = Command::new("taskset");
            pinned.args(["-c", cores]).arg(program);
            pinned
        }
        None => Command::new(program),
    };
    let addresses = ["--listen", "127.0.0.1:0", "--rest-listen", "127.0.0.1:0"];
    command
        .arg("serve")
        .args(addresses)
        .arg("--config")
        .arg(dir.join("tidewire.toml"))
        .arg("--data-dir")
        .arg(dir.join("data"))
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| {
            format!(
                "{} does not start; pinning needs taskset (util-linux)",
                program.display()
            )
        })
}

/// The port in the line with this label.
fn port(
    lines: &mut impl Iterator<Item = std::io::Result<String>>,
    label: &str,
) -> anyhow::Result<u16> {
    let line = lines
        .map_while(Result::ok)
        .find(|line| line.starts_with(label))
        .context("the server ended before it was ready; see its log above")?;
    let address = line
        .split("://")
        .nth(1)
        .and_then(|rest| rest.split('/').next())
        .unwrap_or_default();
    Ok(address.rsplit(':').next().unwrap_or_default().parse()?)
}

/// CPU seconds of a process, user and system.
pub(crate) fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Fields are counted behind the closing parenthesis: the name may contain blanks.
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let times: Vec<f64> = fields
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse().ok())
        .collect();
    Ok(times.iter().sum::<f64>() / TICKS_PER_SECOND)
}

/// Resident memory of a process in bytes.
pub(crate) fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .context("VmRSS is in /proc/<pid>/status")?;
    let kib: u64 = line
        .split_whitespace()
        .nth(1)
        .context("VmRSS has a value")?
        .parse()?;
    Ok(kib * 1024)
}
