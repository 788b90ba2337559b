//! A process of the suite: one side of the connections of one case at a time.
//!
//! In: the ids of cases, as lines. Out: lines of JSON, into a channel that all fuzzers of a run
//! share. The process ends with its standard input, so it never outlives this task.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::SyncSender;
use std::thread;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;

/// What a fuzzer says.
#[derive(Debug)]
pub(super) enum Said {
    /// It listens at this URL.
    Listening(String),
    /// The result of a case.
    Result(Value),
    /// There was no connection for a case.
    Refused(String),
    /// Nothing any more.
    Nothing,
}

/// The lines a fuzzer writes.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Listening { listening: String },
    Refused { case: String, refused: String },
    Result(Value),
}

/// A running `fuzz.py`. Dropping it ends the process.
#[derive(Debug)]
pub(super) struct Fuzzer {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Fuzzer {
    /// Starts the command; what it says comes out of `said` with `index`.
    pub(super) fn start(
        command: &mut Command,
        index: usize,
        said: SyncSender<(usize, Said)>,
    ) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the suite")?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        let fuzzer = Self { child, stdin };
        let stdout = stdout.context("the suite's standard output is not piped")?;
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if said.send((index, parse(&line))).is_err() {
                    return; // the run is over
                }
            }
            // Fails only when the run is over.
            drop(said.send((index, Said::Nothing)));
        });
        Ok(fuzzer)
    }

    /// Lets it run a case.
    pub(super) fn run(&mut self, case: &str) -> anyhow::Result<()> {
        let stdin = self.stdin.as_mut().context("the suite was told to end")?;
        writeln!(stdin, "{case}").context("the suite does not listen")
    }

    /// Lets it end, once the cases it runs are through.
    pub(super) fn finish(&mut self) {
        self.stdin = None;
    }
}

impl Drop for Fuzzer {
    fn drop(&mut self) {
        // Both fail only if the process is gone, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn parse(line: &str) -> Said {
    match serde_json::from_str(line) {
        Ok(Line::Listening { listening }) => Said::Listening(listening),
        Ok(Line::Refused { case, refused }) => Said::Refused(format!("case {case}: {refused}")),
        Ok(Line::Result(value)) => Said::Result(value),
        Err(_) => Said::Refused(format!("the suite said {line:?}, expected JSON")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart_by_what_they_hold() {
        assert!(matches!(
            parse(r#"{"listening": "ws://127.0.0.1:9"}"#),
            Said::Listening(url) if url == "ws://127.0.0.1:9"
        ));
        assert!(matches!(
            parse(r#"{"case": "1.1.1", "refused": "reset"}"#),
            Said::Refused(reason) if reason == "case 1.1.1: reset"
        ));
        assert!(matches!(
            parse(r#"{"case": "1.1.1", "behavior": "OK"}"#),
            Said::Result(_)
        ));
        assert!(matches!(parse("Traceback"), Said::Refused(_)));
    }
}
