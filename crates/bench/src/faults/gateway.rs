//! The gateway under test as a process.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;

use crate::child;

/// A running `tidewire gateway`; killed, and its files removed, on drop.
pub(super) struct Gateway {
    child: Child,
    dir: PathBuf,
    pub(super) url: String,
}

impl Gateway {
    /// Starts `program` in front of backends on these ports, with further settings of each endpoint; that of the first is `e0`.
    pub(super) fn start(program: &Path, ports: &[u16], rules: &str) -> anyhow::Result<Self> {
        let dir = std::env::temp_dir().join(format!("tidewire-faults-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        let file = dir.join("gateway.toml");
        fs::write(&file, config(ports, rules)?)?;
        let mut child = Command::new(program)
            .arg("gateway")
            .arg("--config")
            .arg(&file)
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{}", program.display()))?;
        let out = child.stdout.take().context("the child's output is piped")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        let mut gateway = Self {
            child,
            dir,
            url: String::new(),
        };
        let url = line.split_whitespace().nth(1);
        url.context("the gateway ended before it was ready; see its log above")?
            .clone_into(&mut gateway.url);
        Ok(gateway)
    }

    /// CPU seconds used so far, and resident bytes now.
    pub(super) fn cost(&self) -> anyhow::Result<(f64, u64)> {
        let id = self.child.id();
        Ok((child::cpu_seconds(id)?, child::resident_bytes(id)?))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
        fs::remove_dir_all(&self.dir).ok();
    }
}

/// Everything by default but what the clients need, who all come from one address.
fn config(ports: &[u16], rules: &str) -> anyhow::Result<String> {
    let mut config = "[[listeners]]\naddress = \"127.0.0.1:0\"\n[limits]\nper_ip_max = 100000\n\
                      [log]\nlevel = \"error\"\n"
        .to_owned();
    for (index, port) in ports.iter().enumerate() {
        writeln!(
            config,
            "[endpoints.e{index}]\nupstreams = [\"ws://127.0.0.1:{port}/\"]\n{rules}"
        )?;
    }
    Ok(config)
}
