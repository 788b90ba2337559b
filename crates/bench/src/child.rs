//! A server under test as a process of its own: pinned to a core, its CPU time and memory read
//! from the system.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;

/// Clock ticks per second of `/proc/<pid>/stat`; fixed by the Linux user-space interface.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running `tidewire serve` on a data directory of its own; killed and removed on drop.
pub(crate) struct MessagingServer {
    child: Child,
    dir: std::path::PathBuf,
    /// Where it listens on loopback.
    pub(crate) port: u16,
}

impl MessagingServer {
    /// Starts `program` on `cores` (a list for `taskset -c`) with this configuration.
    pub(crate) fn start(
        program: &std::path::Path,
        cores: &str,
        config: &str,
    ) -> anyhow::Result<Self> {
        let dir = std::env::temp_dir().join(format!("tidewire-bench-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        let config_path = dir.join("tidewire.toml");
        std::fs::write(&config_path, config)?;
        let mut child = Command::new("taskset")
            .args(["-c", cores])
            .arg(program)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--rest-listen",
                "127.0.0.1:0",
                "--config",
            ])
            .arg(&config_path)
            .arg("--data-dir")
            .arg(dir.join("data"))
            .stdout(Stdio::piped())
            .spawn()
            .context("taskset (util-linux) is needed to pin the server")?;
        let out = child.stdout.take().context("the child's output is piped")?;
        let mut server = Self {
            child,
            dir,
            port: 0,
        };
        let mut lines = BufReader::new(out).lines();
        let url = lines
            .by_ref()
            .map_while(Result::ok)
            .find(|line| line.starts_with("messaging"));
        let url = url.context("the server ended before it was ready; see its log above")?;
        let address = url
            .split("ws://")
            .nth(1)
            .and_then(|rest| rest.split('/').next())
            .unwrap_or_default();
        server.port = address.rsplit(':').next().unwrap_or_default().parse()?;
        Ok(server)
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
