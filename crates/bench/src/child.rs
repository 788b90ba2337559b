//! A server under test as a process of its own: pinned to a core, its CPU time and memory read
//! from the system.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;

use crate::servers::Library;

/// Clock ticks per second of `/proc/<pid>/stat`; fixed by the Linux user-space interface.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running echo server; killed on drop.
pub(crate) struct EchoServer {
    child: Child,
    /// Where it listens on loopback.
    pub(crate) port: u16,
}

impl EchoServer {
    /// Starts `library`'s echo server on core 0.
    pub(crate) fn start(library: Library) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?;
        let name = match library {
            Library::Tidewire => "tidewire",
            Library::Tungstenite => "tungstenite",
            Library::Floor => "floor",
        };
        let mut child = Command::new("taskset")
            .args(["-c", "0"])
            .arg(program)
            .args(["serve", name])
            .stdout(Stdio::piped())
            .spawn()
            .context("taskset (util-linux) is needed to pin the server")?;
        let mut line = String::new();
        let out = child.stdout.take().context("the child's output is piped")?;
        BufReader::new(out).read_line(&mut line)?;
        let port = line
            .trim()
            .parse()
            .context("expected the child to print its port")?;
        Ok(Self { child, port })
    }

    /// CPU seconds used so far, user and system.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        cpu_seconds(self.child.id())
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
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

/// Pins this process (all threads started later too) to a core.
pub(crate) fn pin_self(core: usize) -> anyhow::Result<()> {
    let pid = std::process::id().to_string();
    let status = Command::new("taskset")
        .args(["-acp", &core.to_string(), &pid])
        .stdout(Stdio::null())
        .status()?;
    anyhow::ensure!(status.success(), "taskset could not pin the generator");
    Ok(())
}
