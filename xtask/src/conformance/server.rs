//! The server under test, as a process of its own. It ends with this value.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};

/// From start to the line with the echo URL.
const READY_TIMEOUT: Duration = Duration::from_secs(20);

/// A running `tidewire serve --echo`. Dropping it ends the process.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    echo_url: String,
}

impl Server {
    /// Starts the binary with everything it writes in `folder`, which is emptied first,
    /// and waits until it is ready.
    pub(super) fn start(binary: &Path, folder: &Path, config: &str) -> anyhow::Result<Self> {
        if !binary.is_file() {
            bail!(
                "no server at {}: build it with `cargo build --release`, or give --bin or --url",
                binary.display()
            );
        }
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
        }
        fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
        let config_file = folder.join("tidewire.toml");
        fs::write(&config_file, config).with_context(|| format!("{}", config_file.display()))?;
        let log_file = folder.join("server.log");
        let mut child = Command::new(binary)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(["--rest-listen", "127.0.0.1:0", "--echo"])
            .arg("--config")
            .arg(&config_file)
            .arg("--data-dir")
            .arg(folder.join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log_file)?)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let stdout = child.stdout.take();
        let mut server = Self {
            child,
            echo_url: String::new(),
        };
        let stdout = stdout.context("the server's standard output is not piped")?;
        server.echo_url = await_echo_url(stdout)
            .with_context(|| format!("the server did not get ready, see {}", log_file.display()))?;
        Ok(server)
    }

    pub(super) fn echo_url(&self) -> &str {
        &self.echo_url
    }

    /// Ends the process; fails if it had ended by itself.
    pub(super) fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the server ended by itself during the run, with {status}");
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if the process is gone, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Reads until the echo URL; then keeps reading, so that the server can keep writing.
fn await_echo_url(stdout: ChildStdout) -> anyhow::Result<String> {
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(url) = echo_url(&line) {
                // Nobody waits any more after the timeout, or after a second such line.
                drop(sender.try_send(url.to_owned()));
            }
        }
    });
    receiver
        .recv_timeout(READY_TIMEOUT)
        .context("expected a line `echo ws://...` on its standard output")
}

/// The URL in a line like `echo       ws://127.0.0.1:9001/echo`.
fn echo_url(line: &str) -> Option<&str> {
    let (label, url) = line.trim().split_once(char::is_whitespace)?;
    let url = url.trim();
    (label == "echo" && url.starts_with("ws://")).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_echo_url_is_found_by_its_label() {
        for (line, expected) in [
            (
                "echo       ws://127.0.0.1:9/echo",
                Some("ws://127.0.0.1:9/echo"),
            ),
            ("  echo ws://[::1]:9/echo \r", Some("ws://[::1]:9/echo")),
            ("chat       ws://127.0.0.1:9/chat", None),
            ("echo", None),
            ("echo is off", None),
        ] {
            assert_eq!(echo_url(line), expected, "{line}");
        }
    }
}
