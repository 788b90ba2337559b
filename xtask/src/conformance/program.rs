//! A program of ours as a process: started with its talk in a file, waited for until it tells its URL, and ended.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};

/// From start to the line with the URL.
const READY_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) fn spawn(mut command: Command, log_file: &Path) -> anyhow::Result<(Child, ChildStdout)> {
    let log = File::create(log_file).with_context(|| format!("{}", log_file.display()))?;
    let program = command.get_program().display().to_string();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    let Some(stdout) = child.stdout.take() else {
        end(&mut child);
        bail!("the standard output of {program} is not piped");
    };
    Ok((child, stdout))
}

pub(super) fn end(child: &mut Child) {
    // Both fail only if the process is gone, which is what is wanted.
    drop(child.kill());
    drop(child.wait());
}

/// Reads until the URL with this label; then keeps reading, so that the program can keep writing.
pub(super) fn await_url(stdout: ChildStdout, label: &'static str) -> anyhow::Result<String> {
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(url) = url(&line, label) {
                // Nobody waits any more after the timeout, or after a second such line.
                drop(sender.try_send(url.to_owned()));
            }
        }
    });
    receiver
        .recv_timeout(READY_TIMEOUT)
        .with_context(|| format!("expected a line `{label} ws://...` on its standard output"))
}

/// The URL in a line like `echo       ws://127.0.0.1:9001/echo`.
fn url<'a>(line: &'a str, label: &str) -> Option<&'a str> {
    let (found, url) = line.trim().split_once(char::is_whitespace)?;
    let url = url.trim();
    (found == label && (url.starts_with("ws://") || url.starts_with("wss://"))).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_found_by_its_label() {
        for (line, expected) in [
            (
                "echo       ws://127.0.0.1:9/echo",
                Some("ws://127.0.0.1:9/echo"),
            ),
            ("  echo ws://[::1]:9/echo \r", Some("ws://[::1]:9/echo")),
            ("echo wss://127.0.0.1:9/", Some("wss://127.0.0.1:9/")),
            ("chat       ws://127.0.0.1:9/chat", None),
            ("echo", None),
            ("echo is off", None),
        ] {
            assert_eq!(url(line, "echo"), expected, "{line}");
        }
    }
}
